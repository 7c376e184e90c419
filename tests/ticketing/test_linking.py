"""What people say of an order by hand: links, tasks, downtime; and a request that comes twice."""

from __future__ import annotations

import pytest

from tests.ticketing.scene import LEAD, T0, TECHNICIAN
from ticketing import Desk, FieldError, Link, MoveRefusedError, NotFoundError, Order, StaleError
from ticketing.records import DAY, HOUR

DONE = {"symptom": "VIB", "mechanism": "wear", "remedy": "replace"}


@pytest.fixture
def two(desk: Desk) -> tuple[Order, Order]:
    """Two reports; the technician works on the first."""
    with desk.transaction() as tx:
        first = tx.open_order(TECHNICIAN, at=T0, asset="pump-1", title="漏油")
        second = tx.open_order(TECHNICIAN, at=T0, asset="pump-2", title="停机")
        first = tx.move(first.number, "assign", LEAD, first.version, T0, assignee="li")
        return tx.move(first.number, "start", TECHNICIAN, first.version, T0), second


def test_a_link_is_made_once_and_can_be_taken_back(desk: Desk, two: tuple[Order, Order]) -> None:
    first, second = two
    link = {"link_kind": "caused_by", "other": second.number}
    with desk.transaction() as tx:
        first = tx.move(first.number, "link", LEAD, first.version, T0, **link)
        assert tx.links(second.number) == [Link(first.number, "caused_by", second.number)]
    for wrong, error in ((second.number, FieldError), (first.number, FieldError), ("WO-1", NotFoundError)):
        with pytest.raises(error), desk.transaction() as tx:
            tx.move(first.number, "link", LEAD, first.version, T0, **{**link, "other": wrong})
    with desk.transaction() as tx:
        first = tx.move(first.number, "unlink", LEAD, first.version, T0, **link)
        assert tx.links(first.number) == []
    with pytest.raises(NotFoundError), desk.transaction() as tx:
        tx.move(first.number, "unlink", LEAD, first.version, T0, **link)


def test_a_task_added_by_hand_holds_back_resolving(desk: Desk, two: tuple[Order, Order]) -> None:
    order, _ = two
    with desk.transaction() as tx:
        order = tx.move(
            order.number,
            "add_task",
            LEAD,
            order.version,
            T0,
            text="量温度",
            task_kind="number",
            unit="degC",
        )
    with pytest.raises(MoveRefusedError, match="mandatory tasks"), desk.transaction() as tx:
        tx.move(order.number, "resolve", TECHNICIAN, order.version, T0, **DONE)
    with desk.transaction() as tx:
        order = tx.move(order.number, "do_task", TECHNICIAN, order.version, T0, task=1, value="41.5")
        (task,) = tx.tasks(order.number)
        assert (task.text_zh, task.unit, task.value) == ("量温度", "degC", "41.5")


def test_a_downtime_must_have_ended_when_the_repair_has(desk: Desk, two: tuple[Order, Order]) -> None:
    order, _ = two
    with desk.transaction() as tx:
        order = tx.move(
            order.number, "downtime", TECHNICIAN, order.version, T0, downtime_start=T0, stop_kind="full"
        )
    with pytest.raises(MoveRefusedError, match="say when it ended"), desk.transaction() as tx:
        tx.move(order.number, "resolve", TECHNICIAN, order.version, T0 + HOUR, **DONE)
    with pytest.raises(MoveRefusedError, match="ends before it begins"), desk.transaction() as tx:
        tx.move(order.number, "resolve", TECHNICIAN, order.version, T0 + HOUR, downtime_end=T0 - 1, **DONE)
    with desk.transaction() as tx:
        order = tx.move(
            order.number, "resolve", TECHNICIAN, order.version, T0 + HOUR, downtime_end=T0 + HOUR, **DONE
        )
    assert (order.downtime_start, order.downtime_end, order.stop_kind) == (T0, T0 + HOUR, "full")


def test_the_same_key_gets_the_same_answer_for_a_day(desk: Desk) -> None:
    with desk.transaction() as tx:
        assert tx.answered(LEAD, "k-1", "request-a") is None
        tx.keep_answer(LEAD, "k-1", "request-a", '{"number":"WO-1"}', at=T0)
    with desk.read() as read:
        assert read.answered(LEAD, "k-1", "request-a") == '{"number":"WO-1"}'
        assert read.answered(TECHNICIAN, "k-1", "request-a") is None
        with pytest.raises(StaleError, match="another request"):
            read.answered(LEAD, "k-1", "request-b")
        with pytest.raises(FieldError):
            read.answered(LEAD, " ", "request-a")
    with desk.transaction() as tx:
        tx.keep_answer(LEAD, "k-2", "r", "{}", at=T0 + DAY + 1)
        assert tx.answered(LEAD, "k-1", "request-a") is None
