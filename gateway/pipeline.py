"""One batch on its way through the daemon: kept already, now scored, judged and acted upon.

The judge follows the spool by its own cursor. Its state, the cursor, and the alarms and orders that came of it are
saved in one transaction; what lies between two savings is judged again after a restart, to the same result.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from devices.batch import Batch, SignalSet
from gateway import failpoints
from gateway.dispatch import Dispatch
from gateway.heartbeat import PULSE, started
from gateway.reorder import Reorder
from gateway.sensors import Sensors
from gateway.spool import Entry, Spool
from rules import Bound, Panel, Transition, View
from ticketing import StorageError

log = logging.getLogger(__name__)

SAVE_EVERY = 5_000_000_000  # ns of log time between savings when nothing happens
SAVE_MODELS_EVERY = 60_000_000_000  # their state is larger; the log fills the gap after a restart
_RETRY = 2.0  # s between two tries to reach the ticket core
_READ = 64  # entries a step when catching up


class Derived(Protocol):
    """Where a soft sensor's batches go: back into the log."""

    def derived(self, batch: Batch) -> bool: ...


@dataclass
class Progress:
    """Where the judge stands, for health and metrics."""

    cursor: int = 0
    time: int = 0  # log time: when the newest judged entry was committed
    samples: int = 0
    transitions: int = 0
    trouble: str = ""  # why judging waits
    latest: dict[SignalSet, Batch] = field(default_factory=dict)


class Pipeline:
    """Judges every committed entry once, in order."""

    def __init__(
        self,
        spool: Spool,
        panel: Panel,
        sensors: Sensors,
        dispatch: Dispatch,
        intake: Derived,
        *,
        lateness: int = 0,
    ) -> None:
        """``lateness`` in ns: so long samples may be under way before they are judged, by their own time."""
        self._lateness, self._order = lateness, Reorder(lateness)
        self._spool, self._panel, self._sensors = spool, panel, sensors
        self._dispatch, self._intake = dispatch, intake
        self._views: dict[SignalSet, View] = {}
        self._saved = self._saved_models = 0  # log time
        self._rules: list[Bound] | None = None  # to judge by from the next entry on
        self._judged = 0  # the newest entry that the rules have seen; acted upon is ``progress.cursor``
        self._models_at = 0  # the newest entry in the models' last saving
        self.progress = Progress()

    async def run(self) -> None:
        """Follow the spool until cancelled; what was judged by then is saved."""
        await asyncio.to_thread(self._resume)
        try:
            while True:
                for entry in await self._spool.after(self.progress.cursor, _READ):
                    await self._take(entry)
        finally:
            self._saved_models = 0
            with suppress(StorageError):
                self._save(())  # quick, and nothing may come between it and the end

    def rebind(self, bounds: Iterable[Bound]) -> None:
        """Judge by these rules from the next entry on; where rule and asset are as before, the state goes on."""
        self._rules = list(bounds)

    async def _take(self, entry: Entry) -> None:
        transitions: list[Transition] = []
        if self._rules is not None:
            transitions += self._panel.rebind(self._rules)
            self._rules = None
        self._show(entry)
        for batch in self._order.take(entry):
            transitions += self.judge(batch)
            for derived in self._sensors.step(batch, self._may_learn):
                while not self._intake.derived(derived):
                    await asyncio.sleep(0.05)  # the ring is full: the writer is behind, and we wait for it
        progress = self.progress
        progress.time = max(progress.time, entry.time)
        progress.samples += entry.samples
        progress.transitions += len(transitions)
        self._judged = entry.id
        due = self._dispatch.due(progress.time - self._lateness)
        if transitions or due or progress.time - self._saved >= SAVE_EVERY:
            await self._keep(transitions)
        progress.cursor = entry.id

    async def _keep(self, transitions: Iterable[Transition]) -> None:
        """Save; while the ticket core is away wait for it: the log holds what is read meanwhile."""
        while True:
            try:
                await _to_the_end(asyncio.to_thread(self._save, transitions))
            except StorageError as error:
                if not self.progress.trouble:
                    log.error("judging waits: %s", error)
                self.progress.trouble = str(error)
                await asyncio.sleep(_RETRY)
            else:
                break
        if self.progress.trouble:
            log.info("the ticket core answers again, judging goes on")
            self.progress.trouble = ""

    def judge(self, batch: Batch) -> list[Transition]:
        """What the rules say to ``batch``."""
        if batch.signals is PULSE:
            return self._panel.tick(batch.time, started(batch))
        view = self._views.get(batch.signals)
        if view is None:
            view = self._views[batch.signals] = self._panel.view(batch.signals.names)
        return self._panel.judge(view, batch.time, batch.values, batch.quality)

    def _show(self, entry: Entry) -> None:
        """The newest batch of each signal set, for the live pages."""
        latest = self.progress.latest
        for batch in entry.batches:
            known = latest.get(batch.signals)
            if batch.signals is not PULSE and (known is None or batch.time >= known.time):
                latest[batch.signals] = batch

    def _may_learn(self, asset: str) -> bool:
        return not self._dispatch.alarmed(asset)

    def _save(self, transitions: Iterable[Transition]) -> None:
        """Transitions, state and cursor in one transaction; then the spool may forget what the models have seen."""
        progress, judged, models_at = self.progress, self._judged, self._models_at
        held_since = self._order.oldest(judged)
        with self._dispatch.transaction(progress.time - self._lateness, transitions) as tx:
            tx.save_state("judge", judged, self._panel.dump())
            if progress.time - self._saved_models >= SAVE_MODELS_EVERY:
                tx.save_state("models", judged, self._sensors.dump())
                tx.save_state("order", held_since, str(self._order.after).encode())
                models_at = held_since
            failpoints.hit("judge.before_commit")
        failpoints.hit("judge.after_commit")
        if models_at != self._models_at:
            self._saved_models = progress.time
        self._saved, self._models_at = progress.time, models_at
        self._spool.advance("judge", self._models_at)

    def _resume(self) -> None:
        """Take up the last saving. The models are saved more rarely: they catch up to it without being judged."""
        judge, models = self._dispatch.load("judge"), self._dispatch.load("models")
        if judge is None:
            return
        cursor, state = judge
        cursor = min(cursor, self._spool.newest_id())  # somebody may have deleted the spool
        withdrawn = self._panel.load(state)
        self._dispatch.resume(self._panel.active())
        self.progress.cursor = self._judged = cursor
        if withdrawn:  # their rules were changed or retired meanwhile
            self._save(withdrawn)
        at = seen = 0
        if models is not None:
            seen, blob = models
            self._sensors.load(blob)
            at, after = self._dispatch.load("order") or (seen, b"0")
            self._order = Reorder(self._lateness, int(after))
            self._models_at = at
        while at < cursor and (entries := self._spool.read(at, _READ)):
            for entry in entries:
                if entry.id > cursor:
                    return
                self._catch_up(entry, seen)
                at = entry.id

    def _catch_up(self, entry: Entry, seen: int) -> None:
        """An entry that the rules have judged before; the models have seen it if it is not newer than ``seen``."""
        if entry.id <= seen:
            self._order.hold_again(entry)
            return
        for batch in self._order.take(entry):
            self._sensors.step(batch, self._may_learn)


async def _to_the_end(work: Awaitable[None]) -> None:
    """Wait for ``work`` even when we are cancelled meanwhile: a transaction is not left alone."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
