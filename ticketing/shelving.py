"""Alarms muted for a stated time, with a reason and an end that everybody sees; at the end they are judged at once."""

from __future__ import annotations

from sqlalchemy import ColumnElement, delete, select

from ticketing import journal, timers
from ticketing.errors import FieldError, MissingFieldError
from ticketing.permissions import require
from ticketing.reading import Reading
from ticketing.records import HOUR, TIMER, Actor, Shelf
from ticketing.suppression import ANY_RULE, freeze, judge_anew, silence, thaw
from ticketing.tables import alarm as alarms
from ticketing.tables import shelf
from ticketing.writing import Writing

LONGEST = 8 * HOUR
TIMER_KIND = "shelf"


def listed(read: Reading, at: int) -> list[Shelf]:
    """What is shelved at that time, the next to end first."""
    columns = [shelf.c[name] for name in Shelf.__dataclass_fields__]
    query = (
        select(*columns).where(read.here(shelf), shelf.c.until > at).order_by(shelf.c.until, shelf.c.asset)
    )
    return [Shelf(*row) for row in read.connection.execute(query)]


def shelve(
    tx: Writing, actor: Actor, asset: str, *, at: int, until: int, reason: str, rule_id: str = ANY_RULE
) -> None:
    """Mute an asset's alarms, or those of one rule on it, until then; what waits for an order is muted too."""
    require(actor, "alarm.shelve")
    tx.asset(asset)
    if not reason.strip():
        raise MissingFieldError("shelve", ["reason"])
    if not at < until <= at + LONGEST:
        raise FieldError(["until"], f"alarms are shelved for {LONGEST // HOUR} hours at most")
    tx.connection.execute(delete(shelf).where(tx.here(shelf, asset=asset, rule_id=rule_id)))
    tx.add(shelf, asset=asset, rule_id=rule_id, until=until, at=at, by=actor.name, reason=reason)
    timers.start(tx, TIMER_KIND, f"{asset}/{rule_id}", at=until, ms=0)
    journal.note(tx, asset, rule_id, "", at=at, kind="shelved", actor=actor, text=reason)
    heard = _active(tx, asset, rule_id, "none")
    silence(tx, heard & (alarms.c.decision == "waiting"), "shelved", at)
    freeze(tx, heard, at)


def unshelve(tx: Writing, actor: Actor, asset: str, *, at: int, rule_id: str = ANY_RULE) -> None:
    """End it now."""
    require(actor, "alarm.shelve")
    timers.stop(tx, TIMER_KIND, f"{asset}/{rule_id}")
    _end(tx, asset, rule_id, at, actor)


def expire(tx: Writing, subject: str, at: int) -> None:
    """The time is over: alarms that are still active are judged now."""
    asset, _, rule_id = subject.partition("/")
    _end(tx, asset, rule_id, at, TIMER)


def _end(tx: Writing, asset: str, rule_id: str, at: int, actor: Actor) -> None:
    here = tx.here(shelf, asset=asset, rule_id=rule_id)
    if tx.connection.execute(delete(shelf).where(here)).rowcount:
        journal.note(tx, asset, rule_id, "", at=at, kind="unshelved", actor=actor)
    judge_anew(tx, _active(tx, asset, rule_id, "shelved"), at)
    thaw(tx, at)


def _active(tx: Writing, asset: str, rule_id: str, suppression: str) -> ColumnElement[bool]:
    """The active alarms that a shelf concerns."""
    concerned = tx.here(alarms, asset=asset, suppression=suppression, cleared_at=None)
    return concerned if rule_id == ANY_RULE else concerned & (alarms.c.rule_id == rule_id)
