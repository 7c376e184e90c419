"""The alarms' journal: what became of each, and who touched it. Only added to; ISA-18.2 figures are made of it."""

from __future__ import annotations

from sqlalchemy import bindparam, func, or_, select, update

from ticketing.permissions import require
from ticketing.reading import Reading
from ticketing.records import ENGINE, MINUTE, Actor, Alarm, AlarmEvent
from ticketing.statements import Once
from ticketing.tables import alarm as alarms
from ticketing.tables import alarm_event, same
from ticketing.writing import Writing

CHATTER = 3  # so many times active of one rule on one asset …
CHATTER_WITHIN = MINUTE  # … within this
_LATELY = (
    same(alarm_event, "asset", "rule_id"),
    alarm_event.c.at > bindparam("after"),
    alarm_event.c.at <= bindparam("until"),
)
TIMES_ACTIVE = Once(
    select(func.count()).where(
        *_LATELY, or_(alarm_event.c.kind == "raised", alarm_event.c.kind == "reactivated")
    )
)
NOTED = Once(select(func.count()).where(*_LATELY, alarm_event.c.kind == "chatters"))


def note(
    tx: Writing,
    asset: str,
    rule_id: str,
    episode: str,
    *,
    at: int,
    kind: str,
    actor: Actor = ENGINE,
    text: str = "",
) -> None:
    """One line; the same line again is the same line. ``episode`` is empty for what concerns none of them."""
    where = {"asset": asset, "rule_id": rule_id, "episode": episode}
    tx.add_once(alarm_event, **where, at=at, kind=kind, actor=actor.name, note=text)


def became_active(tx: Writing, alarm: Alarm, at: int, kind: str) -> None:
    """Note that the alarm was ``raised`` or ``reactivated``, and whether its rule chatters on this asset."""
    note(tx, alarm.asset, alarm.rule_id, alarm.episode, at=at, kind=kind)
    lately = {**tx.of(asset=alarm.asset, rule_id=alarm.rule_id), "after": at - CHATTER_WITHIN, "until": at}
    if tx.value(TIMES_ACTIVE, lately) >= CHATTER and not tx.value(NOTED, lately):
        note(tx, alarm.asset, alarm.rule_id, alarm.episode, at=at, kind="chatters")


def reactivated(tx: Writing, episode: str, count: int, at: int) -> None:
    """The alarm was on its way out and is violated again, for the ``count``-th time. Idempotent."""
    swung = update(alarms).where(tx.here(alarms, episode=episode), alarms.c.reactivations < count)
    if tx.connection.execute(swung.values(reactivations=count)).rowcount:
        became_active(tx, tx.alarm(episode), at, "reactivated")


def ack(tx: Writing, episode: str, actor: Actor, at: int, text: str) -> Alarm:
    """A person has seen the alarm; the first one counts."""
    require(actor, "alarm.ack")
    alarm = tx.alarm(episode)
    first = update(alarms).where(tx.here(alarms, episode=episode, acked_at=None))
    if tx.connection.execute(first.values(acked_at=at, acked_by=actor.name, ack_note=text)).rowcount:
        note(tx, alarm.asset, alarm.rule_id, episode, at=at, kind="acked", actor=actor, text=text)
    return tx.alarm(episode)


def events(
    read: Reading, start: int, end: int, *, asset: str | None = None, episode: str | None = None
) -> list[AlarmEvent]:
    """The lines of [start, end), oldest first."""
    columns = [alarm_event.c[name] for name in AlarmEvent.__dataclass_fields__]
    query = select(*columns).where(read.here(alarm_event), alarm_event.c.at >= start, alarm_event.c.at < end)
    if asset is not None:
        query = query.where(alarm_event.c.asset == asset)
    if episode is not None:
        query = query.where(alarm_event.c.episode == episode)
    ordered = query.order_by(alarm_event.c.at, alarm_event.c.asset, alarm_event.c.rule_id, alarm_event.c.kind)
    return [AlarmEvent(*row) for row in read.connection.execute(ordered)]
