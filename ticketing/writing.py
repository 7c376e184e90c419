"""How anything is written: each change of an order and the line of history that says so go together.

The history holds every column that was set, so an order's row is the sum of its lines (a test adds them up).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ticketing import events
from ticketing.policy import Policy
from ticketing.reading import Reading
from ticketing.records import Actor, Decision, Order, State
from ticketing.tables import number_series, site, wo_event, wo_link, work_order


class Writing(Reading):
    """A transaction that holds the site's lock: one writer per site at a time, on both databases."""

    def __init__(self, connection: Connection, site_id: str, policy: Policy) -> None:
        super().__init__(connection, site_id, policy)
        self.decisions: list[Decision] = []  # all that was decided in this transaction, timers too
        # PostgreSQL waits here for the row; SQLite took its lock with BEGIN IMMEDIATE.
        here = select(site.c.head_seq, site.c.head_hash, site.c.flooding).where(site.c.site == site_id)
        row = connection.execute(here.with_for_update()).one()
        self.flooding = bool(row.flooding)
        self._head = events.Head(row.head_seq, row.head_hash)

    def finish(self) -> None:
        """Write down where the site's history ends now; the desk does so before it commits."""
        end = {"head_seq": self._head.seq, "head_hash": self._head.hash, "flooding": self.flooding}
        self.connection.execute(update(site).where(self.here(site)).values(**end))

    def verify(self) -> events.Chain:
        """Check the hash chain, what this transaction wrote included."""
        self.finish()
        return super().verify()

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
        self.add(work_order, number=number, **row)
        self.record(number, at=at, actor=actor, kind="open", columns=row)
        nothing = dict.fromkeys(Order.__dataclass_fields__)
        facts = {"number": number, "state": State.NEW, "alarms": 0, "alarms_active": 0, "open_tasks": 0}
        return Order(**{**nothing, **row, **facts})

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
            here = self.here(work_order, number=order.number, version=order.version)
            changed = self.connection.execute(update(work_order).where(here).values(**columns))
            assert changed.rowcount == 1, "the site's lock keeps others away between reading and writing"
        self.record(order.number, at=at, actor=actor, kind=kind, columns=columns, fields=fields)
        after = replace(order, **columns)
        return replace(after, state=State(after.state))

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
        line = events.next_line(
            self._head, self.site, number=number, at=at, actor=actor, kind=kind, payload=payload
        )
        self.add(wo_event, **line)
        self._head = events.Head(line["seq"], line["hash"])

    def add(self, table: Table, **row: Any) -> None:
        """A new row of this site."""
        self.connection.execute(insert(table), {"site": self.site, **row})

    def add_once(self, table: Table, **row: Any) -> None:
        """A new row of this site, unless its key is there already."""
        dialect = postgresql if self.connection.dialect.name == "postgresql" else sqlite
        adding = dialect.insert(table).on_conflict_do_nothing()
        self.connection.execute(adding, {"site": self.site, **row})

    def link(self, number: str, kind: str, other: str) -> None:
        """``number`` is ``kind`` ``other`` (recurrence_of …)."""
        self.add(wo_link, number=number, kind=kind, other=other)

    def _next_number(self, at: int) -> str:
        year = datetime.fromtimestamp(at / 1000, UTC).year
        here = self.here(number_series, year=year)
        step = update(number_series).where(here).values(last=number_series.c.last + 1)
        last = self.connection.scalar(step.returning(number_series.c.last))
        if last is None:
            self.add(number_series, year=year, last=1)
            last = 1
        return f"WO-{year}-{last:06d}"
