"""From the spool to the store: in the store's pace, through its outages, each sample at least once.

Writing the same samples again changes nothing in a store, so at least once is exactly once. Nothing is held in
memory while the store is away: what was not taken is read again from the spool.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from devices.batch import BAD
from gateway import failpoints, sqlite
from gateway.dead_letters import DeadLetters, Refused
from gateway.spool import Entry, Spool
from gateway.store import (
    Store,
    StoreDeniedError,
    StoreError,
    StoreRefusedError,
    StoreTooLargeError,
    StoreUnavailableError,
)

log = logging.getLogger(__name__)

_ENTRIES: Final = 128  # read at once
_BEHIND: Final = 5_000_000_000  # ns; what waits for longer is a backlog, and the newest go before it
_LINES: Final = 16_384  # samples, or eight times the batches, in one write
_AT_ONCE: Final = 2  # writes: while the store works on one, the next is made
_LONGEST_WAIT: Final = 30.0  # s between two tries
_LONGEST_ASKED: Final = 300.0  # s that a store may ask us to wait
_DENIED_WAIT: Final = 30.0
_PROBE_EVERY: Final = 600.0


@dataclass(slots=True)
class _Live:
    """The newest samples go first while a backlog waits: behind ``start`` they are sent up to ``at``."""

    start: int
    at: int


class Forwarder:
    """Follows the spool by the cursor named like its store. ``run`` never ends by itself."""

    def __init__(
        self,
        spool: Spool,
        store: Store,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._spool = spool
        self._store = store
        self._sleep = sleep
        self._chance = chance
        self._dead = DeadLetters(spool.folder / "dead-letters.db")
        self._position = spool.cursor(store.name)
        self._live: _Live | None = None
        self._lines = _LINES
        self._failures = 0
        self._problem = ""
        self._doubt = ""
        self._oldest = 0
        self._probed = time.monotonic()
        self._sent = self._refused = 0
        self._complained: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Forward until cancelled."""
        while True:
            try:
                await self._step()
            except (StoreError, OSError, sqlite.DatabaseError) as error:
                self._live = None  # sent again later; by then the newest is something else
                await self._wait(error)

    def status(self) -> dict[str, Any]:
        """How it stands: ``lag`` is s from the oldest sample not sent to the newest, counts are samples."""
        caught_up = self._position >= self._spool.newest_id()
        lag = 0.0 if caught_up or not self._oldest else (self._spool.last_commit() - self._oldest) / 1e9
        return {
            "name": self._store.name,
            "connected": not self._problem,
            "detail": self._problem or self._doubt,
            "failures": self._failures,
            "lag": max(0.0, lag),
            "sent": self._sent,
            "refused": self._refused,
            "draining": self._live is not None,
        }

    # -- what goes next

    async def _step(self) -> None:
        if self._live is not None:
            await self._step_two_lanes(self._live)
            return
        entries = await self._spool.after(self._position, _ENTRIES)
        if self._spool.last_commit() - entries[-1].time > _BEHIND and not self._store.in_order:
            newest = self._spool.newest_id()
            self._live = _Live(newest, newest)
        await self._forward(entries)

    async def _step_two_lanes(self, live: _Live) -> None:
        newest = await asyncio.to_thread(self._spool.read, live.at, _ENTRIES)
        for group in self._groups(newest):
            await self._deliver(group)
            live.at = group[-1].id
        backlog = await asyncio.to_thread(self._spool.read, self._position, _ENTRIES)
        backlog = [entry for entry in backlog if entry.id <= live.start]
        if backlog:
            await self._forward(backlog)
        else:
            self._live = None
            self._advance(live.at, live.at)

    async def _forward(self, entries: Sequence[Entry]) -> None:
        self._oldest = entries[0].time
        groups = self._groups(entries)
        at_once = 1 if self._store.in_order else _AT_ONCE
        for at in range(0, len(groups), at_once):
            some = groups[at : at + at_once]
            outcomes = await asyncio.gather(*map(self._deliver, some), return_exceptions=True)
            durable = 0
            for outcome in outcomes:
                if isinstance(outcome, BaseException):
                    raise outcome
                durable = outcome
            self._advance(some[-1][-1].id, durable)
            self._oldest = some[-1][-1].time

    def _advance(self, position: int, durable: int) -> None:
        self._position = max(self._position, position)
        self._spool.advance(self._store.name, durable)

    def _groups(self, entries: Iterable[Entry]) -> list[list[Entry]]:
        """``entries`` in portions of what one write may hold."""
        groups: list[list[Entry]] = []
        room = 0
        for entry in entries:
            weight = max(entry.samples, 8 * len(entry.batches))
            if weight > room:
                groups.append([])
                room = self._lines
            groups[-1].append(entry)
            room -= weight
        return groups

    # -- one write, and what the store says to it

    async def _deliver(self, entries: list[Entry]) -> int:
        """Write ``entries``; returns up to where they are durable. StoreError: none of it counts."""
        failpoints.hit("forwarder.before_write")
        try:
            durable = await asyncio.to_thread(self._store.write, entries)
        except StoreTooLargeError as error:
            self._lines = max(self._lines // 2, 1000)
            if (halves := _halves(entries)) is not None:
                await self._deliver(halves[0])
                return await self._deliver(halves[1])
            await self._set_aside([Refused(entries[0], entries[0].batches[0], str(error))])
            durable = entries[-1].id
        except StoreRefusedError as error:
            await self._set_aside(await self._sift(_by_signal_set(entries), str(error)))
            durable = entries[-1].id
        failpoints.hit("forwarder.after_write")
        self._sent += sum(entry.samples for entry in entries)
        if self._failures:
            log.info("%s is back after %d failed attempts", self._store.name, self._failures)
            self._failures, self._problem = 0, ""
        await self._probe(entries[-1])
        return durable

    async def _sift(self, entries: list[Entry], reason: str) -> list[Refused]:
        """Find by halving which of ``entries`` (one batch each) are refused, and have the rest written.

        What is refused at both ends of a row of one signal set is taken to be refused throughout: a store that
        disputes a field's type does so for all of them, and asking for each would take for ever.
        """
        if len(entries) == 1 or (_one_set(entries) and await self._both_ends_refused(entries)):
            return [Refused(entry, entry.batches[0], reason) for entry in entries]
        refused: list[Refused] = []
        middle = len(entries) // 2
        for half in (entries[:middle], entries[middle:]):
            try:
                await asyncio.to_thread(self._store.write, half)
            except StoreRefusedError as error:
                refused += await self._sift(half, str(error))
        return refused

    async def _both_ends_refused(self, entries: list[Entry]) -> bool:
        for entry in (entries[0], entries[-1]):
            try:
                await asyncio.to_thread(self._store.write, [entry])
            except StoreRefusedError:
                continue
            return False
        return True

    async def _set_aside(self, refused: list[Refused]) -> None:
        await asyncio.to_thread(self._dead.keep, refused)
        self._complain(refused)

    def _complain(self, refused: Sequence[Refused]) -> None:
        for each in refused:
            self._refused += len(each.batch.values)
            kind = (each.batch.signals.source, each.reason[:60])
            if kind not in self._complained and len(self._complained) < 1000:
                self._complained.add(kind)
                log.error(
                    "%s refuses samples of %s, kept as dead letters: %s",
                    self._store.name,
                    each.batch.signals.source,
                    each.reason[:300],
                )

    # -- trouble

    async def _wait(self, error: Exception) -> None:
        """Report the trouble once, and wait as long as it deserves."""
        if not self._failures:
            log.warning("%s stopped taking samples: %s", self._store.name, error)
        self._failures += 1
        self._problem = str(error)
        if isinstance(error, StoreDeniedError):
            seconds = _DENIED_WAIT * (0.5 + self._chance() / 2)
        elif isinstance(error, StoreUnavailableError) and error.retry_after is not None:
            seconds = min(max(error.retry_after, 1.0), _LONGEST_ASKED) + self._chance()
        else:
            seconds = max(0.1, self._chance() * min(_LONGEST_WAIT, 2.0 ** min(self._failures, 10)))
        await self._sleep(seconds)

    async def _probe(self, entry: Entry) -> None:
        """Now and then read back what was just written: a store may acknowledge and keep nothing."""
        now = time.monotonic()
        if now - self._probed < _PROBE_EVERY:
            return
        self._probed = now
        for batch in reversed(entry.batches):
            for name, quality in zip(batch.signals.names, batch.quality.tolist(), strict=True):
                if not quality & BAD:
                    found = await asyncio.to_thread(self._store.series, name, batch.time, batch.time + 1)
                    self._judge_probe(bool(len(found)))
                    return

    def _judge_probe(self, found: bool) -> None:
        doubt = "" if found else "acknowledges samples and does not keep them"
        if doubt and not self._doubt:
            log.error("%s %s", self._store.name, doubt)
        self._doubt = doubt


def _halves(entries: list[Entry]) -> tuple[list[Entry], list[Entry]] | None:
    """``entries`` in two; None when it is a single batch."""
    if len(entries) == 1:
        entries = _by_signal_set(entries)
    middle = len(entries) // 2
    return (entries[:middle], entries[middle:]) if middle else None


def _by_signal_set(entries: Sequence[Entry]) -> list[Entry]:
    """The same as entries of one batch each, those of a signal set together."""
    single = [
        replace(entry, batches=(batch,), samples=len(batch.values))
        for entry in entries
        for batch in entry.batches
    ]
    return sorted(single, key=lambda entry: id(entry.batches[0].signals))


def _one_set(entries: Sequence[Entry]) -> bool:
    return entries[0].batches[0].signals is entries[-1].batches[0].signals
