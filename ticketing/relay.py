"""A gateway whose orders live in a database that it shares: what the engine says waits here until it arrives there.

The judge's state and what it says are committed together, locally; the shared database may be away. Everything
is idempotent there, so what was told twice happened once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select

from ticketing.events import canonical
from ticketing.records import Decision, OrderPolicy, RaisedAlarm
from ticketing.tables import forward

if TYPE_CHECKING:
    from ticketing.desk import Desk, Tx

WAITS = Decision("forwarded", None, "waits for the shared database")


class Forwarding:
    """The engine's side of ``Tx``, told to the shared database later, in this order."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.decisions: list[Decision] = []
        last = select(func.max(forward.c.seq)).where(tx.here(forward))
        self._seq = tx.connection.scalar(last) or 0

    def save_state(self, name: str, cursor: int, blob: bytes) -> None:
        """Keep the judge's state here, with what it says."""
        self._tx.save_state(name, cursor, blob)

    def alarm_raised(self, alarm: RaisedAlarm) -> Decision:
        """An episode became active."""
        return self._say("alarm_raised", asdict(alarm))

    def severity_raised(
        self, episode: str, severity: int, at: int, evidence: Mapping[str, Any] | None = None
    ) -> Decision:
        """The episode reached a higher severity."""
        said = {"episode": episode, "severity": severity, "at": at, "evidence": evidence}
        return self._say("severity_raised", said)

    def alarm_reactivated(self, episode: str, count: int, at: int) -> None:
        """The episode was clearing and is violated again."""
        self._say("alarm_reactivated", {"episode": episode, "count": count, "at": at})

    def alarm_cleared(self, episode: str, at: int) -> None:
        """The episode is back to normal."""
        self._say("alarm_cleared", {"episode": episode, "at": at})

    def machine_runs(self, asset: str, at: int, *, running: bool) -> None:
        """The machine started or stopped."""
        self._say("machine_runs", {"asset": asset, "at": at, "running": running})

    def counter(self, asset: str, name: str, value: int, at: int) -> None:
        """A counter of the machine moved."""
        self._say("counter", {"asset": asset, "name": name, "value": value, "at": at})

    def _say(self, verb: str, body: Mapping[str, Any]) -> Decision:
        self._seq += 1
        self._tx.add(forward, seq=self._seq, verb=verb, body=canonical(body))
        self.decisions.append(WAITS)
        return WAITS


@contextmanager
def forwarding(local: Desk) -> Iterator[Forwarding]:
    """A local transaction that takes what the engine says, for later."""
    with local.transaction() as tx:
        yield Forwarding(tx)


def waiting(local: Desk) -> int:
    """How much has not arrived yet."""
    with local.read() as read:
        return (
            read.connection.scalar(select(func.count()).select_from(forward).where(read.here(forward))) or 0
        )


def relay(local: Desk, shared: Desk, *, limit: int = 200) -> list[Decision]:
    """Tell the shared database the oldest of what waits, then forget it here; raises if it is away."""
    with local.read() as read:
        oldest = select(forward).where(read.here(forward)).order_by(forward.c.seq).limit(limit)
        rows = read.connection.execute(oldest).all()
    if not rows:
        return []
    with shared.transaction() as tx:
        for row in rows:
            _apply(tx, row.verb, json.loads(row.body))
        decisions = tx.decisions
    with local.transaction() as tx:
        told = tx.here(forward) & (forward.c.seq <= rows[-1].seq)
        tx.connection.execute(delete(forward).where(told))
    return decisions


def _apply(tx: Tx, verb: str, body: dict[str, Any]) -> None:
    if verb == "alarm_raised":
        policy = body.pop("policy")
        min_active = {int(severity): ms for severity, ms in policy.pop("min_active").items()}
        body["above"] = tuple(body["above"])
        tx.alarm_raised(RaisedAlarm(policy=OrderPolicy(min_active=min_active, **policy), **body))
    else:
        getattr(tx, verb)(**body)
