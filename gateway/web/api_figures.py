"""Figures and preventive plans as an API."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.web.api import Count, Given, Moment, refused
from gateway.web.house import Hall, Who, may
from ticketing import FieldError, Kpi, Plan, PlanDue, Template
from ticketing.records import DAY

router = APIRouter()
LONGEST = 3 * 366 * DAY


class Board(BaseModel):
    """All figures of [start, end), UTC ms; ``change`` is in per cent of the period of the same length before."""

    start: int
    end: int
    figures: list[Kpi]


class PlanForm(Given):
    """Preventive work every so many ms, or every so many counts of one of the machine's counters."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "asset": "pump-1",
                    "title_zh": "润滑轴承",
                    "title_en": "Grease the bearings",
                    "every_ms": 30 * DAY,
                    "next_due": 1_767_225_600_000,
                    "lead": 2 * DAY,
                    "tasks": [{"text_zh": "加注润滑脂", "text_en": "Grease", "kind": "check"}],
                }
            ]
        }
    )

    asset: str
    title_zh: str
    title_en: str
    next_due: Moment = Field(description="the first due time (UTC ms), or count")
    every_ms: Count | None = None
    every_count: Count | None = None
    counter: str | None = None
    basis: Literal["fixed", "floating"] = "fixed"
    lead: Count = Field(0, description="the order opens so many ms (or counts) before")
    priority: Annotated[int, Field(ge=1, le=4)] = 3
    tasks: list[Template] = Field(default_factory=list)
    skip_if_open: bool = True
    active: bool = True


@router.get("/api/kpis", tags=["Figures"], dependencies=[may("kpi.read")], responses=refused())
def kpis(
    house: Hall,
    start: Annotated[Moment | None, Query(description="UTC ms; 30 days before the end unless given")] = None,
    end: Annotated[Moment | None, Query(description="UTC ms; now unless given")] = None,
    asset_class: Annotated[str, Query(max_length=64)] = "",
    imported: Annotated[bool, Query(description="of imported history, which stands apart")] = False,
) -> Board:
    """Response, repair, quality, backlog: each with its goal's light and how it stood in the period before."""
    until = house.now() if end is None else end
    since = until - 30 * DAY if start is None else start
    if not 0 < until - since <= LONGEST:
        raise FieldError(["start", "end"], "start lies before end, at most three years")
    with house.desk.read() as desk:
        figures = desk.kpis(since, until, asset_class=asset_class or None, imported=imported)
    return Board(start=since, end=until, figures=figures)


@router.get("/api/plans", tags=["Plans"], dependencies=[may("order.read")], responses=refused())
def plans(house: Hall, asset: Annotated[str, Query(max_length=64)] = "") -> list[Plan]:
    """The plans of preventive work, by id."""
    with house.desk.read() as desk:
        return desk.plans(asset=asset or None)


@router.put(
    "/api/plans/{plan}", tags=["Plans"], dependencies=[may("plan.write")], responses=refused(404, 409)
)
def save_plan(house: Hall, plan: str, who: Who, given: PlanForm) -> Plan:
    """A plan, new or changed; it opens its orders by itself, each due time once."""
    fields = given.model_dump(exclude={"tasks"})
    with house.desk.transaction() as desk:
        wanted = Plan(id=plan, tasks=tuple(given.tasks), **fields)
        return desk.save_plan(who, wanted, at=house.now())


@router.get("/api/plans/{plan}/dues", tags=["Plans"], dependencies=[may("order.read")], responses=refused())
def dues(house: Hall, plan: str) -> list[PlanDue]:
    """Each time the plan fell due, and the order that opened; none where the one before was still open."""
    with house.desk.read() as desk:
        return desk.plan_dues(plan)
