"""A gateway of several that share a core: what its engine says waits here until it has arrived there.

The judge's state and what it says are committed together in a database of the gateway's own; the shared one may be
away. An episode has its name for ever, so what is told twice happened once: raised once, at each severity once,
cleared once. What the core decided (the rules' steps) is asked now and then, and remembered for while it is away.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, func, select

from ticketing.desk import Desk, Tx, View
from ticketing.errors import FieldError, NameTakenError, NotFoundError
from ticketing.events import canonical
from ticketing.records import Decision, EngineState, OrderPolicy, RaisedAlarm, RuleStep
from ticketing.tables import forward

WAITS = Decision("forwarded", None, "waits for the shared database")
LIMIT = 20  # sayings in one transaction of the shared core: everybody else who writes there waits for it
TICK_EVERY = 5_000  # ms of the engine's time between two looks at the core's timers when nothing is said
STEPS = "rule steps"  # the state that remembers them
OURSELVES = "ourselves"  # the state that tells this gateway from one that took its name
SIGNED = "signed by "  # a gateway: the core's state that says which one that is, and when it was there last
GONE_AFTER = 30_000  # ms without a signature after which the name is free


class Branch:
    """This gateway's end: ``local`` is its own database, ``shared`` the core, which may be away.

    Threads may share it: one tells it what the engine says, one relays. ``heard`` is called when there is news.
    """

    def __init__(self, local: Desk, shared: Desk, heard: Callable[[], None] = lambda: None) -> None:
        self._local, self._shared, self.heard = local, shared, heard
        self._now = self._ticked = 0  # UTC ms: how far the engine has come, and the core's timers by it
        with local.transaction() as own:
            if (kept := own.load_state(OURSELVES)) is None:
                own.save_state(OURSELVES, 0, secrets.token_bytes(16))
                kept = own.load_state(OURSELVES)
        assert kept is not None
        self._ourselves = kept.blob

    def sign(self, gateway: str, at: int) -> None:
        """Say in the core that we are there at ``at``, and called so; NameTakenError if another one is."""
        with self._shared.transaction() as tx:
            signed = tx.load_state(SIGNED + gateway)
            if signed and signed.blob != self._ourselves and abs(at - signed.cursor) < GONE_AFTER:
                raise NameTakenError(
                    f"another gateway of the site is called {gateway!r} too: give each its own `gateway` in site.toml"
                )
            tx.save_state(SIGNED + gateway, at, self._ourselves)

    @contextmanager
    def transaction(self) -> Iterator[Forwarding]:
        """One local transaction: the engine's state, and what it says for later."""
        with self._local.transaction() as tx:
            said = Forwarding(tx)
            yield said
        self._now = max(self._now, said.now)
        if said.decisions or self._due():
            self.heard()

    @contextmanager
    def read(self) -> Iterator[Kept]:
        """What is kept here."""
        with self._local.read() as view:
            yield Kept(view)

    def waiting(self) -> int:
        """How much has not arrived yet."""
        with self._local.read() as read:
            count = select(func.count()).select_from(forward).where(read.here(forward))
            return read.connection.scalar(count) or 0

    def relay(self, limit: int = LIMIT, told: Callable[[], None] = lambda: None) -> list[Decision]:
        """Tell the core the oldest of what waits, then forget it here; with the last of it the core's timers go on.

        StorageError while it is away. What it refuses for good is a decision ``refused``, and forgotten too.
        ``told`` is called in between.
        """
        now = self._now
        with self._local.read() as read:
            oldest = select(forward).where(read.here(forward)).order_by(forward.c.seq).limit(limit)
            rows = read.connection.execute(oldest).all()
        if not rows and not self._due():
            return []
        try:
            with self._shared.transaction() as tx:
                for row in rows:
                    _apply(tx, row.verb, json.loads(row.body))
                if len(rows) < limit:
                    tx.tick(now)
                decisions = tx.decisions
        except (NotFoundError, FieldError) as error:
            if not rows:
                raise  # of a timer
            if len(rows) > 1:
                return self.relay(1, told)  # which one?
            decisions = [Decision("refused", None, f"{rows[0].verb} {rows[0].body[:200]}: {error}")]
        if len(rows) < limit:
            self._ticked = now
        if rows:
            told()
            with self._local.transaction() as own:
                arrived = own.here(forward) & (forward.c.seq <= rows[-1].seq)
                own.connection.execute(delete(forward).where(arrived))
        return decisions

    def ask(self) -> bool:
        """Ask the core which steps the rules' versions have taken; whether it says another thing than before."""
        with self._shared.read() as read:
            steps = canonical([asdict(step) for step in read.rule_stages().values()]).encode()
        with self._local.transaction() as tx:
            before = tx.load_state(STEPS)
            if before is not None and before.blob == steps:
                return False
            tx.save_state(STEPS, 0, steps)
        return True

    def _due(self) -> bool:
        return self._now - self._ticked >= TICK_EVERY


class Kept:
    """What a gateway keeps of its own, and what the core said last."""

    def __init__(self, view: View) -> None:
        self._view = view

    def load_state(self, name: str) -> EngineState | None:
        """What ``save_state`` kept under this name."""
        return self._view.load_state(name)

    def rule_stages(self) -> dict[str, RuleStep]:
        """Where each rule stands that ever took a step, as far as we know."""
        kept = self._view.load_state(STEPS)
        steps = json.loads(kept.blob) if kept else []
        return {step["rule_id"]: RuleStep(**{**step, "assets": tuple(step["assets"])}) for step in steps}


class Forwarding:
    """The engine's side of ``Tx``, told to the shared database later, in this order."""

    def __init__(self, tx: Tx) -> None:
        self._tx = tx
        self.decisions: list[Decision] = []
        self.now = 0
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

    def look_back(self, episode: str, severity: int, past: Mapping[str, Any]) -> None:
        """What was measured before the alarm."""
        self._say("look_back", {"episode": episode, "severity": severity, "past": past})

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

    def tick(self, now: int) -> None:
        """How far the engine has come."""
        self.now = now

    def _say(self, verb: str, body: Mapping[str, Any]) -> Decision:
        self._seq += 1
        self._tx.add(forward, seq=self._seq, verb=verb, body=canonical(body))
        self.decisions.append(WAITS)
        return WAITS


def _apply(tx: Tx, verb: str, body: dict[str, Any]) -> None:
    if verb == "alarm_raised":
        policy = body.pop("policy")
        min_active = {int(severity): ms for severity, ms in policy.pop("min_active").items()}
        body["above"] = tuple(body["above"])
        tx.alarm_raised(RaisedAlarm(policy=OrderPolicy(min_active=min_active, **policy), **body))
    else:
        getattr(tx, verb)(**body)
