"""One file of the spool: entries in the order of their commits, and all it takes to read them.

Only the run that made a file writes to it; later runs read it. Each entry carries a CRC over itself and each note
one over its own, so a torn or flipped page costs what stood on it and never passes for data.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, cast

import msgspec
from isal import isal_zlib

from devices.batch import SignalSet, signal_set
from gateway import failpoints, sqlite

ID_BITS: Final = 32  # an entry's id is its file's number × 2**32 + its place in the file, counted from 1

# ``note`` holds, as JSON: ``begin``, ``cursors``, ``times``, ``gaps``, and ``set <number>`` for each signal set.
_SCHEMA: Final = (
    """CREATE TABLE entry (id INTEGER PRIMARY KEY, n INTEGER, t_min INTEGER, t_max INTEGER, seq INTEGER,
        time INTEGER, codec INTEGER, crc32 INTEGER, body BLOB)""",
    "CREATE TABLE note (key TEXT PRIMARY KEY, crc32 INTEGER, body BLOB) WITHOUT ROWID",
)
_COLUMNS: Final = "id, n, t_min, t_max, seq, time, codec, crc32, body"
_HEADER: Final = struct.Struct("<qqqqqqq")
_LONGEST_HOLE: Final = 4096  # ids probed one by one behind a damaged page before the rest is given up
_SET: Final = "set "
_PAGE: Final = 4096
T = TypeVar("T")


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
        return isal_zlib.crc32(self.body, isal_zlib.crc32(_HEADER.pack(*self.header())))

    def header(self) -> Sequence[int]:
        """All but the body."""
        return (self.id, self.n, self.t_min, self.t_max, self.seq, self.time, self.codec)


@dataclass(frozen=True, slots=True)
class Begin:
    """Where a file begins: the samples accepted before it, and the last entry that counts in the file before."""

    first_seq: int
    previous_id: int


@dataclass(frozen=True, slots=True)
class Times:
    """The newest time of each signal set (by its number) up to entry ``through``."""

    through: int
    newest: list[tuple[int, int]]


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

    begin: Begin
    last: Record | None
    sets: dict[int, SignalSet]
    times: Times
    cursors: dict[str, int]
    gaps: list[Gap]


class UnbornError(Exception):
    """The process that made this file ended before anything was in it."""


class SpoolFile:
    """One open file. ``create`` gives the one that is written, ``open`` one of an earlier run."""

    def __init__(self, path: Path, number: int, connection: sqlite.Connection) -> None:
        self.path = path
        self.number = number
        self._connection = connection

    @classmethod
    def create(cls, path: Path, number: int, notes: Mapping[str, object]) -> SpoolFile:
        """A new file with ``notes``, ``begin`` among them."""
        failpoints.hit("spool.create_file")
        file = cls(path, number, sqlite.writing(path))
        with file.transaction():
            for statement in _SCHEMA:
                file._connection.execute(statement)
            file.note(notes)
        return file

    @classmethod
    def open(cls, path: Path, number: int, settle: bool = False) -> SpoolFile:
        """A file to read from; ``settle`` first folds the log of a killed run into it."""
        log = path.with_name(path.name + "-wal")
        if settle and log.exists():
            connection = sqlite.writing(path)
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()
        return cls(path, number, sqlite.reading(path, finished=not log.exists()))

    def close(self) -> None:
        """Close the file; what the disk says to that comes too late to matter."""
        with suppress(sqlite.DatabaseError):
            self._connection.close()

    # -- writing

    def append(self, record: Record, notes: Mapping[str, object]) -> None:
        """Write an entry, and what there is to note with it, in one durable transaction."""
        with self.transaction():
            self._insert(record)
            self.note(notes)
            failpoints.hit("spool.before_commit")
        failpoints.hit("spool.after_commit")

    def note(self, notes: Mapping[str, object]) -> None:
        """Write ``notes``, each instead of the one before it, within a transaction of the caller's."""
        rows = [(key, msgspec.json.encode(value)) for key, value in notes.items()]
        self._connection.executemany(
            "INSERT OR REPLACE INTO note VALUES (?,?,?)",
            [(key, _note_crc(key, body), body) for key, body in rows],
        )

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing: commits durably at the end of the ``with`` block, rolls back on any error."""
        return sqlite.transaction(self._connection)

    def checkpoint(self) -> None:
        """Fold the log into the file and give its room back."""
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _insert(self, record: Record) -> None:
        row = (*record.header(), record.crc32(), record.body)
        self._connection.execute("INSERT INTO entry VALUES (?,?,?,?,?,?,?,?,?)", row)

    # -- reading

    def records(self, after: int, limit: int) -> list[Record]:
        """The next ``limit`` sound entries behind id ``after``, in order; fewer only at the end of the file."""
        query = f"SELECT {_COLUMNS} FROM entry WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608  (a constant)
        records: list[Record] = []
        while len(records) < limit:
            asked = limit - len(records)
            try:
                rows = self._connection.execute(query, (after, asked)).fetchall()
            except sqlite.DatabaseError as error:
                if not sqlite.is_damage(error):
                    raise
                return records + self._probe(after, asked)
            sound = [record for row in rows if (record := _sound(row)) is not None]
            records += sound
            after = sound[-1].id if sound else after + len(rows)  # an unsound row's id may be anything
            if len(rows) < asked:
                break
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
        query = f"SELECT {_COLUMNS} FROM entry WHERE id <= ? ORDER BY id DESC"  # noqa: S608  (a constant)
        record = next(filter(None, map(_sound, self._connection.execute(query, (up_to,)))), None)
        return record.seq + record.n if record else None

    def span(self, after: int) -> tuple[int, int, int] | None:
        """Samples behind id ``after`` and their first and last time; None if there are none."""
        query = "SELECT sum(n), min(t_min), max(t_max) FROM entry WHERE id > ?"
        n, start, end = self._connection.execute(query, (after,)).fetchone()
        return (n, start, end) if n else None

    def notes(self) -> dict[str, bytes]:
        """All sound notes."""
        rows = self._connection.execute("SELECT key, crc32, body FROM note")
        return {key: body for key, crc, body in rows if _note_crc(key, body) == crc}

    def summary(self) -> Summary:
        """What the file says about itself; UnbornError, or DatabaseError when it is damaged at its roots."""
        every = self._connection.execute
        if not every("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise UnbornError(self.path.name)
        notes = self.notes()
        begin = _noted(notes, "begin", Begin)
        if begin is None:
            raise sqlite.DatabaseError("not what was written: no beginning")
        newest = every(f"SELECT {_COLUMNS} FROM entry ORDER BY id DESC")  # noqa: S608  (a constant)
        return Summary(
            begin=begin,
            last=next(filter(None, map(_sound, newest)), None),
            sets=sets_in(notes),
            times=_noted(notes, "times", Times) or Times(0, []),
            cursors=_noted(notes, "cursors", dict[str, int]) or {},
            gaps=_noted(notes, "gaps", list[Gap]) or [],
        )


def salvage(damaged: Path, number: int, path: Path, begin: Begin) -> int:
    """Make ``path`` anew from every sound entry and note of ``damaged``; how many samples were saved.

    ``begin`` serves if the file's own is lost.
    """
    source = SpoolFile.open(damaged, number)
    try:
        notes: dict[str, bytes] = {}
        with suppress(sqlite.DatabaseError):
            notes = source.notes()
        kept = {key: msgspec.Raw(body) for key, body in notes.items()}
        saved = SpoolFile.create(path, number, {"begin": begin, **kept})
        samples, after = 0, number << ID_BITS
        while records := source.records(after, 256):
            after = records[-1].id
            samples += sum(record.n for record in records)
            with saved.transaction():
                for record in records:
                    saved._insert(record)
        saved.close()
    finally:
        source.close()
    return samples


def mend_head(damaged: Path, pristine: Path) -> None:
    """Give a damaged file the first page of a new one: it is the same in all, and without it nothing is found."""
    head = bytearray(pristine.read_bytes()[:_PAGE])
    with damaged.open("r+b") as file:
        pages = file.seek(0, 2) // _PAGE
        head[28:32] = struct.pack(">I", pages)
        head[92:96] = head[24:28]
        file.seek(0)
        file.write(head)


def set_note(number: int, signals: SignalSet) -> tuple[str, object]:
    """The note that tells a signal set's number."""
    return f"{_SET}{number}", (signals.source, signals.names)


def sets_in(notes: Mapping[str, bytes]) -> dict[int, SignalSet]:
    """The signal sets that ``notes`` tell."""
    found = {}
    for key, body in notes.items():
        if key.startswith(_SET):
            source, names = msgspec.json.decode(body, type=tuple[str, tuple[str, ...]])
            found[int(key.removeprefix(_SET))] = signal_set(source, names)
    return found


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


def _noted(notes: Mapping[str, bytes], key: str, type_: type[T]) -> T | None:
    body = notes.get(key)
    return None if body is None else msgspec.json.decode(body, type=type_)


def _note_crc(key: object, body: object) -> int:
    return int(isal_zlib.crc32(body, isal_zlib.crc32(str(key).encode()))) if isinstance(body, bytes) else -1


def _sound(row: tuple[object, ...]) -> Record | None:
    *header, crc, body = row
    try:
        record = Record(*cast("tuple[int, int, int, int, int, int, int]", header), cast("bytes", body))
        return record if record.crc32() == crc else None
    except (struct.error, TypeError):  # a flipped bit may make anything of a column
        return None
