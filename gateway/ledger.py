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
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from isal import isal_zlib

from devices.batch import BAD, Batch, Reason, describe
from devices.source import Source
from gateway import sqlite
from gateway.own import GATEWAY
from gateway.spool import Entry, Spool

log = logging.getLogger(__name__)

HOUR: Final = 3_600_000_000_000  # ns
SAVE_EVERY: Final = 15.0  # s
KEPT: Final = 400 * 24 * HOUR
FOLLOWER: Final = "ledger"
_READ: Final = 64  # entries a step when catching up
_SCHEMA: Final = """
    CREATE TABLE IF NOT EXISTS hour (start INTEGER PRIMARY KEY, body BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS cursor (at INTEGER NOT NULL);
"""


class Item(NamedTuple):
    """What a number of the ledger counts: of a device, a line or the gateway."""

    subject: str
    column: str  # of a device: good, bad, skipped, samples, flawed; else "line" or "gateway"
    reason: str = ""


Counts = Counter[Item]


def reading(batch: Batch) -> list[tuple[Item, int]]:
    """The items of one device's batch; none for what is no reading of a device (a score, our own state)."""
    device = batch.signals.source
    if batch.signals.names[-1] != f"{device}/online":
        return []
    quality = batch.quality[:-1]
    codes = quality.tobytes()
    size = len(codes)
    if codes.count(0) == size:
        return [(Item(device, "good"), 1), (Item(device, "samples"), size)]
    found = np.bincount(quality)
    flaws = {code: int(found[code]) for code in np.flatnonzero(found).tolist() if code}
    items = [(Item(device, "flawed", describe(code)), n) for code, n in flaws.items()]
    if sum(n for code, n in flaws.items() if code & BAD) < size:
        verdict = Item(device, "good")
    else:
        worst = max(flaws, key=flaws.__getitem__)
        verdict = Item(device, "bad", Reason(worst & 0x3F).name.lower())
    return [(verdict, 1), (Item(device, "samples"), size), *items]


class LedgerFile:
    """The counts on disk: one row an hour, compressed; 500 devices take about 5 kB an hour."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self) -> int:
        """Make the file if there is none; the cursor up to which it has counted."""
        try:
            return self._cursor()
        except sqlite.DatabaseError as error:
            if not sqlite.is_damage(error):
                raise
            aside = self._path.with_suffix(".damaged")
            log.error("the ledger is damaged (%s): kept as %s, a new one begins", error, aside.name)
            self._path.replace(aside)
            for rest in ("-wal", "-shm"):
                self._path.with_name(self._path.name + rest).unlink(missing_ok=True)
            return self._cursor()

    def _cursor(self) -> int:
        connection = sqlite.writing(self._path)
        try:
            connection.executescript(_SCHEMA)
            row = connection.execute("SELECT max(at) FROM cursor").fetchone()
            return int(row[0] or 0)
        finally:
            connection.close()

    def add(self, hours: Mapping[int, Counts], cursor: int) -> None:
        """Add the counts of some hours, in one transaction with the cursor."""
        connection = sqlite.writing(self._path)
        try:
            with sqlite.transaction(connection):
                for start, counts in hours.items():
                    row = connection.execute("SELECT body FROM hour WHERE start = ?", (start,)).fetchone()
                    body = _packed((_unpacked(row[0]) if row else Counter()) + counts)
                    connection.execute("INSERT OR REPLACE INTO hour VALUES (?, ?)", (start, body))
                connection.execute("DELETE FROM hour WHERE start < ?", (max(hours, default=0) - KEPT,))
                connection.execute("DELETE FROM cursor")
                connection.execute("INSERT INTO cursor VALUES (?)", (cursor,))
        finally:
            connection.close()

    def hours(self, since: int) -> dict[int, Counts]:
        """The counts of the hours that end behind ``since`` (UTC ns), oldest first."""
        if not self._path.is_file():
            return {}
        connection = sqlite.reading(self._path)
        try:
            rows = connection.execute(
                "SELECT start, body FROM hour WHERE start > ? ORDER BY start", (since - HOUR,)
            )
            return {start: _unpacked(body) for start, body in rows}
        finally:
            connection.close()


def _packed(counts: Counts) -> bytes:
    return isal_zlib.compress(msgspec.json.encode([(*item, n) for item, n in sorted(counts.items())]), 1)


def _unpacked(body: bytes) -> Counts:
    rows = msgspec.json.decode(isal_zlib.decompress(body), type=list[tuple[str, str, str, int]])
    return Counter({Item(subject, column, reason): n for subject, column, reason, n in rows})


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
        self._cursor = min(await asyncio.to_thread(self._file.open), self._spool.newest_id())
        self._totals = self._totals_now()
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
            for batch in entry.batches:
                counts = self._new.setdefault(batch.arrival // HOUR * HOUR, Counter())
                for item, n in reading(batch):
                    counts[item] += n
            self._cursor = entry.id

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


def statement(counts: Counts) -> dict[str, Any]:
    """Counts as plain data: devices (``expected = good + bad + skipped``), what was odd on lines, the gateway."""
    devices: dict[str, dict[str, Any]] = {}
    lines: dict[str, dict[str, int]] = {}
    gateway: dict[str, int] = {}
    for (subject, column, reason), n in sorted(counts.items()):
        if column == "line":
            lines.setdefault(subject, {})[reason] = n
        elif column == "gateway":
            gateway[reason] = n
        else:
            device = devices.setdefault(
                subject, {"expected": 0, "good": 0, "bad": {}, "skipped": {}, "samples": 0, "flawed": {}}
            )
            if reason:
                device[column][reason] = n
            else:
                device[column] = n
            if column in {"good", "bad", "skipped"}:
                device["expected"] += n
    return {"devices": devices, "lines": lines, "gateway": gateway}


def statements(path: Path, since: int, device: str | None = None) -> list[dict[str, Any]]:
    """A statement for each hour that ends behind ``since`` (UTC ns), oldest first, with its ``start``."""
    hours = LedgerFile(path).hours(since)
    if device is not None:
        hours = {start: of_device(counts, device) for start, counts in hours.items()}
    return [{"start": start, **statement(counts)} for start, counts in hours.items() if counts]


def of_device(counts: Counts, device: str) -> Counts:
    """The part that is about ``device``."""
    return Counter(
        {item: n for item, n in counts.items() if item.subject == device and item.column != "line"}
    )
