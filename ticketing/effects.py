"""What each move does beyond the fields given and the state: the columns it sets, and what follows from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import delete, func, select

from ticketing import costs, custom, linking, merging, plans, routing, signing, sla, tasks, timers
from ticketing.events import canonical
from ticketing.moves import Asked
from ticketing.opening import open_row
from ticketing.records import DAY, Order
from ticketing.repair import watch_the_repair
from ticketing.tables import alarm, mute, wo_alarm
from ticketing.writing import Writing

POOR = 3  # fewer stars than this ask for a re-inspection

# Columns


def _accepted(_tx: Writing, order: Order, asked: Asked) -> dict[str, Any]:
    return {"accepted_at": order.accepted_at or asked.at}


def _assigned(tx: Writing, order: Order, asked: Asked) -> dict[str, Any]:
    routing.check(tx, order, asked)
    return {}


def _declined(_tx: Writing, _order: Order, _asked: Asked) -> dict[str, Any]:
    return {"assignee": None, "accepted_at": None}


def _resumed(tx: Writing, order: Order, asked: Asked) -> dict[str, Any]:
    return {"hold_reason": None, **sla.resumed(tx, tx.policy_of(order), order, asked.at)}


def _resolved(tx: Writing, order: Order, asked: Asked) -> dict[str, Any]:
    costs.within_approval(tx, order)
    custom.require_filled(tx.policy_of(order).fields, order.custom, "resolve")
    return {"resolved_at": asked.at, "outcome": asked.fields.get("outcome", "worked")}


def _reopened(tx: Writing, order: Order, asked: Asked) -> dict[str, Any]:
    back = {"resolved_at": None, "verified_at": None, "outcome": None, "accepted_at": None}
    clocks = sla.reopened(tx.policy_of(order), order, asked.at)
    return {**back, **clocks, "reopen_count": order.reopen_count + 1}


def _prioritised(tx: Writing, order: Order, asked: Asked) -> dict[str, Any]:
    wanted, policy = asked.fields["priority"], tx.policy_of(order)
    if wanted < order.priority:
        return {**sla.hastened(policy, order, wanted, asked.at)}
    return {**sla.relaxed(policy, order, wanted)}


def _closed(_tx: Writing, _order: Order, asked: Asked) -> dict[str, Any]:
    return {"closed_at": asked.at}


def _signed(tx: Writing, order: Order, asked: Asked) -> dict[str, Any]:
    signing.check(tx, order, asked)
    return {"closed_at": asked.at}


def _cancelled(_tx: Writing, _order: Order, asked: Asked) -> dict[str, Any]:
    return {"closed_at": asked.at, "outcome": asked.fields.get("cancel_reason", "self_cleared")}


def _filled_in(tx: Writing, order: Order, asked: Asked) -> dict[str, Any]:
    fields = tx.policy_of(order).fields
    return {"custom": canonical(custom.merged(fields, order.custom, asked.fields["custom"]))}


def _escalated(_tx: Writing, order: Order, _asked: Asked) -> dict[str, Any]:
    return {"level": order.level + 1}


Columns = Callable[[Writing, Order, Asked], dict[str, Any]]
COLUMNS: Mapping[str, Columns] = {
    "assign": _assigned,
    "accept": _accepted,
    "start": _accepted,
    "decline": _declined,
    "resume": _resumed,
    "resolve": _resolved,
    "reject": _reopened,
    "recur": _reopened,
    "set_priority": _prioritised,
    "sign_off": _signed,
    "auto_close": _closed,
    "cancel": _cancelled,
    "self_cleared": _cancelled,
    "escalate": _escalated,
    "set_fields": _filled_in,
    "merge_in": merging.earliest_clocks,
    "unmerge": merging.as_it_was,
}

# What follows; the order is as it stands after the move


def _verify(tx: Writing, order: Order, asked: Asked) -> None:
    watch_the_repair(tx, order, asked.at)


def _judge_the_silent(tx: Writing, order: Order, asked: Asked) -> None:
    timers.start(tx, "work_ended", order.number, at=asked.at, ms=0)


def _mute_if_false(tx: Writing, order: Order, asked: Asked) -> None:
    """The fault stays silent for each rule that saw it: for a time, at this severity and rule version."""
    if order.outcome != "false_alarm":
        return
    seen = (
        select(alarm.c.rule_id, alarm.c.rule_hash, func.max(alarm.c.severity).label("severity"))
        .join(wo_alarm, (wo_alarm.c.site == alarm.c.site) & (wo_alarm.c.episode == alarm.c.episode))
        .where(tx.here(wo_alarm, number=order.number), alarm.c.fault_key == order.fault_key)
        .group_by(alarm.c.rule_id, alarm.c.rule_hash)
        .order_by(func.max(alarm.c.raised_at))
    )
    until = asked.at + asked.fields.get("mute_days", tx.policy.mute_days) * DAY
    for row in tx.connection.execute(seen).all():
        key = {"fault_key": order.fault_key, "rule_id": row.rule_id}
        tx.connection.execute(delete(mute).where(tx.here(mute, **key)))
        what = {"rule_hash": row.rule_hash, "severity": row.severity, "number": order.number}
        tx.add(mute, **key, **what, until=until, count=0)


def _link_duplicate(tx: Writing, order: Order, asked: Asked) -> None:
    if "duplicate_of" in asked.fields:
        tx.link(order.number, "duplicate_of", tx.order(asked.fields["duplicate_of"]).number)


def _inspect_again(tx: Writing, order: Order, asked: Asked) -> None:
    """Poor work is looked at by another person."""
    if asked.fields["stars"] >= POOR:
        return
    again = open_row(
        tx,
        at=asked.at,
        actor=asked.actor,
        source=f"reinspects:{order.number}",
        type="reinspection",
        origin="person",
        asset=order.asset,
        failure_mode=order.failure_mode,
        title_zh=f"复检 {order.number}:{order.title_zh}",
        title_en=f"Re-inspect {order.number}: {order.title_en}",
        priority=order.priority,
        requester=asked.actor.name,
        barred=order.assignee,
    )
    tx.link(again.number, "reinspects", order.number)


def _route_again(tx: Writing, order: Order, asked: Asked) -> None:
    routing.wait(tx, order, asked.at)


def _plan_done(tx: Writing, order: Order, asked: Asked) -> None:
    plans.completed(tx, order, asked.at)


After = Callable[[Writing, Order, Asked], None]
AFTER: Mapping[str, tuple[After, ...]] = {
    "decline": (_route_again,),
    "start": (costs.bypass_if_urgent,),
    "hold": (_judge_the_silent,),
    "resolve": (_verify, _judge_the_silent, _mute_if_false, _plan_done),
    "cancel": (_mute_if_false, _link_duplicate, _plan_done),
    "sign_off": (signing.seal, _inspect_again),
    "do_task": (tasks.done,),
    "add_task": (tasks.asked_for,),
    "link": (linking.link,),
    "unlink": (linking.unlink,),
    "add_cost": (costs.added,),
    "estimate": (costs.ask_for_approval,),
    "approve": (costs.approved,),
    "merge_in": (merging.take_in,),
    "unmerge": (merging.give_back,),
}
