"""How anything is written: each change of an order and the line of history that says so go together.

The history holds every column that was set, so an order's row is the sum of its lines (a test adds them up).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import Connection, Table, insert, select, update

from ticketing import events
from ticketing.policy import PolicyVersion
from ticketing.reading import Reading, decoded
from ticketing.records import Actor, Decision, Order
from ticketing.statements import Once
from ticketing.tables import same, site, wo_event, wo_link, work_order

HEAD = Once(select(site.c.head_seq, site.c.head_hash, site.c.flooding).where(same(site)).with_for_update())
END = Once(update(site).where(same(site)))
CHANGE = Once(update(work_order).where(same(work_order, "number", "version")))


@cache
def adding(table: Table) -> Once:
    """A new row."""
    return Once(insert(table))


@cache
def adding_once(table: Table, dialect: str) -> Once:
    """A new row, unless its key is there already."""
    return Once(_insert(table, dialect).on_conflict_do_nothing())


@cache
def setting(table: Table, dialect: str) -> Once:
    """A new row, in the place of the one that has its key."""
    new = _insert(table, dialect)
    values = {column.name: new.excluded[column.name] for column in table.c if not column.primary_key}
    return Once(new.on_conflict_do_update(index_elements=list(table.primary_key), set_=values))


def _insert(table: Table, dialect: str) -> Any:
    if dialect == "postgresql":  # each dialect weighs megabytes: only the one that is used
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite

    return sqlite.insert(table)


class Writing(Reading):
    """A transaction that holds the site's lock: one writer per site at a time, on both databases."""

    def __init__(self, connection: Connection, site_id: str, version: PolicyVersion) -> None:
        super().__init__(connection, site_id, version)
        self.decisions: list[Decision] = []  # all that was decided in this transaction, timers too
        # PostgreSQL waits here for the row; SQLite took its lock with BEGIN IMMEDIATE.
        (row,) = self.rows(HEAD, self.of())
        self.flooding = bool(row.flooding)
        self._head = events.Head(row.head_seq, row.head_hash)
        self._found = (self._head, self.flooding)
        self.lines: list[dict[str, Any]] = []  # the history that this transaction wrote
        self.next_due: int | None = None  # when the next timer falls due; None: to be looked up

    def run(self, once: Once, given: Mapping[str, Any]) -> int:
        """Do it; how many rows that concerned."""
        return self._driver.run(once, given)

    def finish(self) -> None:
        """Write down where the site's history ends now; the desk does so before it commits."""
        if (self._head, self.flooding) == self._found:
            return
        end = {"head_seq": self._head.seq, "head_hash": self._head.hash, "flooding": self.flooding}
        self.run(END, {**self.of(), **end})
        self._found = (self._head, self.flooding)

    def verify(self) -> events.Chain:
        """Check the hash chain, what this transaction wrote included."""
        self.finish()
        return super().verify()

    def change(
        self,
        order: Order,
        *,
        at: int,
        actor: Actor,
        kind: str,
        columns: Mapping[str, Any],
        fields: Mapping[str, Any] | None = None,
        moved: bool = False,
    ) -> Order:
        """Set ``columns`` and write why. ``moved``: a move, so whoever holds the old version is stale."""
        columns = {**columns, "version": order.version + 1} if moved else dict(columns)
        if columns:
            key = self.of(number=order.number, version=order.version)
            changed = self.run(CHANGE, {**key, **columns})
            assert changed == 1, "the site's lock keeps others away between reading and writing"
        self.record(order.number, at=at, actor=actor, kind=kind, columns=columns, fields=fields)
        return replace(order, **{**columns, **decoded(columns)})

    def record(
        self,
        number: str,
        *,
        at: int,
        actor: Actor,
        kind: str,
        columns: Mapping[str, Any] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """One line of history."""
        payload = {name: dict(part) for name, part in (("set", columns), ("fields", fields)) if part}
        line = self.next_line(number, at=at, actor=actor, kind=kind, payload=payload)
        self.add(wo_event, **line)
        self.lines.append(line)

    def next_line(
        self, number: str, *, at: int, actor: Actor, kind: str, payload: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The row of the next line of history; whoever asks for it must write it."""
        line = events.next_line(
            self._head, self.site, number=number, at=at, actor=actor, kind=kind, payload=payload
        )
        self._head = events.Head(line["seq"], line["hash"])
        return line

    def add(self, table: Table, **row: Any) -> None:
        """A new row of this site."""
        self.run(adding(table), {"site": self.site, **row})

    def add_once(self, table: Table, **row: Any) -> None:
        """A new row of this site, unless its key is there already."""
        self.run(adding_once(table, self.connection.dialect.name), {"site": self.site, **row})

    def set(self, table: Table, **row: Any) -> None:
        """A row of this site, in the place of the one that has its key."""
        self.run(setting(table, self.connection.dialect.name), {"site": self.site, **row})

    def link(self, number: str, kind: str, other: str) -> None:
        """``number`` is ``kind`` ``other`` (recurrence_of …)."""
        self.add(wo_link, number=number, kind=kind, other=other)
