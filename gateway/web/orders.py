"""The pages of work orders: the list, one order with its evidence, its moves."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from gateway.web import forms, story
from gateway.web.api_orders import AT_WORK, PAGE, Filters
from gateway.web.encode import sheet
from gateway.web.house import Form, Hall, House, Reader, Who, actor
from gateway.web.refusals import refusal, status_of
from gateway.web.render import iso, reader_language
from gateway.wording import asset_name
from ticketing import FieldError, MoveRefusedError, State

router = APIRouter()
MOST = 10_000  # rows of a CSV


@router.get("/", include_in_schema=False)
def front() -> RedirectResponse:
    """The orders are the front page."""
    return RedirectResponse("/orders", 303)


@router.get("/orders", include_in_schema=False)
def orders_page(request: Request, house: Hall, wanted: Filters) -> Response:
    """The list; htmx takes what it needs out of the same answer when a filter changes."""
    with house.desk.read() as desk:
        found = desk.orders(**wanted.asked(house.now()), limit=PAGE, offset=(wanted.page - 1) * PAGE)
        total = desk.count_orders(**wanted.asked(house.now()))
        counts = desk.count_by_state()
        why = desk.reasons(order.number for order in found)
    language = reader_language(house.site, request)
    return house.renderer.page(
        request,
        "orders.html",
        orders=found,
        reasons={number: story.reason(house.site, body, language) for number, body in why.items()},
        wanted=wanted,
        total=total,
        pages=max(1, -(-total // PAGE)),
        ever=sum(counts.values()),
        tiles=_tiles(counts),
        states=list(State),
    )


def _tiles(counts: Mapping[State, int]) -> list[tuple[str, str, int]]:
    """Filter, icon and number of each tile."""
    at_work = sum(counts[state] for state in AT_WORK)
    new, waiting = counts[State.NEW], counts[State.RESOLVED]
    return [
        ("open", "clipboard-list", new + at_work + waiting),
        ("new", "flag", new),
        ("at_work", "tool", at_work),
        ("resolved", "circle-check", waiting),
    ]


@router.get("/orders.csv", include_in_schema=False)
def orders_csv(house: Hall, wanted: Filters, language: Reader) -> Response:
    """What the list shows, all pages of it, for a spreadsheet."""
    with house.desk.read() as desk:
        found = desk.orders(**wanted.asked(house.now()), limit=MOST)
    rows: list[list[object]] = [
        ["number", "state", "priority", "severity", "asset", "name", "title", "assignee", "opened", "due"]
    ]
    for order in found:
        title = order.title_zh if language == "zh" else order.title_en
        name = asset_name(house.site, order.asset or "", language)
        row = [order.number, order.state.value, order.priority, order.severity_max, order.asset, name, title]
        rows.append([*row, order.assignee, iso(order.opened_at), iso(order.due_resolve_at)])
    return sheet("work-orders.csv", rows)


@router.get("/orders/{number}", include_in_schema=False)
def order_page(request: Request, house: Hall, number: str) -> Response:
    """One order: the sentence first, then why, then what to do."""
    return _order_page(request, house, number)


@router.get("/orders/{number}/evidence.csv", include_in_schema=False)
def evidence_csv(house: Hall, number: str) -> Response:
    """The series that the evidence holds, for a spreadsheet."""
    with house.desk.read() as desk:
        desk.order(number)
        kept = [found.body["series"] for found in desk.evidence(number) if found.body.get("series")]
    rows = [["signal", "unit", "time", "min", "mean", "max"]]
    for series in kept:
        columns = (series[name] for name in ("time", "min", "mean", "max"))
        rows += [
            [series["signal"], series["unit"], iso(at), *values] for at, *values in zip(*columns, strict=True)
        ]
    return sheet(f"{number}.csv", rows)


def _order_page(
    request: Request, house: House, number: str, status: int = 200, refused: str = ""
) -> Response:
    language = reader_language(house.site, request)
    with house.desk.read() as desk:
        order = desk.order(number)
        evidence = desk.evidence(number)
        events = desk.timeline(number)
        alarms = {alarm.episode: alarm for alarm in desk.alarms(number=number)}
        links, tasks = desk.links(number), desk.tasks(number)
        attachments = desk.attachments(number)
        signed = order.priority in desk.policy_of(order).signed
    shown = next((found for found in evidence if found.body.get("series")), evidence[0] if evidence else None)
    body = shown.body if shown else {}
    alarm = alarms.get(shown.episode) if shown else None
    leading, others = forms.buttons(house.site, order, actor(request), language, signed=signed)
    return house.renderer.page(
        request,
        "order.html",
        status,
        order=order,
        refused=refused,
        sentence=story.sentence(order, evidence, language),
        counterfactual=(body.get("counterfactual") or {}).get(language),
        chart=story.evidence_chart(house.site, body, alarm, language),
        facts=story.facts(house.site, body, language),
        contributions=(body.get("model") or {}).get("contributions") or [],
        earlier=body.get("earlier_orders") or [],
        statistics=body.get("statistics") or {},
        measure=(body.get("condition") or {}).get("unit", ""),
        episodes=sorted(alarms.values(), key=lambda episode: episode.raised_at),
        timeline=story.timeline(house.site, events, language),
        links=links,
        tasks=tasks,
        attachments=attachments,
        leading=leading,
        others=others,
        choice=lambda field, value: forms.choice_name(field, value, language),
    )


@router.post("/orders/{number}/moves", include_in_schema=False)
def move_by_form(request: Request, house: Hall, number: str, who: Who, given: Form) -> Response:
    """A button was pressed: the same verb as the API's, and back to the order; a refusal stands above the page."""
    language = reader_language(house.site, request)
    try:
        move, version = given.get("move", ""), given.get("version", "")
        fields = forms.read_fields(move, given)
        with house.desk.transaction() as desk:
            if picture := forms.read_drawing(given):
                name, now = f"{who.name}.png", house.now()
                drawn = desk.attach(who, number, at=now, name=name, mime="image/png", data=picture)
                fields["signature"] = drawn.sha256
            desk.move(number, move, who, int(version) if version.isdecimal() else 0, house.now(), **fields)
    except MoveRefusedError as error:
        return _order_page(request, house, number, status_of(error), refusal(error, language))
    except FieldError as error:
        return _order_page(request, house, number, 422, refusal(error, language))
    return RedirectResponse(f"/orders/{number}", 303)
