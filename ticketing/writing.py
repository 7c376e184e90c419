"""How anything is written: each change of an order and the line of history that says so go together.

The history holds every column that was set, so an order's row is the sum of its lines (a test adds them up).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, insert, select, update

from ticketing import events
from ticketing.policy import Policy
from ticketing.reading import Reading
from ticketing.records import Actor, Decision, Order, State
from ticketing.tables import number_series, site, wo_link, work_order


class Writing(Reading):
    """A transaction that holds the site's lock: one writer per site at a time, on both databases."""

    def __init__(self, connection: Connection, site_id: str, policy: Policy) -> None:
        super().__init__(connection, site_id, policy)
        self.decisions: list[Decision] = []  # all that was decided in this transaction, timers too
        # PostgreSQL waits here for the row; SQLite took its lock with BEGIN IMMEDIATE.
        connection.execute(select(site.c.site).where(site.c.site == site_id).with_for_update())

    def open_row(self, *, at: int, actor: Actor, source: str, **columns: Any) -> Order:
        """A new order with the next number of its year. ``source`` is unique: what it came from."""
        number = self._next_number(at)
        targets = self.policy.targets[columns["priority"]]
        row = {
            "version": 1,
            "state": State.NEW.value,
            "source": source,
            "description": "",
            "opened_at": at,
            "first_seen_at": at,
            "due_ack_at": at + targets.ack,
            "due_resolve_at": at + targets.resolve,
            "severity_max": 0,
            "level": 0,
            "reopen_count": 0,
            "occurrence_count": 0,
            "chronic": False,
            "self_clear": False,
            "verify_ms": 0,
            **columns,
        }
        self.connection.execute(insert(work_order).values(site=self.site, number=number, **row))
        self.record(number, at=at, actor=actor, kind="open", columns=row)
        return self.order(number)

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
            where = (self._is(order.number), work_order.c.version == order.version)
            changed = self.connection.execute(update(work_order).where(*where).values(**columns))
            assert changed.rowcount == 1, "the site's lock keeps others away between reading and writing"
        self.record(order.number, at=at, actor=actor, kind=kind, columns=columns, fields=fields)
        return self.order(order.number)

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
        events.append(
            self.connection, self.site, number=number, at=at, actor=actor, kind=kind, payload=payload
        )

    def link(self, number: str, kind: str, other: str) -> None:
        """``number`` is ``kind`` ``other`` (recurrence_of …)."""
        self.connection.execute(insert(wo_link).values(site=self.site, number=number, kind=kind, other=other))

    def _next_number(self, at: int) -> str:
        year = datetime.fromtimestamp(at / 1000, UTC).year
        here = (number_series.c.site == self.site, number_series.c.year == year)
        step = update(number_series).where(*here).values(last=number_series.c.last + 1)
        last = self.connection.scalar(step.returning(number_series.c.last))
        if last is None:
            self.connection.execute(insert(number_series).values(site=self.site, year=year, last=1))
            last = 1
        return f"WO-{year}-{last:06d}"
