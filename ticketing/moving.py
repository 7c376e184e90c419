"""Making a move: check it against the table, change the order, and do what follows from it."""

from __future__ import annotations

from dataclasses import replace

from ticketing import sla
from ticketing.effects import AFTER, COLUMNS
from ticketing.fields import FIELDS
from ticketing.moves import Asked, check
from ticketing.records import Order
from ticketing.repair import stop_timers
from ticketing.writing import Writing


def make_move(tx: Writing, order: Order, asked: Asked) -> Order:
    """The order after the move; refused as ``moves.check`` says."""
    asked = replace(asked, fields={name: value for name, value in asked.fields.items() if value is not None})
    move = check(order, asked)
    if move.to is not None and sla.is_frozen(tx, order.number):  # taken up: its clocks go on
        order = sla.thaw(tx, order, asked.at)
    columns = {name: value for name, value in asked.fields.items() if FIELDS[name].column}
    if (effect := COLUMNS.get(asked.name)) is not None:
        columns.update(effect(tx, order, asked))
    if move.to is not None:
        columns["state"] = move.to.value
        stop_timers(tx, order)
    moved = tx.change(
        order,
        at=asked.at,
        actor=asked.actor,
        kind=asked.name,
        columns=columns,
        fields={name: value for name, value in asked.fields.items() if not FIELDS[name].secret},
        moved=asked.actor.kind == "person" or move.to is not None,
    )
    for follow in AFTER.get(asked.name, ()):
        follow(tx, moved, asked)
    sla.schedule(tx, moved, asked.at)
    return moved
