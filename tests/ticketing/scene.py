"""The people, machines and alarms that the ticket tests speak of."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ticketing import Actor, Asset, Desk, Order, OrderPolicy, RaisedAlarm, Reading

T0 = 1_767_225_600_000  # 2026-01-01 00:00 UTC
LEAD = Actor("wang", frozenset({"lead"}))
TECHNICIAN = Actor("li", frozenset({"technician"}))
ASSETS = (
    Asset("line-1", "line", "一号线", "Line 1"),
    Asset("pump-1", "pump", "一号泵", "Pump 1", parent="line-1"),
    Asset("pump-2", "pump", "二号泵", "Pump 2", parent="line-1", criticality="A"),
    Asset("fan-1", "fan", "风机", "Fan 1", criticality="C"),
)
BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.needs("postgresql"))]


def raised(episode: str, at: int = T0, **more: Any) -> RaisedAlarm:
    """A severity 4 vibration alarm on pump-1, unless said otherwise."""
    alarm = RaisedAlarm(
        episode=episode,
        asset="pump-1",
        failure_mode="VIB",
        severity=4,
        at=at,
        since=at - 60_000,
        rule_id="pump-vib-rms",
        rule_hash="hash-1",
        rule_body='{"limit":4.5}',
        title_zh="振动过高",
        title_en="vibration too high",
        evidence={"value": 5.0, "limit": 4.5},
        policy=OrderPolicy(),
    )
    return replace(alarm, **more)


def the_order(desk: Desk, number: str) -> Order:
    with desk.read() as read:
        return read.order(number)


def only_order(read: Reading) -> Order:
    (order,) = read.orders()
    return order
