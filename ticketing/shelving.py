"""Alarms muted for a stated time, with a reason and an end that everybody sees; at the end they are judged at once."""

from __future__ import annotations

from sqlalchemy import ColumnElement, delete, select, update

from ticketing import timers
from ticketing.auto_open import decide
from ticketing.errors import FieldError, MissingFieldError
from ticketing.permissions import require
from ticketing.reading import Reading
from ticketing.records import HOUR, Actor, Shelf
from ticketing.tables import alarm as alarms
from ticketing.tables import shelf
from ticketing.writing import Writing

LONGEST = 8 * HOUR
TIMER_KIND = "shelf"
ANY_RULE = ""


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
    waiting = _active(tx, asset, rule_id, "none") & (alarms.c.decision == "waiting")
    _judge(tx, waiting, "shelved", at)


def unshelve(tx: Writing, actor: Actor, asset: str, *, at: int, rule_id: str = ANY_RULE) -> None:
    """End it now."""
    require(actor, "alarm.shelve")
    timers.stop(tx, TIMER_KIND, f"{asset}/{rule_id}")
    expire(tx, f"{asset}/{rule_id}", at)


def expire(tx: Writing, subject: str, at: int) -> None:
    """The time is over: alarms that are still active are judged now."""
    asset, _, rule_id = subject.partition("/")
    tx.connection.execute(delete(shelf).where(tx.here(shelf, asset=asset, rule_id=rule_id)))
    _judge(tx, _active(tx, asset, rule_id, "shelved"), "none", at)


def is_shelved(tx: Writing, asset: str, rule_id: str, at: int) -> bool:
    """Whether an alarm of this rule on this asset is muted at that time."""
    matching = shelf.c.rule_id.in_([ANY_RULE, rule_id])
    query = select(shelf.c.asset).where(tx.here(shelf, asset=asset), matching, shelf.c.until > at)
    return tx.connection.scalar(query.limit(1)) is not None


def _active(tx: Writing, asset: str, rule_id: str, suppression: str) -> ColumnElement[bool]:
    """The active alarms that a shelf concerns."""
    concerned = tx.here(alarms, asset=asset, suppression=suppression, cleared_at=None)
    return concerned if rule_id == ANY_RULE else concerned & (alarms.c.rule_id == rule_id)


def _judge(tx: Writing, concerned: ColumnElement[bool], suppression: str, at: int) -> None:
    """Change the flag of these alarms, and decide about them anew."""
    query = select(alarms.c.episode, alarms.c.asset, alarms.c.rule_id).where(concerned)
    for row in tx.connection.execute(query.order_by(alarms.c.raised_at, alarms.c.episode)).all():
        if suppression == "none" and is_shelved(tx, row.asset, row.rule_id, at):
            continue  # by another shelf
        flag = update(alarms).where(tx.here(alarms, episode=row.episode))
        tx.connection.execute(flag.values(suppression=suppression))
        timers.stop(tx, "min_active", row.episode)
        decide(tx, tx.alarm(row.episode), at)
