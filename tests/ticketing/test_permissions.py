"""The one permission table: whole, printed, and every cell of it asked."""

from __future__ import annotations

import pytest

from tests.ticketing.scene import T0, raised
from ticketing import MOVES, PERMISSIONS, ROLES, Actor, Desk, ForbiddenError, matrix, require

CELLS = matrix()


def test_the_matrix_has_every_permission_and_every_role_once() -> None:
    rows = {cell.permission for cell in CELLS}
    assert rows == {*PERMISSIONS, *(f"order.{move}" for move in MOVES)}
    assert len(CELLS) == len(rows) * len(ROLES) == len(set(CELLS))


@pytest.mark.parametrize("permission", PERMISSIONS)
@pytest.mark.parametrize("role", ROLES)
def test_each_cell_answers_as_printed(permission: str, role: str) -> None:
    (answer,) = [cell.answer for cell in CELLS if (cell.permission, cell.role) == (permission, role)]
    person = Actor("someone", frozenset({role}))
    if answer == "yes":
        require(person, permission)
    else:
        with pytest.raises(ForbiddenError, match=permission):
            require(person, permission)


def test_somebody_without_a_role_may_nothing() -> None:
    for permission in PERMISSIONS:
        with pytest.raises(ForbiddenError, match="is nobody"):
            require(Actor("ghost"), permission)


def test_an_admin_is_no_superuser_over_orders() -> None:
    yes = {cell.permission for cell in CELLS if cell.role == "admin" and cell.answer == "yes"}
    assert yes & {f"order.{move}" for move in MOVES} == {"order.comment", "order.watch"}


@pytest.mark.parametrize(("role", "allowed"), [("viewer", False), ("technician", True), ("admin", False)])
def test_acknowledging_asks_the_table(desk: Desk, role: str, allowed: bool) -> None:
    with desk.transaction() as tx:
        tx.alarm_raised(raised("e1"))
        person = Actor("someone", frozenset({role}))
        if allowed:
            assert tx.ack("e1", person, T0).acked_by == "someone"
        else:
            with pytest.raises(ForbiddenError):
                tx.ack("e1", person, T0)
