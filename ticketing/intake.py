"""What the judge says of an alarm: raised, more severe, back to normal. Kept with its evidence, then decided.

Everything may be said twice (a replay after kill −9): the second time changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from typing import Any

from sqlalchemy import select, update

from ticketing import events, journal, timers
from ticketing.attaching import press, recur
from ticketing.auto_open import decide
from ticketing.errors import FieldError
from ticketing.fault_key import fault_key
from ticketing.records import ENGINE, MINUTE, Alarm, Asset, Decision, OrderPolicy, RaisedAlarm, State
from ticketing.repair import watch_the_repair
from ticketing.statements import Once
from ticketing.suppression import inhibition_began, inhibition_ended, is_inhibited, is_shelved
from ticketing.tables import alarm as alarms
from ticketing.tables import evidence, lookback, rule_version, same
from ticketing.writing import Writing

MIN_ACTIVE = {2: 10 * MINUTE, 3: MINUTE, 4: 0}  # where the rule says nothing; severity 1 opens no order
EVIDENCE_LIMIT = 64 * 1024  # bytes
KEPT = [field.name for field in fields(RaisedAlarm) if field.name in alarms.c]
DECISION = Once(select(alarms.c.decision).where(same(alarms, "episode")))
KNOWN = Once(select(evidence.c.sha256).where(same(evidence, "episode", "severity")))
CLEARED = Once(update(alarms).where(same(alarms, "episode"), alarms.c.cleared_at.is_(None)))


def raised(tx: Writing, given: RaisedAlarm) -> Decision:
    """A new episode: keep it with its evidence, and decide."""
    known = tx.value(DECISION, tx.of(episode=given.episode))
    if known is not None:
        numbers = [order.number for order in tx.orders_of_alarm(given.episode)]
        return Decision("known", next(iter(numbers), None), f"this episode is already {known}")
    if given.suppression == "none":
        given = replace(given, suppression=_suppression(tx, given))
    alarm = _keep(tx, given)
    journal.became_active(tx, alarm, given.at, "raised")
    inhibition_began(tx, alarm, given.at)
    return decide(tx, alarm, given.at)


def _suppression(tx: Writing, given: RaisedAlarm) -> str:
    if given.silent_at_work and tx.at_work(given.asset):
        return "by_design"
    if is_shelved(tx, given.asset, given.rule_id, given.at):
        return "shelved"
    return "by_design" if is_inhibited(tx, given.above) else "none"


def severity_raised(
    tx: Writing, episode: str, severity: int, at: int, body: Mapping[str, Any] | None = None
) -> Decision:
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
        _keep_evidence(tx, episode, severity, at, _with_our_part(tx, tx.asset(before.asset), body))
    alarm = tx.alarm(episode)
    journal.note(tx, alarm.asset, alarm.rule_id, episode, at=at, kind="severity_raised", text=str(severity))
    if not open_orders:
        return decide(tx, alarm, at)
    order = open_orders[0]
    order = press(tx, order, alarm, at, kind="severity_raised", fields={"episode": episode})
    if order.state is State.RESOLVED:
        return recur(tx, order, at)
    return Decision("attached", order.number, f"severity rose to {severity}")


def cleared(tx: Writing, episode: str, at: int) -> None:
    """Back to normal. It closes nothing, but lets the clocks of self-clearing and verifying run."""
    if tx.run(CLEARED, {**tx.of(episode=episode), "cleared_at": at}) == 0:
        return
    timers.stop(tx, "min_active", episode)
    alarm = tx.alarm(episode)
    journal.note(tx, alarm.asset, alarm.rule_id, episode, at=at, kind="cleared")
    inhibition_ended(tx, alarm, at)
    for order in tx.orders_of_alarm(episode):
        if not order.open or tx.is_active(order.number):
            continue
        tx.record(order.number, at=at, actor=ENGINE, kind="signal_normal", fields={"episode": episode})
        if order.state is State.RESOLVED:
            watch_the_repair(tx, tx.order(order.number), at)
        elif order.state is State.NEW and order.self_clear and order.severity_max <= 2:
            timers.start(tx, "self_clear", order.number, at=at, ms=tx.policy.self_clear_after)


def _keep(tx: Writing, given: RaisedAlarm) -> Alarm:
    asset = tx.asset(given.asset)  # unknown: NotFoundError before anything is written
    version = {"rule_id": given.rule_id, "sha256": given.rule_hash}
    tx.add_once(rule_version, **version, body=given.rule_body, first_seen_at=given.at)
    alarm = Alarm(
        **{name: getattr(given, name) for name in KEPT},
        fault_key=fault_key(tx.site, given.asset, given.failure_mode, given.rule_id, given.policy.key),
        raised_at=given.at,
        cleared_at=None,
        decision="undecided",
        why="",
        decided_at=given.at,
        ready_at=_ready(given.policy, given.severity, given.at),
        acked_at=None,
        acked_by=None,
        ack_note=None,
        reactivations=0,
    )
    row = {name: getattr(alarm, name) for name in Alarm.__dataclass_fields__}
    row["policy"] = events.canonical(asdict(given.policy))
    row["above"] = events.canonical(list(given.above))
    tx.add(alarms, **row)
    body = _with_our_part(tx, asset, given.evidence)
    _keep_evidence(tx, given.episode, given.severity, given.at, body)
    return alarm


def _keep_evidence(tx: Writing, episode: str, severity: int, at: int, body: Mapping[str, Any]) -> None:
    text = events.canonical(body)
    if len(text.encode()) > EVIDENCE_LIMIT:
        raise FieldError(
            ["evidence"], f"the evidence of {episode} is larger than {EVIDENCE_LIMIT // 1024} KiB"
        )
    tx.add(evidence, episode=episode, severity=severity, at=at, sha256=events.sha256(text), body=text)


def look_back(tx: Writing, episode: str, severity: int, past: Mapping[str, Any]) -> None:
    """What was measured before the alarm: the evidence of that severity gets it, once."""
    if tx.row(KNOWN, tx.of(episode=episode, severity=severity)) is not None:
        tx.add_once(lookback, episode=episode, severity=severity, body=events.canonical(past))


def _with_our_part(tx: Writing, asset: Asset, body: Mapping[str, Any]) -> Mapping[str, Any]:
    """The evidence with the asset's last orders as they stand now and whether it runs, if it has a place for them."""
    if "earlier_orders" not in body:
        return body
    return {**body, "earlier_orders": tx.earlier_orders(asset.code), "running": asset.running}


def _ready(policy: OrderPolicy, severity: int, at: int) -> int | None:
    """From when an alarm that reached ``severity`` at ``at`` may open an order."""
    needed = {**MIN_ACTIVE, **policy.min_active}.get(severity)
    return None if needed is None else at + needed


def _earliest(*times: int | None) -> int | None:
    return min((time for time in times if time is not None), default=None)
