"""How orders hang together, said by people: one is a duplicate of another, caused by it, or blocks it."""

from __future__ import annotations

from sqlalchemy import delete

from ticketing.errors import FieldError, NotFoundError
from ticketing.moves import Asked
from ticketing.records import Link, Order
from ticketing.tables import wo_link
from ticketing.writing import Writing


def link(tx: Writing, order: Order, asked: Asked) -> None:
    """Say it once; NotFoundError if there is no such other order."""
    wanted = _wanted(tx, order, asked)
    if wanted in tx.links(order.number):
        raise FieldError(["other"], f"{order.number} is {wanted.kind} {wanted.other} already")
    tx.link(order.number, wanted.kind, wanted.other)


def unlink(tx: Writing, order: Order, asked: Asked) -> None:
    """Take it back; the history keeps both."""
    wanted = _wanted(tx, order, asked)
    here = tx.here(wo_link, number=wanted.number, kind=wanted.kind, other=wanted.other)
    if tx.connection.execute(delete(wo_link).where(here)).rowcount == 0:
        raise NotFoundError(f"{order.number} is not {wanted.kind} {wanted.other}")


def _wanted(tx: Writing, order: Order, asked: Asked) -> Link:
    other = tx.order(asked.fields["other"]).number
    if other == order.number:
        raise FieldError(["other"], "an order is not linked with itself")
    return Link(order.number, asked.fields["link_kind"], other)
