"""An alarm under another one is recorded and counted, and judged when that one clears."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ticketing.scene import LEAD, T0, TECHNICIAN, raised
from ticketing import Desk, Tx
from ticketing.records import HOUR, MINUTE, RaisedAlarm

# as if it were a device
LINE = {"asset": "fan-1", "failure_mode": "COM", "inhibits": True, "rule_id": "offline"}


def below(episode: str, minute: int = 0, **more: Any) -> RaisedAlarm:
    return raised(episode, T0 + minute * MINUTE, above=("fan-1",), **more)


def said(desk: Desk, *alarms: RaisedAlarm) -> list[str]:
    with desk.transaction() as tx:
        return [tx.alarm_raised(alarm).kind for alarm in alarms]


def clear(desk: Desk, episode: str, minute: int) -> list[str]:
    with desk.transaction() as tx:
        tx.alarm_cleared(episode, T0 + minute * MINUTE)
        return kinds(tx)


def tick(desk: Desk, at: int) -> list[str]:
    with desk.transaction() as tx:
        tx.tick(at)
        return kinds(tx)


def kinds(tx: Tx) -> list[str]:
    """Escalations have their own tests."""
    return [decision.kind for decision in tx.decisions if decision.kind != "escalated"]


def test_under_an_alarm_that_inhibits_nothing_opens_until_it_clears(desk: Desk) -> None:
    assert said(desk, raised("line", **LINE), below("a", 1), below("b", 1, failure_mode="OHE")) == [
        "opened", "suppressed", "suppressed",
    ]  # fmt: skip
    clear(desk, "b", 2)
    assert clear(desk, "line", 30) == ["opened"]
    with desk.read() as read:
        assert {alarm.episode: alarm.suppression for alarm in read.alarms()} == {
            "line": "none", "a": "none", "b": "by_design",
        }  # fmt: skip


def test_what_waits_for_an_order_falls_silent_too_and_waits_anew(desk: Desk) -> None:
    assert said(desk, below("a", severity=2)) == ["waiting"]
    assert said(desk, raised("line", T0 + MINUTE, **LINE)) == ["opened"]
    assert tick(desk, T0 + HOUR) == []
    assert clear(desk, "line", 61) == ["opened"]  # it has been active for an hour by now


def test_its_parents_young_order_takes_it_as_evidence(desk: Desk) -> None:
    said(desk, raised("line", **{**LINE, "asset": "line-1"}), raised("a", T0 + MINUTE, above=("line-1",)))
    assert clear(desk, "line", 5) == ["correlated"]


def test_an_alarm_in_shadow_or_that_does_not_inhibit_silences_nobody(desk: Desk) -> None:
    assert said(desk, raised("line", **{**LINE, "mode": "shadow"}), below("a", 20)) == ["shadow", "opened"]
    assert said(desk, raised("line-2", **{**LINE, "inhibits": False}), below("b", 40, failure_mode="OHE")) == [
        "opened", "opened",
    ]  # fmt: skip


def test_two_reasons_for_silence_must_both_end(desk: Desk) -> None:
    with desk.transaction() as tx:
        tx.shelve(LEAD, "pump-1", at=T0, until=T0 + HOUR, reason="test run")
    assert said(desk, raised("line", **LINE), below("a", 1)) == ["opened", "suppressed"]
    assert clear(desk, "line", 30) == []
    assert tick(desk, T0 + HOUR) == ["opened"]


def test_a_shelf_that_ends_under_an_inhibiting_alarm_leaves_the_silence(desk: Desk) -> None:
    with desk.transaction() as tx:
        tx.shelve(LEAD, "pump-1", at=T0, until=T0 + HOUR, reason="test run")
    said(desk, raised("line", **LINE), below("a", 1))
    with desk.transaction() as tx:
        tx.unshelve(LEAD, "pump-1", at=T0 + 2 * MINUTE)
        assert tx.alarm("a").suppression == "by_design"
    assert clear(desk, "line", 30) == ["opened"]


@pytest.mark.parametrize("first", ["work", "line"])
def test_silent_for_work_and_for_the_line(desk: Desk, first: str) -> None:
    said(desk, raised("x", failure_mode="OHE"))
    with desk.transaction() as tx:
        number = tx.orders()[0].number
        tx.move(number, "assign", LEAD, 1, T0, assignee="li")
        tx.move(number, "start", TECHNICIAN, 2, T0)
    said(desk, raised("line", T0 + 15 * MINUTE, **LINE))
    assert said(desk, below("a", 15, suppression="by_design")) == ["suppressed"]

    def work_ends(at: int) -> None:
        with desk.transaction() as tx:
            done = {"symptom": "OHE", "mechanism": "wear", "remedy": "replace"}
            tx.move(number, "resolve", TECHNICIAN, tx.order(number).version, T0 + at * MINUTE, **done)
            tx.tick(T0 + at * MINUTE)

    def opened() -> int:
        with desk.read() as read:
            return read.count_orders()

    steps = {"work": work_ends, "line": lambda at: clear(desk, "line", at)}
    steps.pop(first)(20)
    assert opened() == 2
    (last,) = steps.values()
    last(40)
    assert opened() == 3


def steps(desk: Desk, minute: int) -> list[str]:
    """Who was told to hurry with the order on pump-1 by then."""
    with desk.transaction() as tx:
        tx.tick(T0 + minute * MINUTE)
        (order,) = tx.orders(asset="pump-1")
        escalated = [d for d in tx.decisions if d.kind == "escalated" and d.number == order.number]
        return [d.why.partition(":")[0] for d in escalated]


def dues(desk: Desk) -> tuple[int, int]:
    """Of the order on pump-1, in minutes."""
    with desk.read() as read:
        (order,) = read.orders(asset="pump-1")
    return (order.due_ack_at - T0) // MINUTE, (order.due_resolve_at - T0) // MINUTE


def test_the_clocks_of_an_order_stand_still_while_none_of_its_alarms_is_heard(desk: Desk) -> None:
    assert said(desk, below("a")) == ["opened"]
    assert (steps(desk, 5), dues(desk)) == (["p1_opened"], (15, 240))
    said(desk, raised("line", T0 + 10 * MINUTE, **LINE))
    assert steps(desk, 600) == []
    assert clear(desk, "line", 610) == []
    assert dues(desk) == (615, 840)  # five minutes are left
    assert steps(desk, 614) == []
    assert steps(desk, 615) == ["not_accepted"]


def test_shelved_too_and_until_somebody_takes_it_up(desk: Desk) -> None:
    said(desk, below("a"))
    steps(desk, 5)
    with desk.transaction() as tx:
        tx.shelve(LEAD, "pump-1", at=T0 + 10 * MINUTE, until=T0 + 4 * HOUR, reason="test run")
    assert steps(desk, 60) == []
    with desk.transaction() as tx:
        (order,) = tx.orders()
        at = T0 + 70 * MINUTE
        tx.move(order.number, "assign", LEAD, order.version, at, assignee=TECHNICIAN.name)
    assert dues(desk) == (75, 300)
    assert steps(desk, 75) == ["not_accepted"]
    assert tick(desk, T0 + 5 * HOUR) == []


def test_an_alarm_that_is_heard_lets_the_clocks_go_on(desk: Desk) -> None:
    said(desk, below("a", rule_id="one"))
    with desk.transaction() as tx:
        tx.shelve(LEAD, "pump-1", at=T0, until=T0 + 4 * HOUR, reason="test run", rule_id="one")
    assert said(desk, raised("b", T0 + HOUR, rule_id="two")) == ["attached"]
    assert dues(desk) == (75, 300)
    with desk.read() as read:
        kinds = [event.type for event in read.timeline(read.orders()[0].number)]
    assert [kind for kind in kinds if kind in {"frozen", "thawed"}] == ["frozen", "thawed"]


def test_an_alarm_that_clears_in_silence_leaves_an_order_whose_clocks_go_on(desk: Desk) -> None:
    said(desk, below("a"))
    said(desk, raised("line", T0 + 10 * MINUTE, **LINE))
    clear(desk, "a", 20)
    clear(desk, "line", 70)
    assert dues(desk) == (75, 300)
