"""Gateways that share a database: what they say waits while it is away, arrives once, and makes one order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from tests.ticketing.scene import T0, raised
from ticketing import Desk, OrderPolicy
from ticketing.relay import forwarding, relay, waiting


@pytest.fixture
def gateways(tmp_path: Path) -> Iterator[list[Desk]]:
    """Two gateways of one site, each with a database of its own."""
    desks = [Desk.open(tmp_path / f"{name}.db", site="demo") for name in ("one", "two")]
    yield desks
    for desk in desks:
        desk.close()


def say(gateway: Desk, episode: str, cursor: int = 1) -> None:
    """A whole episode, with the judge's state."""
    with forwarding(gateway) as tx:
        decision = tx.alarm_raised(raised(episode, severity=2, policy=OrderPolicy(min_active={2: 0, 4: 0})))
        assert decision.kind == "forwarded"
        tx.severity_raised(episode, 4, T0 + 60_000, {"value": 9.5})
        tx.alarm_cleared(episode, T0 + 120_000)
        tx.machine_runs("pump-1", T0 + 180_000, running=False)
        tx.counter("pump-1", "hours", 12, T0 + 180_000)
        tx.save_state("judge", cursor, b"x")


def test_what_was_said_arrives_as_it_was_said(gateways: list[Desk], desk: Desk) -> None:
    one, _ = gateways
    say(one, "e1")
    assert waiting(one) == 5
    assert [d.kind for d in relay(one, desk)] == ["opened", "escalated"]
    assert waiting(one) == 0
    with desk.read() as read:
        (order,) = read.orders()
        (alarm,) = read.alarms()
        assert (order.priority, alarm.severity, alarm.cleared_at) == (1, 4, T0 + 120_000)
        assert alarm.policy == OrderPolicy(min_active={2: 0, 4: 0})
        assert [e.body for e in read.evidence(order.number)] == [{"value": 5.0, "limit": 4.5}, {"value": 9.5}]
        assert read.asset("pump-1").running is False
    with one.read() as read:
        state = read.load_state("judge")
        assert state is not None
        assert state.cursor == 1


def test_two_gateways_seeing_one_fault_open_one_order(gateways: list[Desk], desk: Desk) -> None:
    for name, gateway in zip(("e1", "e2"), gateways, strict=True):
        say(gateway, name)
    for gateway in gateways:
        relay(gateway, desk)
    with desk.read() as read:
        (order,) = read.orders()
        assert order.occurrence_count == 2


def test_told_twice_is_told_once(gateways: list[Desk], desk: Desk) -> None:
    """The gateway died after the shared commit and before its own."""
    one, two = gateways
    for gateway in (one, two):
        say(gateway, "e1")
    relay(one, desk)
    with desk.read() as read:
        before = read.export()
    relay(two, desk)
    with desk.read() as read:
        assert read.export() == before


def test_while_the_shared_database_is_away_everything_waits(
    gateways: list[Desk], desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = gateways
    say(one, "e1")

    def away() -> None:
        raise OperationalError("connect", {}, Exception("connection refused"))

    with monkeypatch.context() as patch:
        patch.setattr(desk, "transaction", away)
        with pytest.raises(OperationalError):
            relay(one, desk)
    say(one, "e2", cursor=2)
    assert waiting(one) == 10
    for _ in range(5):
        relay(one, desk, limit=3)
    assert waiting(one) == 0
    with desk.read() as read:
        assert len(json.loads(read.export())["orders"]) == 1
