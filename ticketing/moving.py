"""Making a move: check it against the table, change the order, and do what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import delete, func, select

from ticketing import sla, timers
from ticketing.fields import FIELDS
from ticketing.moves import MOVES, Asked, check
from ticketing.opening import open_row
from ticketing.records import DAY, Actor, Order
from ticketing.tables import alarm, mute, wo_alarm
from ticketing.writing import Writing

ORDER_TIMERS = ("self_clear", "verify", "not_cleared", "auto_close")
POOR = 3  # fewer stars than this ask for a re-inspection


def make_move(tx: Writing, order: Order, asked: Asked) -> Order:
    """The order after the move; refused as ``moves.check`` says."""
    asked = replace(asked, fields={name: value for name, value in asked.fields.items() if value is not None})
    move = check(order, asked)
    columns = {name: value for name, value in asked.fields.items() if FIELDS[name].column}
    columns.update(_columns(tx, order, asked))
    if move.to is not None:
        columns["state"] = move.to.value
    moved = tx.change(
        order,
        at=asked.at,
        actor=asked.actor,
        kind=asked.name,
        columns=columns,
        fields=asked.fields,
        moved=asked.actor.kind == "person" or move.to is not None,
    )
    _follow(tx, moved, asked)
    sla.schedule(tx, moved, asked.at)
    return moved


def _columns(tx: Writing, order: Order, asked: Asked) -> dict[str, Any]:  # noqa: PLR0911  a table with a case per move
    """What the move changes on the order beyond the fields given and the state."""
    at, fields, policy = asked.at, asked.fields, tx.policy_of(order)
    match asked.name:
        case "accept" | "start":
            return {"accepted_at": order.accepted_at or at}
        case "decline":
            return {"assignee": None, "accepted_at": None}
        case "resume":
            return {"hold_reason": None, **sla.resumed(tx, policy, order, at)}
        case "resolve":
            return {"resolved_at": at, "outcome": fields.get("outcome", "worked")}
        case "reject" | "recur":
            back = {"resolved_at": None, "verified_at": None, "outcome": None, "accepted_at": None}
            return {**back, **sla.reopened(policy, order, at), "reopen_count": order.reopen_count + 1}
        case "set_priority" if fields["priority"] < order.priority:
            return sla.hastened(policy, order, fields["priority"], at)
        case "set_priority":
            return sla.relaxed(policy, order, fields["priority"])
        case "sign_off" | "auto_close":
            return {"closed_at": at}
        case "self_cleared":
            return {"closed_at": at, "outcome": "self_cleared"}
        case "cancel":
            return {"closed_at": at, "outcome": fields["cancel_reason"]}
        case "escalate":
            return {"level": order.level + 1}
    return {}


def _follow(tx: Writing, order: Order, asked: Asked) -> None:
    """What else happens because the move was made; ``order`` is as it stands after it."""
    name, at, fields = asked.name, asked.at, asked.fields
    if MOVES[name].to is not None:
        _stop_timers(tx, order)
    if name == "resolve":
        watch_the_repair(tx, order, at)
    if name in ("hold", "resolve"):
        timers.start(tx, "work_ended", order.number, at=at, ms=0)
    if order.outcome == "false_alarm" and name in ("resolve", "cancel"):
        _mute(tx, order, at, fields.get("mute_days", tx.policy.mute_days))
    if "duplicate_of" in fields:
        tx.link(order.number, "duplicate_of", tx.order(fields["duplicate_of"]).number)
    if name == "sign_off" and fields["stars"] < POOR:
        _inspect_again(tx, order, asked.actor, at)


def _stop_timers(tx: Writing, order: Order) -> None:
    for kind in ORDER_TIMERS:
        timers.stop(tx, kind, order.number)


def watch_the_repair(tx: Writing, order: Order, at: int) -> None:
    """While resolved: the signal must clear soon, then stay normal; without a signal the days count."""
    _stop_timers(tx, order)
    if order.alarms_active:
        ms = tx.policy.not_cleared_after
        timers.start(tx, "not_cleared", order.number, at=at, ms=ms, asset=order.asset)
    elif order.alarms:
        timers.start(tx, "verify", order.number, at=at, ms=order.verify_ms, asset=order.asset)
    else:
        start_auto_close(tx, order, at)


def start_auto_close(tx: Writing, order: Order, at: int) -> None:
    """Nobody signs: a minor order closes by itself some days after it was resolved."""
    if order.priority >= tx.policy.auto_close_from and order.resolved_at is not None:
        due = max(at, order.resolved_at + tx.policy.auto_close_after)
        timers.start(tx, "auto_close", order.number, at=at, ms=due - at)


def _mute(tx: Writing, order: Order, at: int, days: int) -> None:
    """The fault stays silent for each rule that saw it: for a time, at this severity and rule version."""
    seen = (
        select(alarm.c.rule_id, alarm.c.rule_hash, func.max(alarm.c.severity).label("severity"))
        .join(wo_alarm, (wo_alarm.c.site == alarm.c.site) & (wo_alarm.c.episode == alarm.c.episode))
        .where(tx.here(wo_alarm, number=order.number), alarm.c.fault_key == order.fault_key)
        .group_by(alarm.c.rule_id, alarm.c.rule_hash)
        .order_by(func.max(alarm.c.raised_at))
    )
    for row in tx.connection.execute(seen).all():
        key = {"fault_key": order.fault_key, "rule_id": row.rule_id}
        tx.connection.execute(delete(mute).where(tx.here(mute, **key)))
        what = {"rule_hash": row.rule_hash, "severity": row.severity, "number": order.number}
        tx.add(mute, **key, **what, until=at + days * DAY, count=0)


def _inspect_again(tx: Writing, order: Order, actor: Actor, at: int) -> None:
    """Poor work is looked at by another person."""
    again = open_row(
        tx,
        at=at,
        actor=actor,
        source=f"reinspects:{order.number}",
        type="reinspection",
        origin="person",
        asset=order.asset,
        failure_mode=order.failure_mode,
        title_zh=f"复检 {order.number}:{order.title_zh}",
        title_en=f"Re-inspect {order.number}: {order.title_en}",
        priority=order.priority,
        requester=actor.name,
        barred=order.assignee,
    )
    tx.link(again.number, "reinspects", order.number)
