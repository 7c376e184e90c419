"""Work orders as an API: found, opened, moved, and everything that belongs to one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.web.api import Count, Given, IfMatch, Repeatable, etag, refused, version_of
from gateway.web.encode import plain
from gateway.web.house import Hall, Who, may
from ticketing import (
    FIELDS,
    Approval,
    Attachment,
    Cost,
    Event,
    Evidence,
    FieldError,
    Link,
    Offered,
    Order,
    State,
    Suggestion,
    Task,
    costs,
)
from ticketing.costs import CostStatement

router = APIRouter(tags=["Work orders"])
PAGE = 50
AT_WORK = (State.ASSIGNED, State.IN_PROGRESS, State.ON_HOLD)
Shown = Literal[
    "open", "all", "at_work", "new", "assigned", "in_progress", "on_hold", "resolved", "closed", "cancelled"
]


class Filter(BaseModel):
    """Which orders to show, as it stands in the address."""

    model_config = ConfigDict(str_strip_whitespace=True)

    state: Shown = "open"
    priority: Literal["", "1", "2", "3", "4"] = ""
    asset: str = Field(default="", max_length=64)
    assignee: str = Field(default="", max_length=64)
    q: str = Field(default="", max_length=100, description="in the number, the asset and both titles")
    overdue: bool = Field(default=False, description="only what is late by now")
    page: int = Field(default=1, ge=1, le=10_000)

    def asked(self, now: int) -> dict[str, Any]:
        """As the desk wants it."""
        state: Any = {"all": None, "at_work": AT_WORK}.get(self.state, self.state)
        return {
            "state": state,
            "priority": int(self.priority) if self.priority else None,
            "asset": self.asset or None,
            "assignee": self.assignee or None,
            "text": self.q or None,
            "overdue_at": now if self.overdue else None,
        }


Filters = Annotated[Filter, Query()]


class Page(BaseModel):
    """One page of orders; ``total`` counts them all."""

    total: int
    page: int
    orders: list[Order]


class Whole(BaseModel):
    """The order with everything that belongs to it; ``moves`` are those that you may make now."""

    order: Order
    moves: list[str]
    timeline: list[Event]
    evidence: list[Evidence]
    links: list[Link]
    tasks: list[Task]
    costs: list[Cost]
    approvals: list[Approval]
    attachments: list[Attachment]
    offered: list[Offered]
    watchers: list[str]


class Report(Given):
    """A fault that somebody saw."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "asset": "pump-1",
                    "title": "机封漏油",
                    "failure_mode": "ELU",
                    "priority": 2,
                    "description": "",
                }
            ]
        }
    )

    asset: str = Field(description="the asset's code", max_length=64)
    title: str = Field(description="what is wrong, in a few words", max_length=500)
    description: str = ""
    failure_mode: str | None = Field(
        None, description="ISO 14224 code such as VIB; then the same fault cannot be open twice"
    )
    priority: int | None = Field(None, description="1 to 4; else from the asset's criticality")
    fields: dict[str, Any] = Field(default_factory=dict, description="the site's own fields")


class Change(Given):
    """One move of an order; ``version`` is the one that was read, here or as If-Match."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"type": "assign", "version": 1, "fields": {"assignee": "li"}}]}
    )

    type: str = Field(description="a move, such as assign, start or resolve")
    version: Count | None = Field(None, description="the order's version that you have read")
    fields: dict[str, Any] = Field(default_factory=dict, description="what the move needs, and may take")


class Changed(BaseModel):
    """The order after the move."""

    order: Order


@router.get("/api/work-orders", dependencies=[may("order.read")], responses=refused())
def list_orders(house: Hall, wanted: Filters) -> Page:
    """Orders, the most urgent first, then the newest; fifty a page."""
    asked = wanted.asked(house.now())
    with house.desk.read() as desk:
        found = desk.orders(**asked, limit=PAGE, offset=(wanted.page - 1) * PAGE)
        return Page(total=desk.count_orders(**asked), page=wanted.page, orders=found)


@router.post(
    "/api/work-orders", status_code=201, dependencies=[may("order.open")], responses=refused(404, 409)
)
def open_order(once: Repeatable, given: Report, response: Response) -> Changed:
    """Report a fault: a new order. 409 names the order that is open for this fault already."""
    done = once(
        lambda desk, who, now: {"order": desk.open_order(who, at=now, key=once.key, **given.model_dump())}
    )
    response.headers.update(
        {**etag(done["order"]["version"]), "Location": f"/api/work-orders/{done['order']['number']}"}
    )
    return Changed.model_validate(done)


@router.get("/api/work-orders/{number}", dependencies=[may("order.read")], responses=refused(404))
def one_order(house: Hall, number: str, who: Who, response: Response) -> Whole:
    """The order with everything that belongs to it; its ETag is what a change wants as If-Match."""
    with house.desk.read() as desk:
        order = desk.order(number)
        response.headers.update(etag(order.version))
        return Whole(
            order=order,
            moves=desk.legal_moves(number, who),
            timeline=desk.timeline(number),
            evidence=desk.evidence(number),
            links=desk.links(number),
            tasks=desk.tasks(number),
            costs=desk.costs(number),
            approvals=desk.approvals(number),
            attachments=desk.attachments(number),
            offered=desk.offered(number),
            watchers=desk.watchers(number),
        )


@router.post(
    "/api/work-orders/{number}/events", dependencies=[may("order.read")], responses=refused(404, 409)
)
def change_order(once: Repeatable, number: str, change: Change, tag: IfMatch, response: Response) -> Changed:
    """The only way to change an order: make a move of the move table.

    409 when it is too late (stale) or not possible from the present state; 403 when it is not yours to do.
    """
    if unknown := sorted(change.fields.keys() - FIELDS.keys()):
        raise FieldError(unknown, f"{change.type} takes no {', '.join(unknown)}")
    version = version_of(change.version, tag, change.type)
    done = once(
        lambda desk, who, now: {"order": desk.move(number, change.type, who, version, now, **change.fields)}
    )
    response.headers.update(etag(done["order"]["version"]))
    return Changed.model_validate(done)


@router.get("/api/work-orders/{number}/timeline", dependencies=[may("order.read")], responses=refused(404))
def timeline(house: Hall, number: str) -> list[Event]:
    """All that happened to the order, oldest first."""
    with house.desk.read() as desk:
        desk.order(number)
        return desk.timeline(number)


@router.get("/api/work-orders/{number}/evidence", dependencies=[may("order.read")], responses=refused(404))
def evidence(house: Hall, number: str) -> list[Evidence]:
    """Why the order's alarms were raised, as it was then."""
    with house.desk.read() as desk:
        desk.order(number)
        return desk.evidence(number)


@router.get("/api/work-orders/{number}/suggestions", dependencies=[may("order.read")], responses=refused(404))
def suggestions(house: Hall, number: str) -> list[Suggestion]:
    """What may help: fixes that held on this machine or its like, then articles; each with its reasons."""
    with house.desk.read() as desk:
        return desk.suggestions(number, house.now())


@router.get("/api/work-orders/{number}/costs", dependencies=[may("order.read")], responses=refused(404))
def cost_statement(house: Hall, number: str) -> CostStatement:
    """The cost statement: what was spent, by kind and line by line."""
    with house.desk.read() as desk:
        return costs.statement(desk, number)


@router.get("/api/assets/{asset}/history", dependencies=[may("order.read")], responses=refused(404))
def asset_history(house: Hall, asset: str) -> list[Order]:
    """The asset's service history: its last hundred orders, the newest first."""
    with house.desk.read() as desk:
        desk.asset(asset)
        return desk.asset_history(asset)


@router.get("/api/dictionary", dependencies=[may("order.read")], responses=refused())
def dictionary(house: Hall) -> dict[str, Any]:
    """What each field may hold: one source for forms, checks, labels and exports; the site's own fields too."""
    fields = {name: {"choices": field.choices, "span": field.span} for name, field in FIELDS.items()}
    return {"fields": plain(fields), "custom": plain(house.desk.policy.fields)}
