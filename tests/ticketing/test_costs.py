"""Estimates, approvals by amount, what it came to, and the check list."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ticketing.scene import LEAD, T0, TECHNICIAN
from ticketing import Actor, Desk, FieldError, MissingFieldError, MoveRefusedError, Order, Template, Tx
from ticketing.records import DAY, HOUR
from ticketing.tasks import add

MANAGER = Actor("sun", frozenset({"manager"}))
DIRECTOR = Actor("zhou", frozenset({"director"}))
DONE = {"symptom": "VIB", "mechanism": "wear", "remedy": "replace"}


def assigned(tx: Tx, priority: int = 3) -> Order:
    order = tx.open_order(LEAD, at=T0, asset="pump-1", title="x", priority=priority)
    return tx.move(order.number, "assign", LEAD, order.version, T0, assignee="li")


def go(tx: Tx, order: Order, move: str, by: Actor, at: int = T0, **fields: Any) -> Order:
    return tx.move(order.number, move, by, tx.order(order.number).version, at, **fields)


@pytest.mark.parametrize(
    ("fen", "roles"),
    [
        (1_999_99, []),
        (2_000_00, ["lead"]),
        (19_999_99, ["lead"]),
        (20_000_00, ["lead", "manager"]),
        (100_000_00, ["lead", "manager", "director"]),
    ],
)
def test_the_amount_says_who_approves(desk: Desk, fen: int, roles: list[str]) -> None:
    with desk.transaction() as tx:
        order = go(tx, assigned(tx), "estimate", TECHNICIAN, est_cost_fen=fen)
        assert [each.role for each in tx.approvals(order.number)] == roles
        assert order.approvals_missing == len(roles)
        if roles:
            with pytest.raises(MoveRefusedError, match=f"{len(roles)} approvals"):
                go(tx, order, "start", TECHNICIAN)
        for person in (LEAD, MANAGER, DIRECTOR)[: len(roles)]:
            order = go(tx, order, "approve", person, decision="approved")
        assert go(tx, order, "start", TECHNICIAN).state == "in_progress"


def test_a_rejection_holds_the_order_back_until_it_is_approved_after_all(desk: Desk) -> None:
    with desk.transaction() as tx:
        order = go(tx, assigned(tx), "estimate", TECHNICIAN, est_cost_fen=3_000_00)
        go(tx, order, "approve", LEAD, decision="rejected", comment="too dear")
        with pytest.raises(MoveRefusedError, match="approvals"):
            go(tx, order, "start", TECHNICIAN)
        go(tx, order, "approve", LEAD, decision="approved")
        with pytest.raises(MoveRefusedError, match="nothing waits"):
            go(tx, order, "approve", LEAD, decision="approved")
        go(tx, order, "start", TECHNICIAN)


def test_nobody_approves_for_another_role(desk: Desk) -> None:
    with desk.transaction() as tx:
        order = go(tx, assigned(tx), "estimate", TECHNICIAN, est_cost_fen=30_000_00)
        with pytest.raises(MoveRefusedError, match="nothing waits for zhou"):
            go(tx, order, "approve", DIRECTOR, decision="approved")
        go(tx, order, "approve", MANAGER, decision="approved")
        (lead, manager) = tx.approvals(order.number)
        assert (lead.decision, manager.decision, manager.by) == ("pending", "approved", "sun")


def test_more_money_asks_again_less_does_not(desk: Desk) -> None:
    with desk.transaction() as tx:
        order = go(tx, assigned(tx), "estimate", TECHNICIAN, est_cost_fen=5_000_00)
        go(tx, order, "approve", LEAD, decision="approved")
        assert go(tx, order, "estimate", TECHNICIAN, est_cost_fen=4_000_00).approvals_missing == 0
        assert go(tx, order, "estimate", TECHNICIAN, est_cost_fen=6_000_00).approvals_missing == 1
        assert go(tx, order, "estimate", TECHNICIAN, est_cost_fen=100).approvals_missing == 0
        assert tx.approvals(order.number) == []


def test_an_urgent_order_starts_at_once_and_is_confirmed_within_a_day(desk: Desk) -> None:
    with desk.transaction() as tx:
        order = go(tx, assigned(tx, priority=1), "estimate", TECHNICIAN, est_cost_fen=30_000_00)
        go(tx, order, "start", TECHNICIAN, T0 + HOUR)
        assert {each.decision for each in tx.approvals(order.number)} == {"bypassed"}
        go(tx, order, "approve", LEAD, T0 + 2 * HOUR, decision="approved")
        steps = [each.why for each in tx.tick(T0 + HOUR + DAY)]
        assert "bypass_unconfirmed: tell the manager" in steps
        go(tx, order, "approve", MANAGER, T0 + 2 * DAY, decision="approved")
        assert {each.decision for each in tx.approvals(order.number)} == {"approved"}


def test_what_it_cost_is_booked_and_added_up(desk: Desk) -> None:
    with desk.transaction() as tx:
        order = assigned(tx)
        go(tx, order, "add_cost", TECHNICIAN, cost_kind="labour", cost_fen=160_00, minutes=120)
        order = go(tx, order, "add_cost", LEAD, cost_kind="part", cost_fen=99_50, part_no="6205-2RS")
        assert order.cost_fen == 259_50
        assert [(c.seq, c.cost_kind, c.by, c.minutes) for c in tx.costs(order.number)] == [
            (1, "labour", "li", 120),
            (2, "part", "wang", None),
        ]
        with pytest.raises(FieldError, match="cost_fen"):
            go(tx, order, "add_cost", LEAD, cost_kind="part", cost_fen=-1)


@pytest.mark.parametrize(
    ("estimate", "cost", "fits"),
    [
        (0, 1_999_99, True),  # too little for anybody to approve
        (0, 2_000_00, False),
        (3_000_00, 3_300_00, True),  # a tenth more is borne
        (3_000_00, 3_300_01, False),
    ],
)
def test_more_than_was_approved_cannot_be_resolved(desk: Desk, estimate: int, cost: int, fits: bool) -> None:
    with desk.transaction() as tx:
        order = go(tx, assigned(tx), "estimate", TECHNICIAN, est_cost_fen=estimate)
        if order.approvals_missing:
            go(tx, order, "approve", LEAD, decision="approved")
        go(tx, order, "start", TECHNICIAN)
        go(tx, order, "add_cost", TECHNICIAN, cost_kind="external", cost_fen=cost)
        if fits:
            assert go(tx, order, "resolve", TECHNICIAN, **DONE).state == "resolved"
        else:
            with pytest.raises(MoveRefusedError, match="raise the estimate"):
                go(tx, order, "resolve", TECHNICIAN, **DONE)


def test_the_check_list_is_done_before_resolving(desk: Desk) -> None:
    with desk.transaction() as tx:
        order = assigned(tx)
        add(tx, order, Template("紧固", "Tighten"), at=T0)
        add(tx, order, Template("油温", "Oil temperature", "number", unit="degC", low=20, high=80), at=T0)
        add(tx, order, Template("照片", "Photo", "photo", mandatory=False), at=T0)
        order = go(tx, order, "start", TECHNICIAN)
        assert order.open_tasks == 2
        with pytest.raises(MoveRefusedError, match="2 mandatory tasks"):
            go(tx, order, "resolve", TECHNICIAN, **DONE)
        assert go(tx, order, "do_task", TECHNICIAN, task=1).open_tasks == 1
        with pytest.raises(MissingFieldError, match="value"):
            go(tx, order, "do_task", TECHNICIAN, task=2)
        for wrong in ("warm", "81", "19.9", "nan"):
            with pytest.raises(FieldError, match="value"):
                go(tx, order, "do_task", TECHNICIAN, task=2, value=wrong)
        with pytest.raises(FieldError, match="no task 9"):
            go(tx, order, "do_task", TECHNICIAN, task=9)
        assert go(tx, order, "do_task", TECHNICIAN, task=2, value="61.5").open_tasks == 0
        assert [(task.done_by, task.value) for task in tx.tasks(order.number)] == [
            ("li", None),
            ("li", "61.5"),
            (None, None),
        ]
        assert go(tx, order, "resolve", TECHNICIAN, **DONE).state == "resolved"


def test_watchers_are_remembered(desk: Desk) -> None:
    with desk.transaction() as tx:
        order = assigned(tx)
        go(tx, order, "watch", MANAGER)
        go(tx, order, "watch", LEAD)
        assert tx.watchers(order.number) == ["sun", "wang"]
