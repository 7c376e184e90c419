"""The desk: the one door to the tickets' database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from sqlalchemy import Engine, Table, Update, select, update
from sqlalchemy.dialects import postgresql, sqlite

from ticketing import auto_open, database, events, report, tick, timers
from ticketing.moves import Asked
from ticketing.moving import make_move
from ticketing.permissions import require
from ticketing.policy import Policy, versioned
from ticketing.reading import Reading
from ticketing.records import Actor, Alarm, Asset, Decision, Order, RaisedAlarm
from ticketing.tables import alarm as alarms
from ticketing.tables import asset as assets
from ticketing.tables import engine_state, policy_version, site
from ticketing.writing import Writing


class Desk:
    """One site's tickets in one database. Threads may share it; each transaction belongs to one thread."""

    def __init__(self, engine: Engine, site_id: str, policy: Policy) -> None:
        self.site = site_id
        self.policy = policy
        self._version = versioned(policy)
        self._engine = engine
        self._writing = engine.execution_options(writing=True)

    @classmethod
    def open(cls, target: str | Path, *, site: str, policy: Policy | None = None) -> Self:
        """Open (and create or bring up to date) the database: a file path, or ``postgresql://…``.

        SchemaError if a newer version wrote it.
        """
        engine = database.connect(target)
        try:
            database.migrate(engine)
            desk = cls(engine, site, policy or Policy())
            desk._prepare()
        except BaseException:
            engine.dispose()
            raise
        return desk

    def close(self) -> None:
        """Give the connections back; never raises."""
        self._engine.dispose()

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """What is written inside is committed at the end, or nothing is. One writer per site at a time."""
        with self._writing.connect() as connection, connection.begin():
            tx = Tx(connection, self.site, self._version)
            yield tx
            tx.finish()

    @contextmanager
    def read(self) -> Iterator[Reading]:
        """A consistent view that blocks nobody."""
        with self._engine.connect() as connection, connection.begin():
            yield Reading(connection, self.site, self._version)

    def _prepare(self) -> None:
        """The site's own row and the policy's version, if they are not there yet."""
        with self._engine.connect() as connection:
            site_known = select(site.c.site).where(site.c.site == self.site)
            policy_known = select(policy_version.c.site).where(
                policy_version.c.site == self.site, policy_version.c.sha256 == self._version.sha256
            )
            if connection.scalar(site_known) and connection.scalar(policy_known):
                return
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        rows: dict[Table, dict[str, object]] = {
            site: {"head_seq": 0, "head_hash": events.GENESIS, "flooding": False},
            policy_version: {"sha256": self._version.sha256, "body": self._version.body},
        }
        with self._writing.begin() as connection:
            for table, row in rows.items():
                adding = dialect.insert(table).on_conflict_do_nothing()
                connection.execute(adding, {"site": self.site, **row})


class Tx(Writing):
    """What can be done in one transaction; reading sees what was written before in it.

    The engine's calls first let happen what fell due before them, so the result does not depend on how often
    ``tick`` is called. Everything decided meanwhile stands in ``decisions``.
    """

    # The engine's side

    def save_state(self, name: str, cursor: int, blob: bytes) -> None:
        """Keep the judge's log position and state, in the transaction of the alarms it produced."""
        change = update(engine_state).where(self.here(engine_state, name=name))
        if self.connection.execute(change.values(cursor=cursor, blob=blob)).rowcount == 0:
            self.add(engine_state, name=name, cursor=cursor, blob=blob)

    def alarm_raised(self, alarm: RaisedAlarm) -> Decision:
        """An episode became active: keep it with its evidence and decide about an order. Idempotent."""
        tick.serve(self, alarm.at)
        return auto_open.raised(self, alarm)

    def severity_raised(
        self, episode: str, severity: int, at: int, evidence: Mapping[str, Any] | None = None
    ) -> Decision:
        """The episode reached a higher severity: its order becomes more urgent, or it is decided anew."""
        tick.serve(self, at)
        return auto_open.severity_raised(self, episode, severity, at, evidence)

    def alarm_cleared(self, episode: str, at: int) -> None:
        """The episode is back to normal; no order is closed by that. Idempotent."""
        tick.serve(self, at)
        auto_open.cleared(self, episode, at)

    def machine_runs(self, asset: str, at: int, *, running: bool) -> None:
        """The machine started or stopped; verify windows count running time."""
        tick.serve(self, at)
        timers.machine_runs(self, asset, at, running=running)

    def tick(self, now: int) -> list[Decision]:
        """Let happen what fell due by ``now``: alarms held long enough, self-clearing, verifying, closing."""
        return tick.serve(self, now)

    # The people's side

    def open_order(self, actor: Actor, *, at: int, asset: str, title: str, **more: Any) -> Order:
        """A person reports: see ``report.open_order`` for the rest of the fields."""
        return report.open_order(self, actor, at=at, asset=asset, title=title, **more)

    def move(self, number: str, move: str, actor: Actor, version: int, at: int, **fields: Any) -> Order:
        """Make a move of ``MOVES``; the only way to change an order's state.

        ``version`` is that of the order the actor saw. NotFoundError; MoveRefusedError with the present
        state; MissingFieldError and FieldError naming the fields.
        """
        return make_move(self, self.order(number), Asked(move, actor, version, at, fields))

    def ack(self, episode: str, actor: Actor, at: int, note: str = "") -> Alarm:
        """A person has seen the alarm; the first one counts."""
        require(actor, "alarm.ack")
        first = update(alarms).where(self.here(alarms, episode=episode, acked_at=None))
        self.connection.execute(first.values(acked_at=at, acked_by=actor.name, ack_note=note))
        return self.alarm(episode)

    def sync_assets(self, given: Iterable[Asset]) -> None:
        """Make the register what the site file says. What is no longer there is retired, never deleted."""
        wanted = {asset.code: asset for asset in given}
        present = {asset.code: asset for asset in self.assets(retired=True)}
        for code, asset in wanted.items():
            row = asdict(asset)
            row.pop("running")  # the machine says so itself
            if code not in present:
                self.add(assets, **row)
            elif row != {name: value for name, value in asdict(present[code]).items() if name in row}:
                self.connection.execute(self._asset(code).values(**row))
        for code in present.keys() - wanted.keys():
            self.connection.execute(self._asset(code).values(retired=True))

    def _asset(self, code: str) -> Update:
        return update(assets).where(self.here(assets, code=code))
