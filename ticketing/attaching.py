"""An alarm becomes part of an order's story."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ticketing import sla, timers
from ticketing.moves import Asked
from ticketing.moving import make_move
from ticketing.policy import priority
from ticketing.records import ENGINE, Alarm, Decision, Order
from ticketing.tables import wo_alarm
from ticketing.writing import Writing


def attach(tx: Writing, order: Order, alarm: Alarm, relation: str, at: int) -> Order:
    """The alarm becomes part of the order's story, and may make it more urgent, never less."""
    if relation != "trigger":
        timers.stop(tx, "self_clear", order.number)
        if sla.is_frozen(tx, order.number):  # this one is heard
            order = sla.thaw(tx, order, at)
    tx.add(wo_alarm, number=order.number, episode=alarm.episode, relation=relation, at=at)
    fields = {"episode": alarm.episode, "relation": relation, "severity": alarm.severity}
    count = {"occurrence_count": order.occurrence_count + 1}
    order = press(tx, order, alarm, at, kind="occurrence", fields=fields, columns=count)
    return replace(order, alarms=order.alarms + 1, alarms_active=order.alarms_active + alarm.active)


def press(tx: Writing, order: Order, alarm: Alarm, at: int, **change: Any) -> Order:
    """Write the alarm's effect on the order: its severity, and perhaps a higher priority with nearer due times."""
    columns: dict[str, Any] = change.pop("columns", {})
    columns["severity_max"] = max(order.severity_max, alarm.severity)
    urgency = priority_of(tx, alarm)
    if urgency < order.priority:
        columns |= sla.hastened(tx.policy_of(order), order, urgency, at)
    changed = {name: value for name, value in columns.items() if value != getattr(order, name)}
    pressed = tx.change(order, at=at, actor=ENGINE, columns=changed, **change)
    if pressed.priority != order.priority:
        sla.schedule(tx, pressed, at)
    return pressed


def recur(tx: Writing, order: Order, at: int) -> Decision:
    """Nobody signed yet, and the fault is back: the order goes on."""
    make_move(tx, order, Asked("recur", ENGINE, order.version, at, {"reason": "the fault came back"}))
    return Decision("recurred", order.number, "the fault came back before the order was closed")


def priority_of(tx: Writing, alarm: Alarm) -> int:
    """How urgent this alarm is on its asset."""
    return priority(alarm.severity, tx.asset(alarm.asset).criticality, from_model=alarm.from_model)
