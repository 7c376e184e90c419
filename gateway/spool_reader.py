"""Reading the spool's files back, from any thread, around what is damaged."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from devices.batch import Batch, SignalSet
from gateway import codec, failpoints, sqlite
from gateway.spool_file import ID_BITS, Gap, SpoolFile

_OPEN_FILES: Final = 2
_MEMORY: Final = 4 << 20  # bytes that one reading may fill, by and large
_RECORDS: Final = 8  # fetched at once


@dataclass(frozen=True, slots=True)
class Entry:
    """One durable group of batches: ``seq`` samples were accepted before it; ``time`` is its commit's."""

    id: int
    batches: tuple[Batch, ...]
    samples: int
    seq: int
    time: int


@dataclass(slots=True)
class Part:
    """What is known of one file without opening it; ``last_id`` is the last entry that counts in it."""

    number: int
    path: Path
    first_seq: int
    end_seq: int
    last_id: int
    day: int
    bytes: int

    @property
    def base(self) -> int:
        """The id before its first entry."""
        return self.number << ID_BITS


def weight(samples: int, batches: int) -> int:
    """Roughly the bytes that so many samples in so many batches take in memory."""
    return 9 * samples + 400 * batches


class SpoolReader:
    """Reads the files of ``parts``, whose signal sets are ``sets``; both are kept by who writes them.

    ``holes`` are the losses it came across, for who writes the ledger.
    """

    def __init__(self, parts: list[Part], sets: dict[int, SignalSet], clock: Callable[[], int]) -> None:
        self.holes: list[Gap] = []
        self._parts = parts
        self._sets = sets
        self._clock = clock
        self._files: dict[int, SpoolFile] = {}
        self._lock = Lock()

    def read(self, after: int, limit: int) -> list[Entry]:
        """The next entries behind id ``after``: ``limit`` of them, or fewer when they are large or at the end.

        Damaged ones are left out and counted.
        """
        failpoints.hit("spool.read")
        entries: list[Entry] = []
        room = _MEMORY
        with self._lock:
            for part in [each for each in self._parts if each.last_id > after]:
                while after < part.last_id and len(entries) < limit and room > 0:
                    some, after = self._read_part(part, after, min(_RECORDS, limit - len(entries)))
                    entries += some
                    room -= sum(weight(entry.samples, len(entry.batches)) for entry in some)
        return entries

    def recent(self, count: int) -> list[Entry]:
        """The newest ``count`` entries, oldest first; fewer if there are not so many."""
        before = 0
        for part in reversed(self._parts):
            before = max(part.base, part.last_id - count)
            count -= part.last_id - before
            if count <= 0:
                break
        entries: list[Entry] = []
        while more := self.read(entries[-1].id if entries else before, _RECORDS):
            entries += more
        return entries

    def seq_at(self, id_: int) -> int:
        """How many samples had been accepted up to entry ``id_``."""
        with self._lock:
            part = next((each for each in self._parts if each.last_id >= id_), None)
            if part is None:
                return self._parts[-1].end_seq
            if part.last_id == id_:
                return part.end_seq
            ends = self._file(part).ends(id_)
            return part.first_seq if ends is None else ends

    def span(self, part: Part, after: int) -> tuple[int, int, int]:
        """Samples of ``part`` behind id ``after``, their first and their last time, as far as it can be told."""
        span = None
        with suppress(sqlite.DatabaseError), self._lock:
            span = self._file(part).span(after)
        return span or (part.end_seq - part.first_seq, 0, 0)

    def close(self, part: Part | None = None) -> None:
        """Let go of the file of ``part``, or of all."""
        with self._lock:
            for number in list(self._files) if part is None else [part.number]:
                if (file := self._files.pop(number, None)) is not None:
                    file.close()

    def _read_part(self, part: Part, after: int, limit: int) -> tuple[list[Entry], int]:
        """Some entries of one file, and up to where they go."""
        last_id = part.last_id
        entries: list[Entry] = []
        seen, seen_seq = max(after, part.base), None
        records = [record for record in self._file(part).records(after, limit) if record.id <= last_id]
        for record in records:
            try:
                batches = codec.decode(record.body, self._sets)
            except codec.CodecError:
                continue
            if record.id != seen + 1:
                self._found_hole(part, (seen, seen_seq), (record.id, record.seq))
            seen, seen_seq = record.id, record.seq + record.n
            entries.append(Entry(record.id, batches, record.n, record.seq, record.time))
        if len(records) == limit:
            return entries, records[-1].id
        if seen < last_id:
            self._found_hole(part, (seen, seen_seq), (last_id + 1, part.end_seq))
        return entries, last_id

    def _found_hole(self, part: Part, before: tuple[int, int | None], behind: tuple[int, int]) -> None:
        """Note what is damaged between two (id, samples up to there)."""
        id_, seq = before
        if seq is None:
            with suppress(sqlite.DatabaseError):
                seq = self._file(part).ends(id_)
        n = behind[1] - (part.first_seq if seq is None else seq)
        self.holes.append(Gap(id_ + 1, behind[0] - 1, n, 0, 0, "damaged", self._clock()))

    def _file(self, part: Part) -> SpoolFile:
        file = self._files.get(part.number)
        if file is None:
            while len(self._files) >= _OPEN_FILES:
                self._files.pop(next(iter(self._files))).close()
            file = self._files[part.number] = SpoolFile.open(part.path, part.number)
        return file
