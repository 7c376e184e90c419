"""Looking into the embedded history, from any process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from devices.batch import BAD
from gateway import sqlite
from gateway.history_file import BLOCK_BITS, DAY, MINUTE, Minutes, unpack_column, unpack_times
from gateway.store import Sample, Series, StoreUnavailableError, frame_of, joined

if TYPE_CHECKING:
    import pandas as pd

_FAR: Final = 2**62

_CHUNKS: Final = """
SELECT c.times, b.body, p.column % c.width FROM signal s
  JOIN place p ON p.signal_id = s.id
  JOIN chunk c ON c.set_id = p.set_id AND c.start < :end AND c."end" >= :start
  JOIN block b ON b.id = (c.id << :bits) + p.column / c.width
WHERE s.name = :signal
"""
_NEWEST_CHUNK: Final = """
SELECT c.times, b.body, p.column % c.width FROM signal s
  JOIN place p ON p.signal_id = s.id
  JOIN chunk c ON c.id = (SELECT id FROM chunk WHERE set_id = p.set_id ORDER BY start DESC LIMIT 1)
  JOIN block b ON b.id = (c.id << :bits) + p.column / c.width
WHERE s.name = :signal
"""
_FIRST_CHUNK: Final = """
SELECT min((SELECT min(start) FROM chunk WHERE set_id = p.set_id)) FROM signal s
  JOIN place p ON p.signal_id = s.id WHERE s.name = :signal
"""
_LAST_TIME: Final = """
SELECT max(k.last_time) FROM signal s JOIN place p ON p.signal_id = s.id
  JOIN signal_set k ON k.id = p.set_id WHERE s.name = :signal
"""
_DAYS: Final = """
SELECT d.body, 0 FROM signal s JOIN day d ON d.signal_id = s.id AND d.day BETWEEN :first AND :last
WHERE s.name = :signal
UNION ALL
SELECT m.body, p.column FROM signal s
  JOIN place p ON p.signal_id = s.id
  JOIN minute m ON m.set_id = p.set_id AND m.day BETWEEN :first AND :last
WHERE s.name = :signal
"""


class HistoryReader:
    """Reads a history file; ``tail(signal, start)`` gives what its writer still holds in memory."""

    def __init__(self, path: Path, tail: Callable[[str, int], Series] | None = None) -> None:
        self._path = path
        self._tail = tail or (lambda signal, _: Series.empty(signal))
        self._connection: sqlite.Connection | None = None
        self._lock = Lock()

    def series(self, signal: str, start: int, end: int, points: int | None = None) -> Series:
        """``signal`` from ``start`` to before ``end``: every sample, or ``points`` buckets at most.

        Where the samples are gone, or buckets of a minute and more are wanted, the minutes stand for them.
        """
        tail = self._tail(signal, start)  # first: what is written meanwhile is then found twice, not never
        if points is not None and (end - start) // points >= MINUTE:
            parts = self._minutes(signal, start, end)
            if len(tail):
                written = self._one(_LAST_TIME, signal=signal)
                newest = tail.part(tail.time > (written or -_FAR)).between(start, end)
                parts = joined(signal, [parts, newest])
            return parts.buckets(start, max(MINUTE, -(-(end - start) // points)))
        samples = joined(signal, [self._samples(signal, start, end), tail.between(start, end)])
        first = self._one(_FIRST_CHUNK, signal=signal)
        kept_from = first if first is not None else (int(tail.time[0]) if len(tail) else end)
        whole = -(-kept_from // MINUTE) * MINUTE
        before = self._minutes(signal, start, min(end, whole)) if start < kept_from else Series.empty(signal)
        if len(before) and before.time[0] + MINUTE <= kept_from:
            samples = joined(signal, [before, samples.between(whole, end)])
        return samples.at_most(points, start, end)

    def latest(self, signals: Sequence[str]) -> dict[str, Sample]:
        """The newest sample of each signal that has any."""
        found = {}
        for signal in signals:
            series = self._tail(signal, 0)
            if not len(series):
                series = self._decoded(signal, _NEWEST_CHUNK)
            if len(series):
                found[signal] = Sample(int(series.time[-1]), float(series.mean[-1]), int(series.quality[-1]))
        return found

    def frame(self, signals: Sequence[str], start: int, end: int) -> pd.DataFrame:
        """Every sample of ``signals``: a column each, a row for each time."""
        return frame_of([self.series(signal, start, end) for signal in signals])

    def learn_classes(self, class_of: Callable[[str], str]) -> None:
        """See ``Readable``: the file knows signals only."""

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _samples(self, signal: str, start: int, end: int) -> Series:
        return self._decoded(signal, _CHUNKS, start=start, end=end).between(start, end)

    def _decoded(self, signal: str, query: str, **values: int) -> Series:
        rows = self._rows(query, signal=signal, bits=BLOCK_BITS, **values)
        if not rows:
            return Series.empty(signal)
        time = np.concatenate([unpack_times(times) for times, _, _ in rows])
        columns = [unpack_column(body, column) for _, body, column in rows]
        quality = np.concatenate([each for _, each in columns])
        good = quality & BAD == 0
        return Series.of_samples(
            signal, time[good], np.concatenate([each for each, _ in columns])[good], quality[good]
        )

    def _minutes(self, signal: str, start: int, end: int) -> Series:
        rows = self._rows(_DAYS, signal=signal, first=start // DAY, last=end // DAY)
        parts = [Minutes.unpack(body).column(column) for body, column in rows]
        parts = [part for part in parts if len(part.minute)]
        if not parts:
            return Series.empty(signal)
        return Minutes.merged(parts).series(signal).between(start, end)

    def _one(self, query: str, **values: object) -> int | None:
        rows = self._rows(query, **values)
        return rows[0][0] if rows else None

    def _rows(self, query: str, **values: object) -> list[Any]:
        try:
            with self._lock:
                if self._connection is None:
                    self._connection = sqlite.reading(self._path)
                return self._connection.execute(query, values).fetchall()
        except sqlite.DatabaseError as error:
            self.close()  # its writer may have begun a new file
            if "unable to open" in str(error) or "no such table" in str(error):
                return []  # nothing was ever written
            raise StoreUnavailableError(f"history: {error}") from error
