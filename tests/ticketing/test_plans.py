"""Preventive plans: by calendar and by counter, fixed and floating, none doubled and none forgotten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.ticketing.scene import LEAD, T0, TECHNICIAN
from tests.ticketing.trace import play
from ticketing import Desk, FieldError, ForbiddenError, MissingFieldError, Plan, Template
from ticketing.records import DAY, HOUR

GREASE = Plan(
    "pump-1-grease",
    "pump-1",
    "一号泵加油脂",
    "Grease pump 1",
    next_due=T0 + 10 * DAY,
    every_ms=10 * DAY,
    lead=2 * DAY,
    tasks=(
        Template("加脂 30 g", "30 g of grease"),
        Template("轴承温度", "Bearing temperature", "number", low=0),
    ),
)
OIL = Plan("fan-1-oil", "fan-1", "风机换油", "Change fan oil", next_due=500, every_count=500, counter="hours")
DONE = {"symptom": "SER", "mechanism": "planned", "remedy": "service"}


def save(desk: Desk, plan: Plan, **changes: Any) -> None:
    with desk.transaction() as tx:
        tx.save_plan(LEAD, replace(plan, **changes), at=T0)


def due_days(desk: Desk, plan: Plan = GREASE) -> list[tuple[float, str | None]]:
    with desk.read() as read:
        return [((due.due - T0) / DAY, due.number and due.number[-1]) for due in read.plan_dues(plan.id)]


def finish(desk: Desk, number: str, at: int) -> None:
    """Take, do and close a plan's order with all its tasks."""
    with desk.transaction() as tx:
        order = tx.move(number, "assign", LEAD, tx.order(number).version, at, assignee="li")
        order = tx.move(number, "start", TECHNICIAN, order.version, at)
        for task in tx.tasks(number):
            order = tx.move(number, "do_task", TECHNICIAN, order.version, at, task=task.seq, value="40")
        order = tx.move(number, "resolve", TECHNICIAN, order.version, at, **DONE)
        tx.move(number, "sign_off", LEAD, order.version, at, stars=5)


def test_an_order_opens_ahead_of_its_due_time_with_its_tasks(desk: Desk) -> None:
    save(desk, GREASE)
    play(desk, "7d tick |")
    with desk.read() as read:
        assert read.orders() == []
    play(desk, "8d tick |")
    with desk.read() as read:
        (order,) = read.orders()
        assert (order.type, order.origin, order.asset) == ("preventive", "plan", "pump-1")
        assert (order.opened_at, order.due_resolve_at) == (T0 + 8 * DAY, T0 + 10 * DAY)
        assert [task.text_en for task in read.tasks(order.number)] == [
            "30 g of grease",
            "Bearing temperature",
        ]
        assert order.open_tasks == 2


def test_a_fixed_plan_keeps_its_grid(desk: Desk) -> None:
    save(desk, GREASE)
    play(desk, "8d tick |")
    finish(desk, "WO-2026-000001", T0 + 15 * DAY)
    play(desk, "18d tick |")
    assert due_days(desk) == [(10, "1"), (20, "2")]


def test_a_floating_plan_counts_from_completion(desk: Desk) -> None:
    save(desk, GREASE, basis="floating")
    play(desk, "30d tick |")
    assert due_days(desk) == [(10, "1")]
    finish(desk, "WO-2026-000001", T0 + 33 * DAY)
    play(desk, "40d tick |")
    assert due_days(desk) == [(10, "1")]
    play(desk, "41d tick |")
    assert due_days(desk) == [(10, "1"), (43, "2")]


def test_a_cancelled_order_lets_a_floating_plan_go_on(desk: Desk) -> None:
    save(desk, GREASE, basis="floating")
    play(desk, "8d tick |\n 9d move 1 cancel lead cancel_reason=not_needed | cancelled\n 17d tick |")
    assert due_days(desk) == [(10, "1"), (19, "2")]


def test_while_an_order_is_open_the_next_is_skipped_and_counted(desk: Desk) -> None:
    save(desk, GREASE)
    play(desk, "30d tick |")
    assert due_days(desk) == [(10, "1"), (20, None), (30, None)]
    with desk.read() as read:
        assert [e.type for e in read.timeline("WO-2026-000001")].count("plan_skipped") == 2
        (kpi,) = [kpi for kpi in read.kpis(T0, T0 + 30 * DAY) if kpi.name == "planned_in_time"]
    assert (kpi.figure.value, kpi.figure.n) == (0.0, 3)


def test_nothing_is_forgotten_while_we_were_away(desk: Desk) -> None:
    save(desk, GREASE, skip_if_open=False)
    play(desk, "45d tick |\n 45d tick |")
    assert due_days(desk) == [(10, "1"), (20, "2"), (30, "3"), (40, "4")]
    with desk.read() as read:
        assert {(order.opened_at - T0) // DAY for order in read.orders()} == {8, 18, 28, 38}


def test_a_plan_set_back_opens_no_due_time_twice(desk: Desk) -> None:
    save(desk, GREASE, skip_if_open=False)
    play(desk, "20d tick |")
    save(desk, GREASE, skip_if_open=False)
    play(desk, "20d tick |")
    assert due_days(desk) == [(10, "1"), (20, "2")]


def test_a_plan_made_too_late_opens_now(desk: Desk) -> None:
    save(desk, GREASE, next_due=T0 - 100 * DAY)
    play(desk, "0s tick |")
    with desk.read() as read:
        assert [order.opened_at for order in read.orders()] == [T0]


def test_a_plan_that_is_switched_off_opens_nothing(desk: Desk) -> None:
    save(desk, GREASE)
    save(desk, GREASE, active=False)
    play(desk, "30d tick |")
    assert due_days(desk) == []


def counts(desk: Desk, *values: int) -> list[tuple[int, str | None]]:
    with desk.transaction() as tx:
        for value in values:
            tx.counter("fan-1", "hours", value, T0 + value * HOUR)
        return [(due.due, due.number and due.number[-1]) for due in tx.plan_dues(OIL.id)]


def test_a_counter_opens_its_plan(desk: Desk) -> None:
    save(desk, OIL)
    assert counts(desk, 0, 250, 499) == []
    assert counts(desk, 500, 501) == [(500, "1")]
    assert counts(desk, 1700) == [(500, "1"), (1000, None), (1500, None)]


def test_a_counter_plan_opens_ahead_by_its_lead(desk: Desk) -> None:
    save(desk, OIL, lead=50)
    assert counts(desk, 449) == []
    assert counts(desk, 450) == [(500, "1")]


def test_a_floating_counter_plan(desk: Desk) -> None:
    save(desk, OIL, basis="floating")
    assert counts(desk, 510, 1200) == [(500, "1")]
    finish(desk, "WO-2026-000001", T0)
    assert counts(desk, 1699) == [(500, "1")]
    assert counts(desk, 1700) == [(500, "1"), (1700, "2")]


def test_a_counter_that_starts_anew(desk: Desk) -> None:
    save(desk, OIL, skip_if_open=False)
    assert counts(desk, 400, 0, 499) == []
    assert counts(desk, 500) == [(500, "1")]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"title_zh": ""}, MissingFieldError),
        ({"every_count": 5}, FieldError),
        ({"every_ms": None}, FieldError),
        ({"counter": "hours"}, FieldError),
        ({"every_ms": 0}, FieldError),
        ({"basis": "monthly"}, FieldError),
        ({"id": "a:b"}, FieldError),
    ],
)
def test_a_plan_is_checked(desk: Desk, change: dict[str, Any], error: type[FieldError]) -> None:
    with pytest.raises(error):
        save(desk, GREASE, **change)


def test_plans_are_the_leads_to_write(desk: Desk) -> None:
    with pytest.raises(ForbiddenError), desk.transaction() as tx:
        tx.save_plan(TECHNICIAN, GREASE, at=T0)
    save(desk, GREASE)
    with desk.read() as read:
        assert read.plans() == read.plans(asset="pump-1") == [GREASE]
        assert read.plans(asset="fan-1") == []
