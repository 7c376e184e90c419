"""The page of alarms: which stand, saying that one was seen, muting them for a stated time."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from gateway.web.house import Form, Hall, House, Who, may
from gateway.web.refusals import refusal, status_of
from gateway.web.render import reader_language
from ticketing import PERMISSIONS, Actor, FieldError, TicketingError, Tx
from ticketing.records import HOUR

router = APIRouter(prefix="/alarms", include_in_schema=False)
MOST = 200
HOURS = (1, 2, 4, 8)


@router.get("", dependencies=[may("alarm.read")])
def alarms_page(request: Request, house: Hall, who: Who) -> Response:
    """What stands, the most severe first; what is muted, until when and why."""
    return _page(request, house, who)


@router.post("/ack", dependencies=[may("alarm.ack")])
def ack(request: Request, house: Hall, who: Who, given: Form) -> Response:
    """Somebody has seen it."""

    def do(desk: Tx, now: int) -> None:
        desk.ack(given.get("episode", ""), who, now, given.get("note", "").strip()[:500])

    return _done(request, house, who, do)


@router.post("/shelve", dependencies=[may("alarm.shelve")])
def shelve(request: Request, house: Hall, who: Who, given: Form) -> Response:
    """Mute a machine's alarms, or those of one rule on it, for some hours."""

    def do(desk: Tx, now: int) -> None:
        hours = given.get("hours", "")
        if hours not in {str(each) for each in HOURS}:
            raise FieldError(["until"], f"hours are one of {HOURS}")
        desk.shelve(
            who,
            given.get("asset", ""),
            at=now,
            until=now + int(hours) * HOUR,
            reason=given.get("reason", "")[:500],
            rule_id=given.get("rule_id", ""),
        )

    return _done(request, house, who, do)


@router.post("/unshelve", dependencies=[may("alarm.shelve")])
def unshelve(request: Request, house: Hall, who: Who, given: Form) -> Response:
    """Mute no longer."""

    def do(desk: Tx, now: int) -> None:
        desk.unshelve(who, given.get("asset", ""), at=now, rule_id=given.get("rule_id", ""))

    return _done(request, house, who, do)


def _done(request: Request, house: House, who: Actor, do: Callable[[Tx, int], None]) -> Response:
    """Back to the page; what is refused stands above it."""
    try:
        with house.desk.transaction() as desk:
            do(desk, house.now())
    except TicketingError as error:
        return _page(request, house, who, error)
    return RedirectResponse("/alarms", 303)


def _page(request: Request, house: House, who: Actor, error: TicketingError | None = None) -> Response:
    now = house.now()
    with house.desk.read() as desk:
        standing = desk.alarms(standing=True, limit=MOST)
        shelves = desk.shelves(now)
        orders = {each.episode: desk.orders_of_alarm(each.episode) for each in standing}
    return house.renderer.page(
        request,
        "alarms.html",
        status_of(error) if error else 200,
        refused=refusal(error, reader_language(house.site, request)) if error else "",
        alarms=sorted(
            standing, key=lambda each: (each.acked_at is not None, -each.severity, -each.raised_at)
        ),
        shelves=shelves,
        orders=orders,
        hours=HOURS,
        may_ack=bool(who.roles.intersection(PERMISSIONS["alarm.ack"])),
        may_shelve=bool(who.roles.intersection(PERMISSIONS["alarm.shelve"])),
    )
