"""Opening an order for a fault that may have been there before: it is linked, and marked when it keeps coming."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select, update

from ticketing import sla, tasks, timers
from ticketing.knowledge import suggest
from ticketing.reading import decoded
from ticketing.records import Actor, Order, State, Template
from ticketing.statements import Once
from ticketing.tables import NEWEST_CLOSED, number_series, same, work_order
from ticketing.writing import Writing

STEP = Once(
    update(number_series)
    .where(same(number_series, "year"))
    .values(last=number_series.c.last + 1)
    .returning(number_series.c.last)
)
CLOSED_BEFORE = Once(
    select(work_order.c.number, work_order.c.closed_at)
    .where(same(work_order, "fault_key"), work_order.c.state == State.CLOSED)
    .order_by(*NEWEST_CLOSED)
)


def open_row(tx: Writing, *, at: int, actor: Actor, source: str, **columns: Any) -> Order:
    """A new order with the next number of its year; its clocks start. ``source`` is unique: what it came from."""
    number = next_number(tx, at)
    due_ack, due_resolve = tx.policy.due(columns["priority"], at)
    row = {
        "version": 1,
        "state": State.NEW.value,
        "source": source,
        "description": "",
        "opened_at": at,
        "first_seen_at": at,
        "due_ack_at": due_ack,
        "due_resolve_at": due_resolve,
        "severity_max": 0,
        "level": 0,
        "reopen_count": 0,
        "occurrence_count": 0,
        "chronic": False,
        "self_clear": False,
        "verify_ms": 0,
        "policy": tx.policy_hash,
        "est_cost_fen": 0,
        "custom": "{}",
        **columns,
    }
    tx.add(work_order, number=number, **row)
    tx.record(number, at=at, actor=actor, kind="open", columns=row)
    nothing = dict.fromkeys(Order.__dataclass_fields__)
    facts = dict.fromkeys(("alarms", "alarms_active", "open_tasks", "cost_fen", "approvals_missing"), 0)
    order = Order(**{**nothing, **facts, **row, "number": number, **decoded(row)})
    sla.schedule(tx, order, at, new=True)
    if tx.policy.route:
        timers.start(tx, "route", number, at=at, ms=0)
    return order


def next_number(tx: Writing, at: int) -> str:
    """The next number of the site and the year of ``at`` (UTC)."""
    year = datetime.fromtimestamp(at / 1000, UTC).year
    last = tx.value(STEP, tx.of(year=year))
    if last is None:
        last = 1
        tx.add(number_series, year=year, last=last)
    return f"WO-{year}-{last:06d}"


def open_for_fault(
    tx: Writing, key: str | None, *, at: int, actor: Actor, priority: int, **columns: Any
) -> Order:
    """A new order; the last one of this fault is linked, and repeats make it more urgent and then chronic."""
    last, repeats = _earlier(tx, key, at) if key else (None, 0)
    order = open_row(
        tx,
        at=at,
        actor=actor,
        fault_key=key,
        priority=max(1, priority - 1) if repeats >= tx.policy.urgent_repeats else priority,
        chronic=repeats >= tx.policy.chronic_repeats,
        **columns,
    )
    if last is not None:
        tx.link(order.number, "recurrence_of", last)
    suggest.offer(tx, order, at)
    if order.chronic:
        _ask_for_the_root_cause(tx, order)
    return order


def _earlier(tx: Writing, key: str, at: int) -> tuple[str | None, int]:
    """The last closed order of this fault, and how many were closed within the repeat window."""
    closed = tx.rows(CLOSED_BEFORE, tx.of(fault_key=key))
    recent = [row for row in closed if row.closed_at > at - tx.policy.repeat_window]
    return (closed[0].number if closed else None), len(recent)


def _ask_for_the_root_cause(tx: Writing, order: Order) -> None:
    tasks.add(
        tx,
        order,
        Template(
            "根本原因分析:该故障 90 天内反复出现", "Root cause analysis: this fault keeps coming back", "text"
        ),
        at=order.opened_at,
    )
