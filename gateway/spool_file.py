"""One file of the spool: entries in the order of their commits, and all it takes to read them.

Only the run that made a file writes to it; later runs read it. Each entry carries a CRC over itself, so one
torn or flipped body costs that entry and nothing else.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from isal import isal_zlib

from devices.batch import SignalSet, signal_set
from gateway import failpoints, sqlite

ID_BITS = 32  # an entry's id is its file's number × 2**32 + its place in the file, counted from 1

_SCHEMA = """
CREATE TABLE begin (first_seq INTEGER, previous_id INTEGER);
CREATE TABLE entry (id INTEGER PRIMARY KEY, n INTEGER, t_min INTEGER, t_max INTEGER, seq INTEGER,
                    time INTEGER, codec INTEGER, crc32 INTEGER, body BLOB);
CREATE TABLE signal_set (number INTEGER PRIMARY KEY, source TEXT, names TEXT, crc32 INTEGER);
CREATE TABLE last_time (number INTEGER PRIMARY KEY, time INTEGER);
CREATE TABLE cursor (name TEXT PRIMARY KEY, id INTEGER);
CREATE TABLE gap (first_id INTEGER PRIMARY KEY, last_id INTEGER, n INTEGER, start INTEGER, "end" INTEGER,
                  reason TEXT, time INTEGER);
"""
_COLUMNS = "id, n, t_min, t_max, seq, time, codec, crc32, body"
_HEADER = struct.Struct("<qqqqqqq")
_LONGEST_HOLE = 4096  # ids probed one by one behind a damaged page before the rest is given up


@dataclass(frozen=True, slots=True)
class Record:
    """An entry as it lies in the file; ``seq`` is the number of samples accepted before it."""

    id: int
    n: int
    t_min: int
    t_max: int
    seq: int
    time: int
    codec: int
    body: bytes

    def crc32(self) -> int:
        """The check over header and body."""
        header = _HEADER.pack(self.id, self.n, self.t_min, self.t_max, self.seq, self.time, self.codec)
        return isal_zlib.crc32(self.body, isal_zlib.crc32(header))


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples that were accepted and are gone from the spool before everybody had them."""

    first_id: int
    last_id: int
    n: int
    start: int
    end: int
    reason: str
    time: int


@dataclass(frozen=True, slots=True)
class Summary:
    """What a file says about itself when it is opened."""

    first_seq: int
    previous_id: int
    last: Record | None
    sets: dict[int, SignalSet]
    last_times: dict[int, int]
    cursors: dict[str, int]
    gaps: list[Gap]


class SpoolFile:
    """One open file. ``create`` gives the one that is written, ``open`` one of an earlier run."""

    def __init__(self, path: Path, number: int, connection: sqlite.Connection) -> None:
        self.path = path
        self.number = number
        self._connection = connection

    @classmethod
    def create(cls, path: Path, number: int, first_seq: int, previous_id: int) -> SpoolFile:
        """A new file; ``previous_id`` is the last entry that counts in the file before it."""
        failpoints.hit("spool.create_file")
        file = cls(path, number, sqlite.writing(path))
        with file.transaction():
            for statement in _SCHEMA.split(";"):
                file._connection.execute(statement)
            file._connection.execute("INSERT INTO begin VALUES (?, ?)", (first_seq, previous_id))
        return file

    @classmethod
    def open(cls, path: Path, number: int, settle: bool = False) -> SpoolFile:
        """A file to read from; ``settle`` first folds the log of a killed run into it."""
        if settle and path.with_name(path.name + "-wal").exists():
            connection = sqlite.writing(path)
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()
        return cls(path, number, sqlite.reading(path))

    def close(self) -> None:
        """Close the file; what the disk says to that comes too late to matter."""
        with suppress(sqlite.DatabaseError):
            self._connection.close()

    def append(
        self,
        record: Record,
        sets: Iterable[tuple[int, SignalSet]],
        last_times: Iterable[tuple[int, int]],
        cursors: Iterable[tuple[str, int]],
    ) -> None:
        """Write an entry, the signal sets new to this file and what moved, in one durable transaction."""
        with self.transaction():
            self._insert(record)
            self.note(sets, last_times, cursors)
            failpoints.hit("spool.before_commit")
        failpoints.hit("spool.after_commit")

    def _insert(self, record: Record) -> None:
        row = (*_fields(record), record.crc32(), record.body)
        self._connection.execute("INSERT INTO entry VALUES (?,?,?,?,?,?,?,?,?)", row)

    def note(
        self,
        sets: Iterable[tuple[int, SignalSet]] = (),
        last_times: Iterable[tuple[int, int]] = (),
        cursors: Iterable[tuple[str, int]] = (),
        gaps: Iterable[Gap] = (),
    ) -> None:
        """Write what stands beside the entries; within a transaction of the caller's."""
        many = self._connection.executemany
        many("INSERT OR REPLACE INTO signal_set VALUES (?,?,?,?)", [_set_row(*each) for each in sets])
        many("INSERT OR REPLACE INTO last_time VALUES (?,?)", last_times)
        many("INSERT OR REPLACE INTO cursor VALUES (?,?)", cursors)
        many(
            "INSERT OR IGNORE INTO gap VALUES (?,?,?,?,?,?,?)",
            [(g.first_id, g.last_id, g.n, g.start, g.end, g.reason, g.time) for g in gaps],
        )

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing: commits durably at the end of the ``with`` block, rolls back on any error."""
        return sqlite.transaction(self._connection)

    def checkpoint(self) -> None:
        """Fold the log into the file and give its room back."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def bytes(self) -> int:
        """What the file takes on disk now, its log included."""
        return size(self.path)

    def records(self, after: int, limit: int) -> list[Record]:
        """Up to ``limit`` sound entries behind id ``after``, in order; damaged ones are left out."""
        query = f"SELECT {_COLUMNS} FROM entry WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608  (a constant)
        try:
            rows = self._connection.execute(query, (after, limit)).fetchall()
        except sqlite.DatabaseError as error:
            if not sqlite.is_damage(error):
                raise
            return self._probe(after, limit)
        records = [record for row in rows if (record := _sound(row)) is not None]
        if rows and not records:
            return self.records(rows[-1][0], limit)
        return records

    def _probe(self, after: int, limit: int) -> list[Record]:
        """As ``records``, id by id around damaged pages."""
        query = f"SELECT {_COLUMNS} FROM entry WHERE id = ?"  # noqa: S608  (a constant)
        records: list[Record] = []
        id_ = max(after, self.number << ID_BITS)
        missed = 0
        while len(records) < limit and missed < _LONGEST_HOLE:
            id_ += 1
            record = None
            try:
                row = self._connection.execute(query, (id_,)).fetchone()
                record = _sound(row) if row else None
            except sqlite.DatabaseError as error:
                if not sqlite.is_damage(error):
                    raise
            if record is None:
                missed += 1
            else:
                missed = 0
                records.append(record)
        return records

    def ends(self, up_to: int) -> int | None:
        """How many samples had been accepted with entry ``up_to`` or the newest before it; None: none."""
        query = "SELECT seq + n FROM entry WHERE id <= ? ORDER BY id DESC LIMIT 1"
        row = self._connection.execute(query, (up_to,)).fetchone()
        return int(row[0]) if row else None

    def span(self, after: int) -> tuple[int, int, int] | None:
        """Samples behind id ``after`` and their first and last time; None if there are none."""
        query = "SELECT sum(n), min(t_min), max(t_max) FROM entry WHERE id > ?"
        n, start, end = self._connection.execute(query, (after,)).fetchone()
        return (n, start, end) if n else None

    def summary(self) -> Summary:
        """What the file says about itself; DatabaseError when it is damaged at its roots."""
        every = self._connection.execute
        try:
            first_seq, previous_id = map(int, every("SELECT first_seq, previous_id FROM begin").fetchone())
            newest = every(f"SELECT {_COLUMNS} FROM entry ORDER BY id DESC")  # noqa: S608  (a constant)
            return Summary(
                first_seq=first_seq,
                previous_id=previous_id,
                last=next(filter(None, map(_sound, newest)), None),
                sets=self._sets(),
                last_times={
                    int(number): int(at) for number, at in every("SELECT number, time FROM last_time")
                },
                cursors={str(name): int(id_) for name, id_ in every("SELECT name, id FROM cursor")},
                gaps=[Gap(*each) for each in every("SELECT * FROM gap ORDER BY first_id")],
            )
        except (TypeError, ValueError) as error:
            raise sqlite.DatabaseError(f"not what was written: {error}") from error

    def _sets(self) -> dict[int, SignalSet]:
        rows = self._connection.execute("SELECT number, source, names, crc32 FROM signal_set")
        return {
            number: signal_set(source, tuple(json.loads(names)))
            for number, source, names, crc in rows
            if crc == _set_crc(number, source, names)
        }

    def salvage(self, damaged: Path) -> int:
        """Take over every sound entry of ``damaged`` and its signal sets; how many samples that were."""
        samples = 0
        after = self.number << ID_BITS
        other = SpoolFile.open(damaged, self.number)
        try:
            with suppress(sqlite.DatabaseError), self.transaction():
                self.note(sets=other._sets().items())
            while records := other.records(after, 256):
                after = records[-1].id
                samples += sum(record.n for record in records)
                with self.transaction():
                    for record in records:
                        self._insert(record)
        finally:
            other.close()
        return samples


def size(path: Path) -> int:
    """Bytes of a spool file and its log."""
    total = 0
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            total += path.with_name(path.name + suffix).stat().st_size
    return total


def remove(path: Path) -> None:
    """Take a spool file off the disk, its log first, so that no log is ever left alone."""
    for suffix in ("-wal", "-shm", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _fields(record: Record) -> Sequence[int]:
    return (record.id, record.n, record.t_min, record.t_max, record.seq, record.time, record.codec)


def _sound(row: tuple[object, ...]) -> Record | None:
    *fields, crc, body = row
    try:
        record = Record(*cast("tuple[int, int, int, int, int, int, int]", fields), cast("bytes", body))
        return record if record.crc32() == crc else None
    except (struct.error, TypeError):
        return None


def _set_row(number: int, signals: SignalSet) -> tuple[int, str, str, int]:
    names = json.dumps(signals.names, ensure_ascii=False)
    return number, signals.source, names, _set_crc(number, signals.source, names)


def _set_crc(number: int, source: str, names: str) -> int:
    return int(isal_zlib.crc32(f"{number}\n{source}\n{names}".encode()))
