"""The ledger: what became of every reading that was due, by device and hour.

A reading is a slot of a poll, or a message that came. It was *good* (at least one of its values can be used), *bad*
with a reason, or *skipped* with a reason: ``expected`` is the sum of the three. Of the samples in the readings,
*flawed* says how many were not good, and why.

Readings are counted as they stand in the log, behind a cursor of the ledger's own that is saved together with the
counts: a kill loses and doubles none of them. What leaves nothing in the log (skipped slots, repetitions, oddities of
a line) is taken from who counts it, at each saving; a kill may lose the last ``SAVE_EVERY`` seconds of those.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import numpy as np

from devices.batch import BAD, Batch, Reason, SignalSet, describe
from devices.source import Source
from gateway import sqlite
from gateway.ledger_file import HOUR, Counts, Item, LedgerFile
from gateway.own import GATEWAY
from gateway.spool import Entry, Spool

log = logging.getLogger(__name__)

SAVE_EVERY: Final = 15.0  # s
FOLLOWER: Final = "ledger"
_READ: Final = 64  # entries a step when catching up


def is_reading(signals: SignalSet) -> bool:
    """Is this what a device gave, and not a score or our own state?"""
    return signals.names[-1] == f"{signals.source}/online"


def reading(batch: Batch) -> list[tuple[Item, int]]:
    """The items of one device's batch; none for what is no reading of a device."""
    if not is_reading(batch.signals):
        return []
    device, quality = batch.signals.source, batch.quality[:-1]
    size = len(quality)
    found = np.bincount(quality)
    flaws = {code: int(found[code]) for code in np.flatnonzero(found).tolist() if code}
    items = [(Item(device, "flawed", describe(code)), n) for code, n in flaws.items()]
    if sum(n for code, n in flaws.items() if code & BAD) < size:
        verdict = Item(device, "good")
    else:
        worst = max(flaws, key=flaws.__getitem__)
        verdict = Item(device, "bad", Reason(worst & 0x3F).name.lower())
    return [(verdict, 1), (Item(device, "samples"), size), *items]


class Ledger:
    """Follows the log and counts; ``sources`` are asked for what they skipped, ``others`` for the hall's counters.

    ``others()`` gives running totals: ``{Item: n}``.
    """

    def __init__(
        self,
        path: Path,
        spool: Spool,
        clock: Callable[[], int],
        sources: Callable[[], Iterable[Source]],
        others: Callable[[], Mapping[Item, int]],
    ) -> None:
        self._file = LedgerFile(path)
        self._spool, self._clock = spool, clock
        self._sources, self._others = sources, others
        self._new: dict[int, Counts] = {}  # what is not saved yet, by hour
        self._totals: dict[Item, int] = {}  # as they stood when we last looked
        self._cursor = 0
        self._saving = asyncio.Lock()
        self._in_trouble = False
        self._unsaved: dict[int, Counts] = {}
        self._looked = time.monotonic()

    async def run(self) -> None:
        """Count until cancelled; what is in the log by then is counted and saved."""
        self._totals = self._totals_now()  # before anything is read
        self._cursor = min(await asyncio.to_thread(self._file.open), self._spool.newest_id())
        due = time.monotonic() + SAVE_EVERY
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, due - time.monotonic())):
                        self._count(await self._spool.after(self._cursor, _READ))
                if time.monotonic() >= due:
                    await self.save()
                    due = time.monotonic() + SAVE_EVERY
        finally:
            while entries := self._spool.read(self._cursor, _READ):
                self._count(entries)
            self.look()
            self._write(self._new, self._cursor)  # quick, and nothing may come between it and the end

    async def save(self) -> None:
        """Make durable what was counted until now."""
        async with self._saving:
            self.look()
            writing = asyncio.ensure_future(asyncio.to_thread(self._write, self._new, self._cursor))
            self._new = {}
            try:
                await asyncio.shield(writing)
            except asyncio.CancelledError:
                await writing  # two savings at once would be in no order
                raise

    def look(self) -> None:
        """Take what skipped and odd since the last look; to be called before a source is replaced."""
        now, totals = time.monotonic(), self._totals_now()
        here = self._new.setdefault(self._clock() // HOUR * HOUR, Counter())
        for item, total in totals.items():
            before = self._totals.get(item, 0)
            if fresh := total - before if total >= before else total:
                here[item] += fresh
        here[Item(GATEWAY, "gateway", "seconds")] += int(now) - int(self._looked)
        self._totals, self._looked = totals, now

    def forget(self, names: Iterable[str]) -> None:
        """These devices and lines begin to count anew."""
        gone = set(names)
        self._totals = {item: n for item, n in self._totals.items() if item.subject not in gone}

    def _count(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            whole: Counter[tuple[SignalSet, int]] = Counter()  # nearly all readings are good throughout
            for batch in entry.batches:
                codes = batch.quality.tobytes()
                if codes.count(0) == len(codes):
                    whole[batch.signals, batch.arrival // HOUR] += 1
                else:
                    self._add(batch.arrival // HOUR, reading(batch))
            for (signals, hour), n in whole.items():
                if is_reading(signals):
                    device, size = signals.source, len(signals.names) - 1
                    self._add(hour, [(Item(device, "good"), n), (Item(device, "samples"), n * size)])
            self._cursor = entry.id

    def _add(self, hour: int, items: Iterable[tuple[Item, int]]) -> None:
        counts = self._new.setdefault(hour * HOUR, Counter())
        for item, n in items:
            counts[item] += n

    def _totals_now(self) -> dict[Item, int]:
        totals = dict(self._others())
        for source in self._sources():
            status = source.status()
            for event, n in status.counts.items():
                if event != "held":  # says what is, not what happened
                    totals[Item(status.name, "line", event)] = n
            for device in status.devices:
                for reason, n in device.tally.skipped.items():
                    totals[Item(device.name, "skipped", reason)] = n
                if device.tally.refused:
                    totals[Item(device.name, "skipped", "no_room")] = device.tally.refused
        return totals

    def _write(self, hours: dict[int, Counts], cursor: int) -> None:
        for hour, counts in self._unsaved.items():
            hours.setdefault(hour, Counter()).update(counts)
        self._unsaved = {}
        try:
            self._file.add({hour: counts for hour, counts in hours.items() if counts}, cursor)
        except (OSError, sqlite.DatabaseError) as error:
            if not self._in_trouble:
                log.error("the ledger cannot be saved, its counts wait in memory: %s", error)
            self._in_trouble = True
            self._unsaved = hours
            return
        if self._in_trouble:
            log.info("the ledger is saved again")
        self._in_trouble = False
        self._spool.advance(FOLLOWER, cursor)
