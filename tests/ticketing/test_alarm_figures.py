"""Figures of alarms, added up by hand."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ticketing.scene import LEAD, T0, TECHNICIAN, raised
from ticketing import AlarmFigures, Desk, RuleFigures, Tx
from ticketing.records import DAY, HOUR, MINUTE

S = 1000
END = T0 + 30 * DAY


def alarm(tx: Tx, name: str, at: int, lasting: int | None = MINUTE, **more: Any) -> None:
    tx.alarm_raised(raised(name, T0 + at, **more))
    if lasting is not None:
        tx.alarm_cleared(name, T0 + at + lasting)


def repaired(tx: Tx, at: int, outcome: str = "worked", *, sign: bool = True, **fields: Any) -> None:
    """The newest open order is assigned, worked on and resolved within an hour."""
    order = max((o for o in tx.orders(state="open", limit=100)), key=lambda o: o.number)
    tx.move(order.number, "assign", LEAD, order.version, T0 + at, assignee="li")
    tx.move(order.number, "start", TECHNICIAN, order.version + 1, T0 + at)
    done = {"symptom": "VIB", "mechanism": "wear", "remedy": "replace", "outcome": outcome, **fields}
    tx.move(order.number, "resolve", TECHNICIAN, order.version + 2, T0 + at + HOUR, **done)
    if sign:
        version = tx.order(order.number).version
        tx.move(order.number, "sign_off", LEAD, version, T0 + at + HOUR, stars=5, override_reason="seen")


def site(desk: Desk, **more: Any) -> AlarmFigures:
    with desk.read() as read:
        return read.alarm_figures(T0, END, **more)


def rules(desk: Desk, **more: Any) -> dict[str, RuleFigures]:
    with desk.read() as read:
        return {found.rule_id: found for found in read.rule_figures(T0, END, **more)}


def test_nothing_to_divide_by_is_none(desk: Desk) -> None:
    found = site(desk)
    assert (found.alarms, found.per_hour, found.top_ten_share, found.time_to_ack, found.missed) == (
        0, 0.0, None, None, None,
    )  # fmt: skip
    assert rules(desk) == {}


def test_how_many_and_how_bunched(desk: Desk) -> None:
    """Twelve alarms a minute apart on the first day, then one a day; and two that reached nobody."""
    with desk.transaction() as tx:
        for n in range(12):
            alarm(tx, f"a{n}", n * MINUTE, 30 * S, rule_id=f"r{n}")
        for n in range(1, 13):
            alarm(tx, f"b{n}", n * DAY, HOUR, rule_id="daily")
        alarm(tx, "shadow", 5 * DAY, mode="shadow")
        alarm(tx, "silent", 5 * DAY, suppression="by_design")
        alarm(tx, "stale", 20 * DAY, 25 * HOUR, rule_id="r1")
        alarm(tx, "fleeting", 25 * DAY, 9 * S, rule_id="r2")
        tx.ack("b1", TECHNICIAN, T0 + DAY + 4 * MINUTE)
        tx.ack("b2", TECHNICIAN, T0 + 2 * DAY + 10 * MINUTE)
    found = site(desk)
    assert (found.alarms, found.shadow, found.suppressed) == (26, 1, 1)
    assert found.per_hour == pytest.approx(26 / (30 * 24))
    assert found.most_in_10_min == 10
    assert found.busy_share == 0  # ten in the first ten minutes, and more than ten would be too many
    # The tenth comes after 9 min; from 10 min on one leaves each minute and two more come: 4 are left after 17 min.
    assert found.time_in_flood == pytest.approx(8 * MINUTE / (30 * DAY))
    assert found.top_ten_share == pytest.approx((12 + 2 + 2 + 7) / 26)
    assert (found.chattering, found.fleeting, found.stale) == (0, 1, 1)
    assert found.time_to_ack == 7 * MINUTE


def test_work_yield_false_alarms_and_nuisance_of_a_rule(desk: Desk) -> None:
    """Five alarms: one led to work, one was false, one found nothing, one was muted, one is too young to be judged."""
    with desk.transaction() as tx:
        alarm(tx, "worked", 0)
        repaired(tx, 2 * HOUR)
        alarm(tx, "nothing", 2 * DAY, asset="fan-1")
        repaired(tx, 2 * DAY + HOUR, "no_fault_found")
        alarm(tx, "false", 4 * DAY, asset="pump-2")
        repaired(tx, 4 * DAY + HOUR, "false_alarm")
        alarm(tx, "muted", 5 * DAY, asset="pump-2")
        alarm(tx, "young", 20 * DAY)
    found = rules(desk)["pump-vib-rms"]
    assert (found.alarms, found.orders) == (5, 4)
    assert found.work_yield == pytest.approx(1 / 4)
    assert found.false_share == pytest.approx(1 / 3)
    assert found.nuisance == pytest.approx(3 / 5)
    assert found.lead_time == 3 * HOUR  # raised at 0, repaired by 3 h


def test_lead_time_runs_to_the_stop_of_the_machine_where_it_stopped(desk: Desk) -> None:
    with desk.transaction() as tx:
        alarm(tx, "a", 0)
        repaired(tx, 9 * HOUR, stop_kind="full", sign=False)
        order = tx.orders()[0]
        down = {"downtime_start": T0 + 5 * HOUR, "downtime_end": T0 + 9 * HOUR}
        tx.move(order.number, "downtime", LEAD, order.version, T0 + 11 * HOUR, **down)
    assert rules(desk)["pump-vib-rms"].lead_time == 5 * HOUR


def test_chatter_is_counted_by_the_minute_and_is_a_nuisance(desk: Desk) -> None:
    with desk.transaction() as tx:
        for n in range(40):
            alarm(tx, f"e{n}", 3 * n * S, S)
    found = rules(desk)["pump-vib-rms"]
    assert (found.chattering, found.fleeting, found.nuisance) == (2, 40, 1.0)
    assert site(desk).chattering == 1


def test_a_failure_that_no_alarm_announced_was_missed(desk: Desk) -> None:
    with desk.transaction() as tx:
        alarm(tx, "early", 0)  # eight days before: too long ago
        alarm(tx, "shadow", 7 * DAY, mode="shadow")
        repaired(tx, HOUR)
        for asset, at in (("pump-1", 8 * DAY), ("pump-2", 9 * DAY), ("fan-1", 10 * DAY)):
            if asset == "fan-1":
                alarm(tx, "announced", at - DAY, asset=asset)
                repaired(tx, at - DAY)
            tx.open_order(LEAD, at=T0 + at, asset=asset, title="stands still", failure_mode="VIB")
            repaired(tx, at, stop_kind="full")
    found = site(desk)
    assert (found.failures, found.missed) == (3, pytest.approx(2 / 3))
    assert site(desk, monitored=["fan-1"]).missed == 0


def test_one_version_of_a_rule(desk: Desk) -> None:
    with desk.transaction() as tx:
        alarm(tx, "old", 0)
        alarm(tx, "new", HOUR, rule_hash="hash-2")
        alarm(tx, "other", HOUR, rule_id="another")
    assert list(rules(desk)) == ["pump-vib-rms", "another"]
    one = rules(desk, rule_id="pump-vib-rms", sha256="hash-2")
    assert {name: found.alarms for name, found in one.items()} == {"pump-vib-rms": 1}
