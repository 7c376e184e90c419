"""Alarms as an API: which stand, what became of them, acknowledging and shelving."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from gateway.web.api import Given, Moment, Repeatable, refused
from gateway.web.house import Hall, may
from ticketing import Actor, Alarm, AlarmEvent, Shelf, Tx
from ticketing.records import DAY

router = APIRouter(tags=["Alarms"])
PAGE = 200


class AlarmFilter(BaseModel):
    """Which alarms to show, as it stands in the address."""

    model_config = ConfigDict(str_strip_whitespace=True)

    standing: bool = Field(
        default=True, description="active, or latched and not acknowledged; false: all, newest first"
    )
    asset: str = Field(default="", max_length=64)
    page: int = Field(default=1, ge=1, le=10_000)


class Ack(Given):
    """Somebody has seen the alarm."""

    note: str = Field("", max_length=500)


class Shelve(Given):
    """Mute an asset's alarms, or those of one rule on it, until a time at most eight hours away."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"asset": "pump-1", "until": 1_767_225_600_000, "reason": "test run"}]
        }
    )

    asset: str = Field(max_length=64)
    until: Moment = Field(description="UTC ms, at most eight hours away")
    reason: str = Field(max_length=500)
    rule_id: str = Field("", description="only this rule; empty: all of the asset", max_length=200)


class Unshelve(Given):
    """End a shelving before its time."""

    asset: str = Field(max_length=64)
    rule_id: str = Field("", max_length=200)


class Acked(BaseModel):
    """The alarm as it stands now."""

    alarm: Alarm


class Shelves(BaseModel):
    """What is muted now, by whom, why, and until when."""

    shelves: list[Shelf]


@router.get("/api/alarms", dependencies=[may("alarm.read")], responses=refused())
def list_alarms(house: Hall, wanted: Annotated[AlarmFilter, Query()]) -> list[Alarm]:
    """Alarms, the newest first; two hundred a page."""
    with house.desk.read() as desk:
        return desk.alarms(
            standing=wanted.standing,
            asset=wanted.asset or None,
            limit=PAGE,
            offset=(wanted.page - 1) * PAGE,
        )


@router.get("/api/alarms/journal", dependencies=[may("alarm.read")], responses=refused())
def journal(
    house: Hall,
    start: Annotated[Moment | None, Query(description="UTC ms; else a day ago")] = None,
    end: Annotated[Moment | None, Query(description="UTC ms; else now")] = None,
    asset: Annotated[str, Query(max_length=64)] = "",
) -> list[AlarmEvent]:
    """What became of the alarms and who touched them, oldest first."""
    until = house.now() + 1 if end is None else end
    with house.desk.read() as desk:
        return desk.alarm_events(until - DAY if start is None else start, until, asset=asset or None)


@router.get("/api/alarms/shelves", dependencies=[may("alarm.read")], responses=refused())
def shelves(house: Hall) -> Shelves:
    """What is muted now."""
    with house.desk.read() as desk:
        return Shelves(shelves=desk.shelves(house.now()))


@router.post("/api/alarms/shelve", dependencies=[may("alarm.shelve")], responses=refused(404, 409))
def shelve(once: Repeatable, given: Shelve) -> Shelves:
    """Mute alarms for a stated time; at its end those still active are judged at once."""

    def do(desk: Tx, who: Actor, now: int) -> dict[str, list[Shelf]]:
        desk.shelve(who, given.asset, at=now, until=given.until, reason=given.reason, rule_id=given.rule_id)
        return {"shelves": desk.shelves(now)}

    return Shelves.model_validate(once(do))


@router.post("/api/alarms/unshelve", dependencies=[may("alarm.shelve")], responses=refused(404, 409))
def unshelve(once: Repeatable, given: Unshelve) -> Shelves:
    """End a shelving now."""

    def do(desk: Tx, who: Actor, now: int) -> dict[str, list[Shelf]]:
        desk.unshelve(who, given.asset, at=now, rule_id=given.rule_id)
        return {"shelves": desk.shelves(now)}

    return Shelves.model_validate(once(do))


@router.post("/api/alarms/{episode:path}/ack", dependencies=[may("alarm.ack")], responses=refused(404, 409))
def ack(once: Repeatable, episode: str, given: Ack) -> Acked:
    """Acknowledge an alarm; the first one counts. A latched one leaves the list."""
    return Acked.model_validate(
        once(lambda desk, who, now: {"alarm": desk.ack(episode, who, now, given.note)})
    )
