"""From alarm to work order: seven questions in order, the first that answers decides.

All of it happens in the transaction of the alarm's transition. An episode is decided once: asked again
(a replay after kill −9), the answer is "known".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import and_, case, func, or_, select, update

from ticketing import events, sla, timers
from ticketing.errors import FieldError
from ticketing.merging import survivor_of
from ticketing.moves import Asked
from ticketing.moving import make_move
from ticketing.opening import open_for_fault, open_row
from ticketing.policy import priority
from ticketing.records import (
    ENGINE,
    MINUTE,
    OPEN_STATES,
    Alarm,
    Decision,
    Order,
    OrderPolicy,
    RaisedAlarm,
    State,
)
from ticketing.repair import watch_the_repair
from ticketing.tables import alarm as alarms
from ticketing.tables import asset as assets
from ticketing.tables import evidence, mute, rule_version, wo_alarm, work_order
from ticketing.writing import Writing

MIN_ACTIVE = {2: 10 * MINUTE, 3: MINUTE, 4: 0}  # where the rule says nothing; severity 1 opens no order
EVIDENCE_LIMIT = 64 * 1024  # bytes
UNDECIDED = "undecided"
STILL_TO_DO = [state for state in OPEN_STATES if state is not State.RESOLVED]


def fault_key(site: str, asset: str, failure_mode: str, rule_id: str, key: str) -> str:
    """What may be open only once. Not the rule's name: two rules seeing one bearing give one order."""
    parts = {
        "asset_failure_mode": (site, asset, failure_mode),
        "asset": (site, asset),
        "rule_asset": (site, asset, f"rule:{rule_id}"),
        "flood": (site, "", "flood"),
    }[key]
    return events.sha256("\x1f".join(parts))


def raised(tx: Writing, given: RaisedAlarm) -> Decision:
    """A new episode: keep it with its evidence, and decide."""
    known = tx.connection.execute(
        select(alarms.c.decision).where(tx.here(alarms, episode=given.episode))
    ).one_or_none()
    if known is not None:
        numbers = [order.number for order in tx.orders_of_alarm(given.episode)]
        return Decision("known", next(iter(numbers), None), f"this episode is already {known.decision}")
    _keep(tx, given)
    return decide(tx, tx.alarm(given.episode), given.at)


def severity_raised(tx: Writing, episode: str, severity: int, at: int, body: object = None) -> Decision:
    """A higher limit held: the order with the alarm becomes more urgent, else it is decided anew."""
    before = tx.alarm(episode)
    open_orders = [order for order in tx.orders_of_alarm(episode) if order.open]
    if severity <= before.severity:
        number = open_orders[0].number if open_orders else None
        return Decision("known", number, f"severity {severity} is not above {before.severity}")
    here = tx.here(alarms, episode=episode)
    ready = _earliest(before.ready_at, _ready(before.policy, severity, at))
    tx.connection.execute(update(alarms).where(here).values(severity=severity, ready_at=ready))
    if body is not None:
        _keep_evidence(tx, episode, severity, at, body)
    alarm = tx.alarm(episode)
    if not open_orders:
        return decide(tx, alarm, at)
    order = open_orders[0]
    order = _press(tx, order, alarm, at, kind="severity_raised", fields={"episode": episode})
    if order.state is State.RESOLVED:
        return _recur(tx, order, at)
    return Decision("attached", order.number, f"severity rose to {severity}")


def cleared(tx: Writing, episode: str, at: int) -> None:
    """Back to normal. It closes nothing, but lets the clocks of self-clearing and verifying run."""
    here = tx.here(alarms, episode=episode, cleared_at=None)
    if tx.connection.execute(update(alarms).where(here).values(cleared_at=at)).rowcount == 0:
        return
    timers.stop(tx, "min_active", episode)
    for order in tx.orders_of_alarm(episode):
        if not order.open or order.alarms_active:
            continue
        tx.record(order.number, at=at, actor=ENGINE, kind="signal_normal", fields={"episode": episode})
        if order.state is State.RESOLVED:
            watch_the_repair(tx, order, at)
        elif order.state is State.NEW and order.self_clear and order.severity_max <= 2:
            timers.start(tx, "self_clear", order.number, at=at, ms=tx.policy.self_clear_after)


def decide(tx: Writing, alarm: Alarm, at: int) -> Decision:
    """Ask the seven questions at time ``at`` and write the answer down beside the alarm."""
    decision = next(answer for question in QUESTIONS if (answer := question(tx, alarm, at)) is not None)
    written = {"decision": decision.kind, "why": decision.why, "decided_at": at}
    tx.connection.execute(update(alarms).where(tx.here(alarms, episode=alarm.episode)).values(**written))
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
        return _recur(tx, order, at)
    return Decision("attached", order.number, "an order is open for this fault")


def muted(tx: Writing, alarm: Alarm, at: int) -> Decision | None:
    """3. Called a false alarm before, and neither severity nor rule version changed: counted."""
    here = tx.here(mute, fault_key=alarm.fault_key, rule_id=alarm.rule_id, rule_hash=alarm.rule_hash)
    holds = and_(here, mute.c.severity >= alarm.severity, mute.c.until > at)
    counted = update(mute).where(holds).values(count=mute.c.count + 1).returning(mute.c.number)
    found = tx.connection.execute(counted).one_or_none()
    return None if found is None else Decision("muted", None, f"called a false alarm on {found.number}")


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
    count = tx.connection.scalar(
        select(func.count())
        .select_from(alarms)
        .where(
            tx.here(alarms),
            alarms.c.decision.in_(["opened", "flood"]),
            alarms.c.decided_at > at - tx.policy.flood_window,
            alarms.c.decided_at <= at,
        )
    )
    tx.flooding = (count or 0) >= (tx.policy.flood_end if tx.flooding else tx.policy.flood_start)
    if not tx.flooding:
        return None
    order = attach(tx, _flood_order(tx, alarm, at), alarm, "flood", at)
    if order.state is State.RESOLVED:
        return _recur(tx, order, at)
    return Decision(
        "flood", order.number, f"{count} new faults within {tx.policy.flood_window // 60_000} min"
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
        priority=_priority(tx, alarm),
        first_seen_at=alarm.since,
        self_clear=alarm.policy.self_clear,
        verify_ms=alarm.policy.verify,
    )
    attach(tx, order, alarm, "trigger", at)
    return Decision("opened", order.number, alarm.title_en)


Question = Callable[[Writing, Alarm, int], Decision | None]
QUESTIONS: tuple[Question, ...] = (only_recorded, already_open, muted, not_yet, correlated, flooding, opened)


# What the questions lean on


def attach(tx: Writing, order: Order, alarm: Alarm, relation: str, at: int) -> Order:
    """The alarm becomes part of the order's story, and may make it more urgent, never less."""
    if relation != "trigger":
        timers.stop(tx, "self_clear", order.number)
    tx.add(wo_alarm, number=order.number, episode=alarm.episode, relation=relation, at=at)
    fields = {"episode": alarm.episode, "relation": relation, "severity": alarm.severity}
    count = {"occurrence_count": order.occurrence_count + 1}
    order = _press(tx, order, alarm, at, kind="occurrence", fields=fields, columns=count)
    return replace(order, alarms=order.alarms + 1, alarms_active=order.alarms_active + alarm.active)


def _press(tx: Writing, order: Order, alarm: Alarm, at: int, **change: Any) -> Order:
    """Write the alarm's effect on the order: its severity, and perhaps a higher priority with nearer due times."""
    columns: dict[str, Any] = change.pop("columns", {})
    columns["severity_max"] = max(order.severity_max, alarm.severity)
    urgency = _priority(tx, alarm)
    if urgency < order.priority:
        columns |= sla.hastened(tx.policy_of(order), order, urgency, at)
    changed = {name: value for name, value in columns.items() if value != getattr(order, name)}
    pressed = tx.change(order, at=at, actor=ENGINE, columns=changed, **change)
    if pressed.priority != order.priority:
        sla.schedule(tx, pressed, at)
    return pressed


def _recur(tx: Writing, order: Order, at: int) -> Decision:
    make_move(tx, order, Asked("recur", ENGINE, order.version, at, {"reason": "the fault came back"}))
    return Decision("recurred", order.number, "the fault came back before the order was closed")


def _priority(tx: Writing, alarm: Alarm) -> int:
    return priority(alarm.severity, tx.asset(alarm.asset).criticality, from_model=alarm.from_model)


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


def _ready(policy: OrderPolicy, severity: int, at: int) -> int | None:
    """From when an alarm that reached ``severity`` at ``at`` may open an order."""
    needed = {**MIN_ACTIVE, **policy.min_active}.get(severity)
    return None if needed is None else at + needed


def _earliest(*times: int | None) -> int | None:
    return min((time for time in times if time is not None), default=None)


def _related_order(tx: Writing, alarm: Alarm, at: int) -> Order | None:
    here = tx.asset(alarm.asset)
    siblings = select(assets.c.code).where(tx.here(assets, parent=here.parent))
    related = [work_order.c.asset == here.code]
    if here.parent is not None:
        related += [work_order.c.asset == here.parent, work_order.c.asset.in_(siblings)]
    nearest = case((work_order.c.asset == here.code, 0), (work_order.c.asset == here.parent, 1), else_=2)
    number = tx.connection.scalar(
        select(work_order.c.number)
        .where(
            tx.here(work_order, origin="alarm"),
            work_order.c.state.in_(STILL_TO_DO),
            work_order.c.opened_at >= alarm.raised_at - tx.policy.correlation_window,
            work_order.c.opened_at <= at,
            or_(*related),
        )
        .order_by(nearest, work_order.c.opened_at.desc(), work_order.c.number.desc())
        .limit(1)
    )
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
        priority=_priority(tx, alarm),
    )


def _keep(tx: Writing, given: RaisedAlarm) -> None:
    tx.asset(given.asset)  # unknown: NotFoundError before anything is written
    version = {"rule_id": given.rule_id, "sha256": given.rule_hash}
    tx.add_once(rule_version, **version, body=given.rule_body, first_seen_at=given.at)
    key = fault_key(tx.site, given.asset, given.failure_mode, given.rule_id, given.policy.key)
    names = (
        "episode",
        "asset",
        "failure_mode",
        "severity",
        "since",
        "rule_id",
        "rule_hash",
        "title_zh",
        "title_en",
    )
    row = {name: getattr(given, name) for name in (*names, "mode", "suppression", "from_model")}
    tx.add(
        alarms,
        fault_key=key,
        raised_at=given.at,
        policy=events.canonical(asdict(given.policy)),
        decision=UNDECIDED,
        why="",
        decided_at=given.at,
        ready_at=_ready(given.policy, given.severity, given.at),
        **row,
    )
    _keep_evidence(tx, given.episode, given.severity, given.at, given.evidence)


def _keep_evidence(tx: Writing, episode: str, severity: int, at: int, body: object) -> None:
    text = events.canonical(body)
    if len(text.encode()) > EVIDENCE_LIMIT:
        raise FieldError(
            ["evidence"], f"the evidence of {episode} is larger than {EVIDENCE_LIMIT // 1024} KiB"
        )
    tx.add(evidence, episode=episode, severity=severity, at=at, sha256=events.sha256(text), body=text)
