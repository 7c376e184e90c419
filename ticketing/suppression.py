"""Why an alarm is silent: shelved by a person, or by design, since people work there or another alarm stands above it.

A silent alarm is recorded and counted; when the reason ends and the alarm is still active, it is judged at once.
An order that was open before stays open; while none of its alarms is heard its clocks stand still (``sla.freeze``).
A rule says that its alarm inhibits; the hall says what stands above an alarm: the machines that its asset is part
of, and the devices that read what it looks at. A device that does not answer is one order, not one on each machine.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, bindparam, or_, select, update

from ticketing import sla, timers
from ticketing.auto_open import decide
from ticketing.reading import Reading
from ticketing.records import Alarm
from ticketing.statements import Once, at_most
from ticketing.tables import alarm as alarms
from ticketing.tables import same, shelf, wo_alarm
from ticketing.writing import Writing

ANY_RULE = ""
SHELVED = Once(
    select(shelf.c.asset)
    .where(
        same(shelf, "asset"),
        or_(shelf.c.rule_id == ANY_RULE, shelf.c.rule_id == bindparam("rule_id")),
        shelf.c.until > bindparam("at"),
    )
    .limit(at_most(1))
)

INHIBITING = (
    select(alarms.c.episode)
    .where(
        same(alarms),
        alarms.c.inhibits,
        alarms.c.mode == "live",
        alarms.c.cleared_at.is_(None),
        alarms.c.asset.in_(bindparam("above", expanding=True)),
    )
    .limit(at_most(1))
)


def is_shelved(read: Reading, asset: str, rule_id: str, at: int) -> bool:
    """Whether an alarm of this rule on this asset is muted at that time."""
    key = {**read.of(asset=asset), "rule_id": rule_id, "at": at}
    return read.row(SHELVED, key) is not None


def is_inhibited(read: Reading, above: tuple[str, ...]) -> bool:
    """Whether a live alarm that inhibits is active on one of these."""
    if not above:
        return False
    return read.connection.scalar(INHIBITING, {**read.of(), "above": above}) is not None


def inhibition_began(tx: Writing, above: Alarm, at: int) -> None:
    """``above`` is active: what waits for an order under it falls silent."""
    if above.inhibits and above.mode == "live":
        below = _under(tx, above, "none")
        silence(tx, below & (alarms.c.decision == "waiting"), "by_design", at)
        freeze(tx, below, at)


def inhibition_ended(tx: Writing, above: Alarm, at: int) -> None:
    """``above`` has cleared: what was silent for it and is still active is judged now."""
    if above.inhibits and above.mode == "live":
        judge_anew(tx, _under(tx, above, "by_design"), at)
        thaw(tx, at)


def silence(tx: Writing, concerned: ColumnElement[bool], suppression: str, at: int) -> None:
    """These alarms open no order from now on."""
    for episode in _episodes(tx, concerned):
        _flag(tx, episode, suppression, at)


def judge_anew(tx: Writing, concerned: ColumnElement[bool], at: int) -> None:
    """A reason for silence ended: these alarms are decided about, unless another reason holds."""
    for episode in _episodes(tx, concerned):
        alarm = tx.alarm(episode)
        reason = _reason(tx, alarm, at)
        if reason != alarm.suppression:
            _flag(tx, episode, reason, at)


def freeze(tx: Writing, concerned: ColumnElement[bool], at: int) -> None:
    """Orders with these alarms stand still, where no alarm of theirs is heard any more."""
    on = and_(wo_alarm.c.site == alarms.c.site, wo_alarm.c.episode == alarms.c.episode)
    numbers = (
        select(wo_alarm.c.number).join(alarms, on).where(concerned).order_by(wo_alarm.c.number).distinct()
    )
    for number in list(tx.connection.scalars(numbers)):
        order = tx.order(number)
        if order.state in sla.FREEZABLE and not sla.is_frozen(tx, number) and _unheard(tx, number, at):
            sla.freeze(tx, order, at)


def thaw(tx: Writing, at: int) -> None:
    """A reason for silence ended: orders with an alarm that is heard again go on, and so do those without any."""
    for number in sla.frozen(tx):
        if not _unheard(tx, number, at):
            sla.thaw(tx, tx.order(number), at)


def _unheard(tx: Writing, number: str, at: int) -> bool:
    active = tx.alarms(number=number, active=True, limit=None)
    silent = (is_shelved(tx, a.asset, a.rule_id, at) or is_inhibited(tx, a.above) for a in active)
    return bool(active) and all(silent)


def _reason(tx: Writing, alarm: Alarm, at: int) -> str:
    if is_shelved(tx, alarm.asset, alarm.rule_id, at):
        return "shelved"
    if is_inhibited(tx, alarm.above):
        return "by_design"
    at_work = alarm.suppression == "by_design" and tx.at_work(alarm.asset)
    return "by_design" if at_work else "none"


def _flag(tx: Writing, episode: str, suppression: str, at: int) -> None:
    here = tx.here(alarms, episode=episode)
    tx.connection.execute(update(alarms).where(here).values(suppression=suppression))
    timers.stop(tx, "min_active", episode)
    decide(tx, tx.alarm(episode), at)


def _episodes(tx: Writing, concerned: ColumnElement[bool]) -> list[str]:
    query = select(alarms.c.episode).where(concerned).order_by(alarms.c.raised_at, alarms.c.episode)
    return list(tx.connection.scalars(query).all())


def _under(tx: Writing, above: Alarm, suppression: str) -> ColumnElement[bool]:
    concerned = tx.here(alarms, suppression=suppression, cleared_at=None)
    return concerned & alarms.c.above.contains(f'"{above.asset}"', autoescape=True)
