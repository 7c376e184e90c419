"""Two orders turn out to be one: the other's alarms and clock go into this one, and can come back within a day."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select

from ticketing.errors import FieldError, MoveRefusedError
from ticketing.moves import Asked
from ticketing.records import Order, State
from ticketing.statements import Once, at_most
from ticketing.tables import NEWEST_CLOSED, same, wo_alarm, wo_link, work_order
from ticketing.writing import Writing

MERGED = "merged_into"
TAKEN_IN = Once(
    select(wo_link.c.other)
    .join(work_order, (work_order.c.site == wo_link.c.site) & (work_order.c.number == wo_link.c.number))
    .where(
        same(work_order, "fault_key"),
        work_order.c.state == State.CANCELLED,
        work_order.c.outcome == "merged",
        wo_link.c.kind == MERGED,
    )
    .order_by(*NEWEST_CLOSED)
    .limit(at_most(1))
)


def earliest_clocks(tx: Writing, order: Order, asked: Asked) -> dict[str, Any]:
    """The more urgent priority and the earlier due times of both."""
    other = _other(tx, order, asked)
    return {
        "priority": min(order.priority, other.priority),
        "severity_max": max(order.severity_max, other.severity_max),
        "occurrence_count": order.occurrence_count + other.occurrence_count,
        "due_ack_at": min(order.due_ack_at, other.due_ack_at),
        "due_resolve_at": min(order.due_resolve_at, other.due_resolve_at),
    }


def take_in(tx: Writing, order: Order, asked: Asked) -> None:
    """Cancel the other order and take its alarms; its fault key leads here from now on."""
    other = _other(tx, order, asked)
    cancelled = {"state": "cancelled", "closed_at": asked.at, "outcome": "merged"}
    fields = {"into": order.number, "was": other.state.value}
    tx.change(
        other, at=asked.at, actor=asked.actor, kind="merged", columns=cancelled, fields=fields, moved=True
    )
    tx.link(other.number, MERGED, order.number)
    mine = set(
        tx.connection.scalars(select(wo_alarm.c.episode).where(tx.here(wo_alarm, number=order.number)))
    )
    for row in tx.connection.execute(select(wo_alarm).where(tx.here(wo_alarm, number=other.number))).all():
        if row.episode not in mine:
            tx.add(wo_alarm, number=order.number, episode=row.episode, relation="merged", at=asked.at)


def as_it_was(tx: Writing, order: Order, _asked: Asked) -> dict[str, Any]:
    """The order comes back open; refused if its fault has an open order by now."""
    if order.fault_key and (known := tx.open_order_for(order.fault_key)) is not None:
        text = f"{known.number} is open for this fault by now"
        raise MoveRefusedError(order.number, order.state, order.version, "guard", text)
    survivor = tx.order(_survivor_number(tx, order.number) or "")
    if not survivor.open:
        text = f"{survivor.number} is {survivor.state.value} by now"
        raise MoveRefusedError(order.number, order.state, order.version, "guard", text)
    return {"closed_at": None, "outcome": None, "assignee": None, "accepted_at": None}


def give_back(tx: Writing, order: Order, asked: Asked) -> None:
    """Take back the alarms that came from this order, and the link."""
    survivor = tx.order(_survivor_number(tx, order.number) or "")
    own = select(wo_alarm.c.episode).where(tx.here(wo_alarm, number=order.number))
    lent = tx.here(wo_alarm, number=survivor.number, relation="merged")
    tx.connection.execute(delete(wo_alarm).where(lent, wo_alarm.c.episode.in_(own)))
    tx.connection.execute(delete(wo_link).where(tx.here(wo_link, number=order.number, kind=MERGED)))
    count = {"occurrence_count": survivor.occurrence_count - order.occurrence_count}
    fields = {"order": order.number}
    tx.change(survivor, at=asked.at, actor=asked.actor, kind="unmerged", columns=count, fields=fields)


def survivor_of(tx: Writing, fault_key: str) -> Order | None:
    """The open order that took in the last order of this fault, if it was merged."""
    number = tx.value(TAKEN_IN, tx.of(fault_key=fault_key))
    survivor = tx.order(number) if number else None
    return survivor if survivor and survivor.open else None


def _survivor_number(tx: Writing, number: str) -> str | None:
    return tx.connection.scalar(select(wo_link.c.other).where(tx.here(wo_link, number=number, kind=MERGED)))


def _other(tx: Writing, order: Order, asked: Asked) -> Order:
    other = tx.order(asked.fields["other"])
    if other.number == order.number:
        raise FieldError(["other"], "an order cannot be merged into itself")
    if other.state not in ("new", "assigned", "on_hold"):
        text = "only an order that is new, assigned or on hold can be merged into another"
        raise MoveRefusedError(other.number, other.state, other.version, "illegal", text)
    return other
