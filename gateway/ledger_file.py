"""The ledger on disk: counts by hour, and what they state."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from isal import isal_zlib

from gateway import sqlite

log = logging.getLogger(__name__)

HOUR: Final = 3_600_000_000_000  # ns
KEPT: Final = 400 * 24 * HOUR
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


class LedgerFile:
    """The counts on disk: one row an hour, compressed; 500 devices take about 8 kB an hour."""

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
