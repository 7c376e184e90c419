"""From alarm to work order: seven questions in order, the first that answers decides.

All of it happens in the transaction of the alarm's transition.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from sqlalchemy import bindparam, case, func, or_, select, update

from ticketing import timers
from ticketing.attaching import attach, priority_of, recur
from ticketing.fault_key import fault_key
from ticketing.merging import survivor_of
from ticketing.opening import open_for_fault, open_row
from ticketing.records import ENGINE, OPEN_STATES, Alarm, Decision, Order, State
from ticketing.statements import Once, at_most
from ticketing.tables import alarm as alarms
from ticketing.tables import asset as assets
from ticketing.tables import mute, same, work_order
from ticketing.writing import Writing

STILL_TO_DO = [state for state in OPEN_STATES if state is not State.RESOLVED]

# Built once: composing a statement costs SQLAlchemy more than running it.
DECIDED = Once(update(alarms).where(same(alarms, "episode")))
MUTED = Once(
    update(mute)
    .where(
        same(mute, "fault_key", "rule_id", "rule_hash"),
        mute.c.severity >= bindparam("severity_"),
        mute.c.until > bindparam("at"),
    )
    .values(count=mute.c.count + 1)
    .returning(mute.c.number)
)
NEW_FAULTS = select(alarms.c.episode).where(
    same(alarms),
    or_(alarms.c.decision == "opened", alarms.c.decision == "flood"),
    alarms.c.decided_at > bindparam("after"),
    alarms.c.decided_at <= bindparam("at"),
)
_asset = work_order.c.asset.concat("")  # not by its index: of young orders there are fewer than of an asset's
_own = _asset == bindparam("of_asset")
_parent = _asset == bindparam("of_parent")  # nothing where there is no parent
_sibling = select(assets.c.code).where(same(assets, "parent"), assets.c.code == work_order.c.asset).exists()
RELATED = Once(
    select(work_order.c.number)
    .where(
        same(work_order),
        work_order.c.origin == "alarm",
        or_(*(work_order.c.state == state.value for state in STILL_TO_DO)),
        work_order.c.opened_at >= bindparam("after"),
        work_order.c.opened_at <= bindparam("at"),
        or_(_own, _parent, _sibling),
    )
    .order_by(
        case((_own, 0), (_parent, 1), else_=2), work_order.c.opened_at.desc(), work_order.c.number.desc()
    )
    .limit(at_most(1))
)


@cache
def _new_faults(most: int) -> Once:
    return Once(NEW_FAULTS.limit(at_most(most)))


def decide(tx: Writing, alarm: Alarm, at: int) -> Decision:
    """Ask the seven questions at time ``at`` and write the answer down beside the alarm."""
    decision = next(answer for question in QUESTIONS if (answer := question(tx, alarm, at)) is not None)
    written = {"decision": decision.kind, "why": decision.why, "decided_at": at}
    tx.run(DECIDED, {**tx.of(episode=alarm.episode), **written})
    tx.decisions.append(decision)
    return decision


# The seven questions


def only_recorded(_tx: Writing, alarm: Alarm, _at: int) -> Decision | None:
    """1. A shadow rule or a suppressed alarm is written down and nothing more."""
    if alarm.mode == "shadow":
        return Decision("shadow", None, f"rule {alarm.rule_id} is in shadow")
    if alarm.suppression != "none":
        return Decision("suppressed", None, f"the alarm is suppressed: {alarm.suppression}")
    return None


def already_open(tx: Writing, alarm: Alarm, at: int) -> Decision | None:
    """2. An open order with the key takes the occurrence; a resolved one comes back."""
    order = tx.open_order_for(alarm.fault_key) or survivor_of(tx, alarm.fault_key)
    if order is None:
        return None
    order = attach(tx, order, alarm, "repeat", at)
    if order.state is State.RESOLVED:
        return recur(tx, order, at)
    return Decision("attached", order.number, "an order is open for this fault")


def muted(tx: Writing, alarm: Alarm, at: int) -> Decision | None:
    """3. Called a false alarm before, and neither severity nor rule version changed: counted."""
    key = tx.of(fault_key=alarm.fault_key, rule_id=alarm.rule_id, rule_hash=alarm.rule_hash)
    number = tx.value(MUTED, {**key, "severity_": alarm.severity, "at": at})
    return None if number is None else Decision("muted", None, f"called a false alarm on {number}")


def not_yet(tx: Writing, alarm: Alarm, at: int) -> Decision | None:
    """4. Too short or too seldom so far: wait; a timer asks again."""
    if alarm.ready_at is None:
        return Decision("waiting", None, f"severity {alarm.severity} opens no order")
    needed = alarm.policy.occurrences
    if needed > 1 and (count := _occurrences(tx, alarm, at)) < needed:
        return Decision("waiting", None, f"seen {count} of {needed} times")
    if at < alarm.ready_at:
        timers.start(tx, "min_active", alarm.episode, at=at, ms=alarm.ready_at - at)
        return Decision(
            "waiting", None, f"opens an order if it stays active {(alarm.ready_at - at) / 1000:g} s"
        )
    return None


def correlated(tx: Writing, alarm: Alarm, at: int) -> Decision | None:
    """5. A young automatic order on the same asset, its parent or a sibling takes it as evidence."""
    order = _related_order(tx, alarm, at)
    if order is None:
        return None
    attach(tx, order, alarm, "correlated", at)
    return Decision("correlated", order.number, f"an order on {order.asset} opened shortly before")


def flooding(tx: Writing, alarm: Alarm, at: int) -> Decision | None:
    """6. A flood of new faults goes to one order of the site, until fewer come."""
    most = tx.policy.flood_end if tx.flooding else tx.policy.flood_start
    lately = {**tx.of(), "after": at - tx.policy.flood_window, "at": at}
    tx.flooding = len(tx.rows(_new_faults(most), lately)) == most
    if not tx.flooding:
        return None
    order = attach(tx, _flood_order(tx, alarm, at), alarm, "flood", at)
    if order.state is State.RESOLVED:
        return recur(tx, order, at)
    return Decision(
        "flood", order.number, f"{most} new faults or more within {tx.policy.flood_window // 60_000} min"
    )


def opened(tx: Writing, alarm: Alarm, at: int) -> Decision:
    """7. A new order, linked to the last one of this fault; a fault that keeps coming back is marked."""
    order = open_for_fault(
        tx,
        alarm.fault_key,
        at=at,
        actor=ENGINE,
        source=f"alarm:{alarm.episode}:{at}",
        type="inspection" if alarm.from_model else "condition",
        origin="alarm",
        asset=alarm.asset,
        failure_mode=alarm.failure_mode,
        title_zh=alarm.title_zh,
        title_en=alarm.title_en,
        priority=priority_of(tx, alarm),
        first_seen_at=alarm.since,
        self_clear=alarm.policy.self_clear,
        verify_ms=alarm.policy.verify,
    )
    attach(tx, order, alarm, "trigger", at)
    return Decision("opened", order.number, alarm.title_en)


Question = Callable[[Writing, Alarm, int], Decision | None]
QUESTIONS: tuple[Question, ...] = (only_recorded, already_open, muted, not_yet, correlated, flooding, opened)


def _occurrences(tx: Writing, alarm: Alarm, at: int) -> int:
    count = (
        select(func.count())
        .select_from(alarms)
        .where(
            tx.here(alarms, fault_key=alarm.fault_key, mode="live", suppression="none"),
            alarms.c.raised_at <= at,
            or_(alarms.c.raised_at > at - alarm.policy.window, alarms.c.episode == alarm.episode),
        )
    )
    return tx.connection.scalar(count) or 0


def _related_order(tx: Writing, alarm: Alarm, at: int) -> Order | None:
    here = tx.asset(alarm.asset)
    after = alarm.raised_at - tx.policy.correlation_window
    number = tx.value(RELATED, {**tx.of(asset=here.code, parent=here.parent), "after": after, "at": at})
    return None if number is None else tx.order(number)


def _flood_order(tx: Writing, alarm: Alarm, at: int) -> Order:
    key = fault_key(tx.site, "", "", "", "flood")
    found = tx.open_order_for(key)
    if found is not None:
        return found
    return open_row(
        tx,
        at=at,
        actor=ENGINE,
        source=f"flood:{alarm.episode}:{at}",
        type="flood",
        origin="alarm",
        asset=None,
        failure_mode="FLOOD",
        fault_key=key,
        title_zh="告警泛滥:短时间内出现大量新故障",
        title_en="Alarm flood: many new faults at once",
        priority=priority_of(tx, alarm),
    )
