"""The embedded history: where telemetry lives when no server is configured.

Samples of a signal set gather in memory for ten minutes (less when all that is gathered exceeds 16 MiB) and are
then written as one chunk, together with their minutes. Nothing is lost by that: the history's place in the spool
moves only past entries whose samples are all written, and what comes again after a restart is recognised.

Size: 2 to 7 bytes a sample (48 h of 1 000 samples/s: 0.4 to 1.2 GB) and about 10 bytes a minute of a signal
(a year: 5 MB). A site where that is too much has outgrown it: configure InfluxDB.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ByteSize, ConfigDict, Field

from devices.batch import BAD, Batch, SignalSet, signal_set
from gateway import failpoints, history_file, sqlite
from gateway.history_file import BLOCK_BITS, DAY, Minutes
from gateway.history_reader import HistoryReader
from gateway.spool import Entry
from gateway.store import Sample, Series, StoreUnavailableError

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

_CHUNK_TIME: Final = 600_000_000_000  # ns of the log's time
_CHUNK_ROWS: Final = 8192
_PURGE_EVERY: Final = 600_000_000_000  # ns of the log's time
_PURGE_AT_ONCE: Final = 500  # chunks


class HistorySettings(BaseModel):
    """``[store]`` of the site file, ``kind = "local"``. Times are of data, not of the clock: see ``History.purge``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    raw: timedelta = Field(default=timedelta(hours=48), description="every sample is kept so long")
    minutes: timedelta = Field(
        default=timedelta(days=366), description="minute by minute min, mean and max so long"
    )
    open_bytes: ByteSize = Field(
        default=ByteSize(16 << 20), description="samples gathered in memory before they are written"
    )


class History:
    """A Store in one SQLite file. One thread at a time writes; any may read."""

    name = "history"
    in_order = True

    def __init__(self, path: Path, settings: HistorySettings | None = None) -> None:
        self._settings = settings or HistorySettings()
        self._open: dict[SignalSet, _OpenChunk] = {}  # in the order of their first entries
        self._open_bytes = 0
        self._lock = Lock()
        self._taken = 0
        self._purged = self._day = 0
        self._compacting = True
        self._path = path
        self._reader = HistoryReader(path, tail=self.tail)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._connection, self._sets = self._opened()
        except sqlite.DatabaseError as error:
            if not sqlite.is_malformed(error):
                raise
            self._begin_anew(error)

    def _opened(self) -> tuple[sqlite.Connection, dict[SignalSet, _Kept]]:
        connection = sqlite.writing(self._path)
        history_file.create(connection)
        rows = connection.execute("SELECT id, source, names, through, last_time FROM signal_set")
        return connection, {
            signal_set(source, tuple(json.loads(names))): _Kept(number, through, last_time)
            for number, source, names, through, last_time in rows
        }

    def _begin_anew(self, error: Exception) -> None:
        """Set a damaged file aside: what is measured from now on matters more than what was."""
        aside = self._path.with_name(self._path.name + ".corrupt")
        log.error("the history is damaged (%s): set aside as %s, a new one begins", error, aside.name)
        self._reader.close()
        for suffix in ("-wal", "-shm", ""):
            with suppress(FileNotFoundError):
                self._path.with_name(self._path.name + suffix).replace(aside.with_name(aside.name + suffix))
        self._connection, self._sets = self._opened()

    @staticmethod
    def reader(path: Path, tail: Callable[[str, int], Series] | None = None) -> HistoryReader:
        """Look into the history that another process writes; ``tail`` asks that process for the newest samples."""
        return HistoryReader(path, tail)

    def write(self, entries: Sequence[Entry]) -> int:
        """Take ``entries``, in order. Returns the id up to which every sample is in the file."""
        try:
            for entry in entries:
                if entry.id > self._taken:
                    with self._lock:
                        for batch in entry.batches:
                            self._take(entry, batch)
                    self._taken = entry.id
                self._close_due(entry.time)
            if entries:
                self._maintain(entries[-1].time)
        except (OSError, sqlite.DatabaseError) as error:
            if sqlite.is_malformed(error):
                self._connection.close()
                self._begin_anew(error)
            raise StoreUnavailableError(f"history: {error}") from error
        oldest = next(iter(self._open.values()), None)
        return oldest.first_id - 1 if oldest else entries[-1].id if entries else 0

    def _take(self, entry: Entry, batch: Batch) -> None:
        kept = self._sets.get(batch.signals)
        if kept is not None and entry.id <= kept.through and batch.time <= kept.last_time:
            return  # written before a restart
        chunk = self._open.get(batch.signals)
        if chunk is None:
            chunk = self._open[batch.signals] = _OpenChunk(batch.signals, entry)
        self._open_bytes += chunk.append(batch, entry.id)

    def _close_due(self, now: int) -> None:
        """Write the chunks that are old or long, and the oldest while too much is held."""
        held, most = self._open_bytes, self._settings.open_bytes
        enough = most if held <= most else most * 15 // 16
        due = []
        for chunk in self._open.values():
            if now - chunk.opened >= _CHUNK_TIME or chunk.rows >= _CHUNK_ROWS or held > enough:
                due.append(chunk)
                held -= chunk.bytes
        if due:
            self._write(due)

    def _write(self, chunks: Sequence[_OpenChunk]) -> None:
        with sqlite.transaction(self._connection):
            kept = {chunk.signals: self._write_chunk(chunk) for chunk in chunks}
            failpoints.hit("history.before_commit")
        with self._lock:
            self._sets.update(kept)
            for chunk in chunks:
                del self._open[chunk.signals]
                self._open_bytes -= chunk.bytes
        failpoints.hit("history.after_commit")

    def _write_chunk(self, chunk: _OpenChunk) -> _Kept:
        number = self._set_number(chunk.signals)
        time, values, quality = chunk.sorted()
        width = history_file.block_width(len(time))
        every = self._connection.execute
        cursor = every(
            'INSERT INTO chunk (set_id, start, "end", width, times) VALUES (?,?,?,?,?)',
            (number, int(time[0]), int(time[-1]), width, history_file.pack_times(time)),
        )
        first = cursor.lastrowid << BLOCK_BITS  # type: ignore[operator]  # just inserted
        self._connection.executemany(
            "INSERT INTO block VALUES (?,?)",
            (
                (first + i, history_file.pack_block(values[:, at : at + width], quality[:, at : at + width]))
                for i, at in enumerate(range(0, values.shape[1], width))
            ),
        )
        for day, minutes in Minutes.of(time, values, quality).days():
            every("INSERT INTO minute (set_id, day, body) VALUES (?,?,?)", (number, day, minutes.pack()))
        before = self._sets.get(chunk.signals)
        last_time = max(int(time[-1]), before.last_time if before else int(time[-1]))
        every(
            "UPDATE signal_set SET through = ?, last_time = ? WHERE id = ?",
            (chunk.last_id, last_time, number),
        )
        return _Kept(number, chunk.last_id, last_time)

    def _set_number(self, signals: SignalSet) -> int:
        kept = self._sets.get(signals)
        if kept is not None:
            return kept.number
        every = self._connection.execute
        cursor = every(
            "INSERT INTO signal_set (source, names, through, last_time) VALUES (?,?,0,0)",
            (signals.source, json.dumps(signals.names, ensure_ascii=False)),
        )
        number = int(cursor.lastrowid or 0)
        for column, name in enumerate(signals.names):
            every("INSERT OR IGNORE INTO signal (name) VALUES (?)", (name,))
            every("INSERT INTO place SELECT id, ?, ? FROM signal WHERE name = ?", (number, column, name))
        return number

    # -- keeping it small

    def _maintain(self, now: int) -> None:
        """One step of tidying: a day's minutes put together, or what is too old deleted."""
        day = now // DAY
        self._compacting |= day != self._day
        self._day = day
        if self._compacting:
            self._compacting = self._compact_one(day)
        elif now - self._purged >= _PURGE_EVERY:
            self._purged = now
            self.purge()

    def _compact_one(self, today: int) -> bool:
        """Put one signal set's minutes of a day that is over where they are read signal by signal."""
        every = self._connection.execute
        found = every("SELECT set_id, day FROM minute WHERE day <> ? LIMIT 1", (today,)).fetchone()
        if found is None:
            return False
        set_id, day = found
        rows = every("SELECT id, body FROM minute WHERE set_id = ? AND day = ?", (set_id, day)).fetchall()
        minutes = Minutes.merged([Minutes.unpack(body) for _, body in rows])
        with sqlite.transaction(self._connection):
            places = every("SELECT signal_id, column FROM place WHERE set_id = ?", (set_id,)).fetchall()
            for signal_id, column in places:
                self._add_to_day(signal_id, day, minutes.column(column))
            failpoints.hit("history.compact")
            self._connection.executemany("DELETE FROM minute WHERE id = ?", [(each[0],) for each in rows])
        return True

    def _add_to_day(self, signal_id: int, day: int, minutes: Minutes) -> None:
        if not len(minutes.minute):
            return
        every = self._connection.execute
        there = every("SELECT body FROM day WHERE signal_id = ? AND day = ?", (signal_id, day)).fetchone()
        if there is not None:
            minutes = Minutes.merged([Minutes.unpack(there[0]), minutes])
        every("INSERT OR REPLACE INTO day VALUES (?,?,?)", (signal_id, day, minutes.pack()))

    def purge(self) -> None:
        """Delete what is too old, counted in hours (days) that have data: a clock that jumps deletes nothing."""
        every = self._connection.execute
        hours = max(1, self._settings.raw // timedelta(hours=1))
        oldest = every(
            'SELECT DISTINCT "end" / 3600000000000 AS hour FROM chunk ORDER BY hour DESC LIMIT 1 OFFSET ?',
            (hours,),
        ).fetchone()
        while oldest is not None:
            chunks = every(
                'SELECT id FROM chunk WHERE "end" / 3600000000000 <= ? LIMIT ?', (oldest[0], _PURGE_AT_ONCE)
            ).fetchall()
            if not chunks:
                break
            with sqlite.transaction(self._connection):
                for (number,) in chunks:
                    first = number << BLOCK_BITS
                    every(
                        "DELETE FROM block WHERE id BETWEEN ? AND ?", (first, first + (1 << BLOCK_BITS) - 1)
                    )
                    every("DELETE FROM chunk WHERE id = ?", (number,))
        days = max(1, self._settings.minutes // timedelta(days=1))
        query = "SELECT DISTINCT day FROM day ORDER BY day DESC LIMIT 1 OFFSET ?"
        if (last := every(query, (days,)).fetchone()) is not None:
            every("DELETE FROM day WHERE day <= ?", last)

    # -- reading

    def learn_classes(self, class_of: Callable[[str], str]) -> None:
        """See ``Store``: here is one series for each signal, whatever its asset is."""

    def tail(self, signal: str, start: int) -> Series:
        """Samples since ``start`` that are not in the file yet."""
        times, values, quality = [], [], []
        with self._lock:
            for chunk in self._open.values():
                if signal not in chunk.signals.names:
                    continue
                t, v, q = chunk.column(chunk.signals.names.index(signal))
                good = (t >= start) & (q & BAD == 0)
                times.append(t[good])
                values.append(v[good])
                quality.append(q[good])
        if not times:
            return Series.empty(signal)
        return Series.of_samples(
            signal, np.concatenate(times), np.concatenate(values), np.concatenate(quality)
        )

    def series(self, signal: str, start: int, end: int, points: int | None = None) -> Series:
        """See ``Store``."""
        return self._reader.series(signal, start, end, points)

    def latest(self, signals: Sequence[str]) -> dict[str, Sample]:
        """See ``Store``."""
        return self._reader.latest(signals)

    def frame(self, signals: Sequence[str], start: int, end: int) -> pd.DataFrame:
        """See ``Store``."""
        return self._reader.frame(signals, start, end)

    def flush(self) -> None:
        """Write what is held, as short chunks."""
        if self._open:
            self._write(list(self._open.values()))

    def close(self) -> None:
        """Write what is held and close; what the disk refuses comes again from the spool."""
        try:
            self.flush()
        except (OSError, sqlite.DatabaseError) as error:
            log.warning("the history could not be closed in order: %s", error)
        self._reader.close()
        self._connection.close()


Columns = tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.uint8]]


class _Kept:
    """What the file has of a signal set: everything up to entry ``through``."""

    __slots__ = ("last_time", "number", "through")

    def __init__(self, number: int, through: int, last_time: int) -> None:
        self.number = number
        self.through = through
        self.last_time = last_time


class _OpenChunk:
    """Rows of one signal set that are not written yet; copies, so that no batch is kept alive."""

    def __init__(self, signals: SignalSet, entry: Entry) -> None:
        self.signals = signals
        self.first_id = self.last_id = entry.id
        self.opened = entry.time
        self.rows = 0
        self.bytes = 0
        self._time = np.empty(0, np.int64)
        self._values = np.empty((0, len(signals.names)), np.float64)
        self._quality = np.empty((0, len(signals.names)), np.uint8)

    def append(self, batch: Batch, id_: int) -> int:
        """Take a row; how many bytes more that needs."""
        at = self.rows
        grown = self._grow() if at == len(self._time) else 0
        self._time[at] = batch.time
        self._values[at] = batch.values
        self._quality[at] = batch.quality
        self.rows = at + 1
        self.last_id = id_
        return grown

    def _grow(self) -> int:
        size = (max(8, 2 * self.rows), len(self.signals.names))
        time, values, quality = np.empty(size[0], np.int64), np.empty(size), np.empty(size, np.uint8)
        time[: self.rows], values[: self.rows], quality[: self.rows] = self._time, self._values, self._quality
        self._time, self._values, self._quality = time, values, quality
        before, self.bytes = self.bytes, time.nbytes + values.nbytes + quality.nbytes
        return self.bytes - before

    def column(self, column: int) -> Columns:
        """Times, values and quality of one signal; copies."""
        return (
            self._time[: self.rows].copy(),
            self._values[: self.rows, column].copy(),
            self._quality[: self.rows, column].copy(),
        )

    def sorted(self) -> Columns:
        """All rows in the order of time."""
        time, values, quality = self._time[: self.rows], self._values[: self.rows], self._quality[: self.rows]
        if (np.diff(time) < 0).any():
            order = np.argsort(time, kind="stable")
            return time[order], values[order], quality[order]
        return time, values, quality
