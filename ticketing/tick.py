"""What happens when a timer falls due: each acts at its own due time, however seldom we look."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlalchemy import update

from ticketing import costs, plans, routing, shelving, sla, timers
from ticketing.attaching import attach
from ticketing.auto_open import decide
from ticketing.moves import Asked
from ticketing.moving import make_move
from ticketing.records import ENGINE, TIMER, Decision, Order, State
from ticketing.repair import start_auto_close, watch_the_repair
from ticketing.suppression import is_inhibited
from ticketing.tables import alarm as alarms
from ticketing.tables import escalation
from ticketing.timers import Due
from ticketing.writing import Writing


def serve(tx: Writing, now: int) -> list[Decision]:
    """Let everything happen that fell due by ``now``, in the order of its time."""
    before = len(tx.decisions)
    while (due := timers.pop_due(tx, now)) is not None:
        HANDLERS[due.kind](tx, due)
    return tx.decisions[before:]


def _held_long_enough(tx: Writing, due: Due) -> None:
    alarm = tx.alarm(due.subject)
    if alarm.active:
        decide(tx, alarm, due.at)


def _self_clear(tx: Writing, due: Due) -> None:
    order = tx.order(due.subject)
    touched = any(event.actor_kind == "person" for event in tx.timeline(order.number))
    if order.state is State.NEW and not order.alarms_active and order.severity_max <= 2 and not touched:
        make_move(tx, order, Asked("self_cleared", TIMER, order.version, due.at, {}))
        tx.decisions.append(Decision("self_cleared", order.number, "normal again before anybody touched it"))


def _verify(tx: Writing, due: Due) -> None:
    order = tx.order(due.subject)
    if order.state is not State.RESOLVED or order.alarms_active:
        return
    order = tx.change(order, at=due.at, actor=TIMER, kind="verified", columns={"verified_at": due.at})
    tx.decisions.append(Decision("verified", order.number, "the signal stayed normal after the repair"))
    start_auto_close(tx, order, due.at)


def _not_cleared(tx: Writing, due: Due) -> None:
    order = tx.order(due.subject)
    if order.state is State.RESOLVED and order.alarms_active:
        reason = {"reason": "the alarm did not clear"}
        make_move(tx, order, Asked("recur", TIMER, order.version, due.at, reason))
        tx.decisions.append(Decision("recurred", order.number, "the alarm did not clear after the repair"))


def _auto_close(tx: Writing, due: Due) -> None:
    order = tx.order(due.subject)
    if order.state is State.RESOLVED:
        make_move(tx, order, Asked("auto_close", TIMER, order.version, due.at, {}))
        tx.decisions.append(Decision("auto_closed", order.number, "resolved, verified, and nobody objected"))


def _work_ended(tx: Writing, due: Due) -> None:
    """Nobody works on the machine any more: what was silent by design meanwhile is judged now.

    An alarm of the repaired fault itself gets the time to clear that any repair gets.
    """
    order = tx.order(due.subject)
    if tx.count_orders(state=State.IN_PROGRESS, asset=order.asset):
        return  # another order goes on there
    silent = tx.alarms(active=True, asset=order.asset, suppression="by_design", limit=None)
    for alarm in reversed(silent):
        if is_inhibited(tx, alarm.above):
            continue  # another alarm above it keeps it silent
        tx.connection.execute(
            update(alarms).where(tx.here(alarms, episode=alarm.episode)).values(suppression="none")
        )
        if alarm.fault_key == order.fault_key and order.state is State.RESOLVED:
            order = attach(tx, order, alarm, "repeat", due.at)
            watch_the_repair(tx, order, due.at)
        else:
            decide(tx, tx.alarm(alarm.episode), due.at)


def _escalate(tx: Writing, due: Due) -> None:
    """Take every step that fell due; the table's key keeps each from happening twice."""
    order = tx.order(due.subject, facts=False)
    for step in sla.steps_due(tx, order, due.at):
        order = _take_step(tx, order, step.name, step.role, due.at)


def _confirm_bypass(tx: Writing, due: Due) -> None:
    """A day has passed since an urgent order started unapproved: is it still unconfirmed?"""
    order = tx.order(due.subject)
    role = costs.unconfirmed(tx, order)
    if role is not None and order.open:
        _take_step(tx, order, "bypass_unconfirmed", role, due.at)


def _take_step(tx: Writing, order: Order, step: str, role: str, at: int) -> Order:
    tx.add(escalation, number=order.number, step=step, at=at, role=role)
    tx.decisions.append(Decision("escalated", order.number, f"{step}: tell the {role}"))
    return make_move(tx, order, Asked("escalate", TIMER, order.version, at, {"step": step}))


def _plan(tx: Writing, due: Due) -> None:
    plans.fall_due(tx, due.subject, due.at)


def _shelf(tx: Writing, due: Due) -> None:
    shelving.expire(tx, due.subject, due.at)


def _route(tx: Writing, due: Due) -> None:
    """Give a new order to whom it fits best; where it fits nobody it stays new."""
    order = tx.order(due.subject)
    if order.state is not State.NEW:
        return
    fitting = routing.candidates(tx, order, due.at)
    if not fitting:
        tx.decisions.append(Decision("unrouted", order.number, "nobody has the skills and is on shift"))
        return
    reason = routing.why(tx, order, fitting[0])
    fields = {"assignee": fitting[0].name, "reason": reason}
    make_move(tx, order, Asked("assign", ENGINE, order.version, due.at, fields))
    tx.decisions.append(Decision("routed", order.number, f"to {fitting[0].name}: {reason}"))


HANDLERS: Mapping[str, Callable[[Writing, Due], None]] = {
    "min_active": _held_long_enough,
    "self_clear": _self_clear,
    "verify": _verify,
    "not_cleared": _not_cleared,
    "auto_close": _auto_close,
    "work_ended": _work_ended,
    sla.TIMER_KIND: _escalate,
    "confirm_bypass": _confirm_bypass,
    plans.TIMER_KIND: _plan,
    shelving.TIMER_KIND: _shelf,
    routing.TIMER_KIND: _route,
}
