"""The check list of an order: what must be done before it may be resolved."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from sqlalchemy import ColumnElement, func, select, update

from ticketing.errors import FieldError, MissingFieldError
from ticketing.moves import Asked
from ticketing.records import ENGINE, Order, Template
from ticketing.tables import wo_task
from ticketing.writing import Writing

NUMBERS = ("number", "meter")


def add(tx: Writing, order: Order, template: Template, *, at: int) -> None:
    """One more task on the order's list."""
    seq = 1 + (tx.connection.scalar(select(func.count()).select_from(wo_task).where(_list(tx, order))) or 0)
    task = {"seq": seq, **asdict(template)}
    tx.add(wo_task, number=order.number, **task)
    tx.record(order.number, at=at, actor=ENGINE, kind="task_added", fields=task)


def asked_for(tx: Writing, order: Order, asked: Asked) -> None:
    """Somebody put a task on the list by hand."""
    text, kind = asked.fields["text"], asked.fields.get("task_kind", "check")
    add(tx, order, Template(text, text, kind, unit=asked.fields.get("unit", "")), at=asked.at)


def _list(tx: Writing, order: Order) -> ColumnElement[bool]:
    return tx.here(wo_task, number=order.number)


def done(tx: Writing, order: Order, asked: Asked) -> None:
    """The task was done; a number must be one and within its span, a text or photo must be given."""
    here = tx.here(wo_task, number=order.number, seq=asked.fields["task"])
    task = tx.connection.execute(select(wo_task).where(here)).one_or_none()
    if task is None:
        raise FieldError(["task"], f"{order.number} has no task {asked.fields['task']}")
    value = asked.fields.get("value")
    if task.kind != "check" and not value:
        raise MissingFieldError("do_task", ["value"])
    _check(task, value)
    finished = {"done_at": asked.at, "done_by": asked.actor.name, "value": value}
    tx.connection.execute(update(wo_task).where(here).values(**finished))


def _check(task: Any, value: str | None) -> None:
    if task.kind not in NUMBERS or value is None:
        return
    try:
        number = float(value)
    except ValueError:
        raise FieldError(["value"], f"value must be a number; got {value!r}") from None
    low = float("-inf") if task.low is None else task.low
    high = float("inf") if task.high is None else task.high
    if not low <= number <= high:  # false for nan too
        raise FieldError(["value"], f"value {value} is not within {low:g} to {high:g} {task.unit}")
