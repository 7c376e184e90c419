"""The spool on disk: one log in a row of files, with its room, its losses and its followers' places.

No threads and no loop here: one thread calls what writes, any thread may call ``read``.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final

from devices.batch import Batch, SignalSet
from gateway import codec, failpoints, sqlite
from gateway.spool_file import ID_BITS, Gap, Record, SpoolFile, Summary, remove, size

log = logging.getLogger(__name__)

_NS: Final = 1_000_000_000
_DAY: Final = 86_400 * _NS
_NOTE_TIMES_EVERY: Final = 64  # commits between two notes of the last times; the rest is read back at start


@dataclass(frozen=True, slots=True)
class Entry:
    """One durable group of batches: ``seq`` samples were accepted before it; ``time`` is its commit's."""

    id: int
    batches: tuple[Batch, ...]
    samples: int
    seq: int
    time: int


@dataclass(slots=True)
class _Part:
    """What is known of one file without opening it; ``last_id`` is the last entry that counts in it."""

    number: int
    path: Path
    first_seq: int
    end_seq: int
    last_id: int
    day: int
    bytes: int


class SpoolLog:
    """The files of ``folder``, the newest of which this run writes.

    ``followers`` are those who must have seen a file before it may go; a new one begins at the oldest entry.
    ``max_bytes`` bounds all files together: beyond it the oldest is shed, and the loss is in ``gaps``.
    """

    def __init__(
        self,
        folder: Path,
        followers: Sequence[str],
        *,
        max_bytes: int,
        file_bytes: int,
        ballast_bytes: int,
        retain_sent_ns: int = 0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.cursors: dict[str, int] = dict.fromkeys(followers, 0)
        self.gaps: list[Gap] = []
        self.last_times: dict[SignalSet, int] = {}
        self._folder = folder
        self._ballast = folder / "ballast"
        self._ballast_bytes = ballast_bytes
        self._max_bytes = max_bytes
        self._file_bytes = min(file_bytes, max(max_bytes // 8, 65536))
        self._retain_sent = retain_sent_ns
        self._clock = clock
        self._parts: list[_Part] = []
        self._numbers: dict[SignalSet, int] = {}
        self._sets: dict[int, SignalSet] = {}
        self._noted_cursors: dict[str, int] = {}
        self._noted_sets: set[int] = set()
        self._changed_times: set[SignalSet] = set()
        self._commits = 0
        self._readers: dict[int, SpoolFile] = {}
        self._reading = Lock()
        self._holes: list[Gap] = []

    # -- opening and closing

    def open(self) -> None:
        """Take over what earlier runs left and begin a new file."""
        self._folder.mkdir(parents=True, exist_ok=True)
        quarantined = [_number(path) for path in self._folder.glob("spool-*.db.corrupt")]
        for path in sorted(self._folder.glob("spool-*.db"), key=_number):
            self._take_over(path)
        self._finish_deletions()
        newest = max([*quarantined, *(part.number for part in self._parts)], default=0)
        self._begin_file(newest + 1)
        self._fill_ballast()
        self._tidy()

    def close(self) -> None:
        """Make the followers' places and the last times durable and close everything."""
        with self._file.transaction():
            self._file.note(last_times=self._times_to_note(), cursors=self._cursors_to_note())
        self._file.checkpoint()
        self.abandon()

    def abandon(self) -> None:
        """Close without writing anything more."""
        self._file.close()
        with self._reading:
            for reader in self._readers.values():
                reader.close()
            self._readers.clear()

    def _take_over(self, path: Path) -> None:
        number = _number(path)
        try:
            file = SpoolFile.open(path, number, settle=True)
            try:
                summary = file.summary()
                self._learn_times(file, summary)
            finally:
                file.close()
        except sqlite.DatabaseError as error:
            if not sqlite.is_damage(error):
                raise
            self._quarantine(path, number, error)
            return
        self._learn(number, path, summary)

    def _learn(self, number: int, path: Path, summary: Summary) -> None:
        if self._parts and self._parts[-1].number == summary.previous_id >> ID_BITS:
            self._parts[-1].last_id, self._parts[-1].end_seq = summary.previous_id, summary.first_seq
        last = summary.last
        self._parts.append(
            _Part(
                number,
                path,
                summary.first_seq,
                end_seq=last.seq + last.n if last else summary.first_seq,
                last_id=last.id if last else number << ID_BITS,
                day=(last.time if last else self._clock()) // _DAY,
                bytes=size(path),
            )
        )
        for set_number, signals in summary.sets.items():
            self._sets[set_number] = signals
            self._numbers.setdefault(signals, set_number)
        for name in self.cursors.keys() & summary.cursors.keys():
            self.cursors[name] = max(self.cursors[name], summary.cursors[name])
        known = {gap.first_id for gap in self.gaps}
        self.gaps += [gap for gap in summary.gaps if gap.first_id not in known]

    def _learn_times(self, file: SpoolFile, summary: Summary) -> None:
        """Last times as noted, then those of the entries behind the note."""
        times = {
            summary.sets[number]: at for number, at in summary.last_times.items() if number in summary.sets
        }
        noted_id = summary.cursors.get("", 0)
        sets = self._sets | summary.sets
        while records := file.records(noted_id, _NOTE_TIMES_EVERY):
            noted_id = records[-1].id
            for record in records:
                with suppress(codec.CodecError):
                    for batch in codec.decode(record.body, sets):
                        times[batch.signals] = max(times.get(batch.signals, batch.time), batch.time)
        for signals, at in times.items():
            self.last_times[signals] = max(self.last_times.get(signals, at), at)

    def _begin_file(self, number: int) -> None:
        before = self._parts[-1] if self._parts else None
        first_seq = before.end_seq if before else 0
        previous_id = before.last_id if before else 0
        path = self._folder / f"spool-{number:06d}.db"
        remove(path)  # of an attempt that failed half-way
        file = SpoolFile.create(path, number, first_seq, previous_id)
        with file.transaction():
            file.note(
                sets=[(each, signals) for signals, each in self._numbers.items()],
                last_times=[
                    (self._numbers[signals], at)
                    for signals, at in self.last_times.items()
                    if signals in self._numbers
                ],
                cursors=[*self.cursors.items(), ("", number << ID_BITS)],
                gaps=self.gaps,
            )
        self._file = file
        self._noted_sets = set(self._numbers.values())
        self._noted_cursors = dict(self.cursors)
        self._changed_times.clear()
        self._parts.append(
            _Part(number, path, first_seq, first_seq, number << ID_BITS, self._clock() // _DAY, bytes=0)
        )

    # -- writing

    def append(self, batches: Sequence[Batch]) -> Entry:
        """Make ``batches`` durable as one entry. DatabaseError or OSError: nothing of it counts."""
        part = self._parts[-1]
        now = self._clock()
        if part.bytes >= self._file_bytes or (now // _DAY != part.day and part.end_seq > part.first_seq):
            self.rotate()
            part = self._parts[-1]
        numbers = [self._number_of(batch.signals) for batch in batches]
        samples = sum(len(batch.values) for batch in batches)
        times = [batch.time for batch in batches]
        body = codec.encode(batches, numbers)
        record = Record(
            part.last_id + 1, samples, min(times), max(times), part.end_seq, now, codec.CODEC, body
        )
        new = [(each, self._sets[each]) for each in set(numbers) - self._noted_sets]
        cursors = self._cursors_to_note()
        self._commits += 1
        note_times = self._commits % _NOTE_TIMES_EVERY == 0
        noted = self._times_to_note() if note_times else ()
        self._file.append(record, new, noted, [*cursors, ("", part.last_id)] if note_times else cursors)
        if note_times:
            self._changed_times.clear()
        self._noted_sets.update(each for each, _ in new)
        self._noted_cursors.update(cursors)
        part.last_id, part.end_seq = record.id, record.seq + samples
        part.bytes = size(part.path) if note_times else part.bytes + len(body) + 64
        for batch in batches:
            self.last_times[batch.signals] = max(self.last_times.get(batch.signals, batch.time), batch.time)
            self._changed_times.add(batch.signals)
        if self._holes:
            holes, self._holes = self._holes, []
            self._record(holes)
        self._tidy()
        return Entry(record.id, tuple(batches), samples, record.seq, now)

    def _number_of(self, signals: SignalSet) -> int:
        number = self._numbers.get(signals)
        if number is None:
            # The file's number within keeps it unique for ever, even when a file with newer numbers was lost.
            number = max(max(self._sets, default=0), self._parts[-1].number << ID_BITS) + 1
            self._numbers[signals] = number
            self._sets[number] = signals
        return number

    def _cursors_to_note(self) -> list[tuple[str, int]]:
        return [(name, at) for name, at in self.cursors.items() if self._noted_cursors.get(name) != at]

    def _times_to_note(self) -> list[tuple[int, int]]:
        return [(self._numbers[signals], self.last_times[signals]) for signals in self._changed_times]

    def rotate(self) -> None:
        """Go on in a new file; what the present one holds stays readable."""
        before = self._file
        part = self._parts[-1]
        self._begin_file(part.number + 1)
        failpoints.hit("spool.rotate")
        with suppress(sqlite.DatabaseError):  # a disk that fails here was already reported by the commit
            before.checkpoint()
        before.close()
        part.bytes = size(part.path)

    # -- room

    @property
    def bytes(self) -> int:
        """What the log takes on disk."""
        return sum(part.bytes for part in self._parts)

    @property
    def files(self) -> int:
        """How many files there are."""
        return len(self._parts)

    def make_room(self) -> None:
        """The disk is full: give up the ballast, then what everybody has, then the oldest file."""
        self._ballast.unlink(missing_ok=True)
        if len(self._parts) == 1:
            self.rotate()
        if not self._delete_passed():
            self._shed("disk full")
        self._file.checkpoint()
        self._fill_ballast()

    def _tidy(self) -> None:
        if len(self._parts) > 1:
            self._delete_passed()
            while len(self._parts) > 1 and self.bytes > self._max_bytes:
                self._shed("quota")
        elif self.bytes > self._max_bytes:
            self.rotate()

    def _delete_passed(self) -> bool:
        """Delete the files that every follower has passed (and that need not be kept longer)."""
        passed = min(self.cursors.values(), default=0)
        deleted = False
        while len(self._parts) > 1:
            part = self._parts[0]
            kept = self._retain_sent and (self._clock() - (part.day + 1) * _DAY) < self._retain_sent
            if part.end_seq > part.first_seq and (part.last_id > passed or kept):
                break
            failpoints.hit("spool.before_delete")
            self._drop(part)
            deleted = True
        return deleted

    def _shed(self, reason: str) -> None:
        """Give up the oldest file; what somebody still had to read of it is in the ledger before it goes."""
        part = self._parts[0]
        after = max(min(self.cursors.values(), default=0), (part.number << ID_BITS))
        losses = [self._loss(part, after, reason)] if after < part.last_id else []
        try:
            self._record(losses)
        except sqlite.DatabaseError as error:
            if not sqlite.is_full(error):
                raise
            self._drop(part)  # Not even the ledger has room: only now may the file go first.
            self._record(losses)
            return
        failpoints.hit("spool.gap_recorded")
        self._drop(part)

    def _loss(self, part: _Part, after: int, reason: str) -> Gap:
        span = None
        with suppress(sqlite.DatabaseError), self._reading:
            file = self._reader(part)
            span = file.span(after)
        n, start, end = span or (part.end_seq - part.first_seq, 0, 0)
        return Gap(after + 1, part.last_id, n, start, end, reason, self._clock())

    def _record(self, gaps: Sequence[Gap]) -> None:
        known = {gap.first_id for gap in self.gaps}
        new = [gap for gap in gaps if gap.first_id not in known]
        if not new:
            return
        with self._file.transaction():
            self._file.note(gaps=new)
        self.gaps += new
        for gap in new:
            log.error("%d samples are lost from the spool: %s", gap.n, gap.reason)

    def _drop(self, part: _Part) -> None:
        with self._reading:
            if (reader := self._readers.pop(part.number, None)) is not None:
                reader.close()
            self._parts.remove(part)
        remove(part.path)

    def _finish_deletions(self) -> None:
        """Delete the files whose loss is in the ledger, and those without entries; a crash came between."""
        for part in list(self._parts):
            given_up = any(
                gap.last_id == part.last_id and gap.reason in ("quota", "disk full") for gap in self.gaps
            )
            if given_up or part.end_seq == part.first_seq:
                self._drop(part)

    def _fill_ballast(self) -> None:
        """Hold some room back, to have it when the disk is full."""
        if not self._ballast_bytes or self._ballast.exists():
            return
        free = os.statvfs(self._folder)
        if free.f_bavail * free.f_frsize < 4 * self._ballast_bytes:
            return
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, self._ballast_bytes)

    # -- damage

    def _quarantine(self, path: Path, number: int, error: Exception) -> None:
        """Set a damaged file aside and save into a new one what its CRCs still vouch for."""
        aside = path.with_name(path.name + ".corrupt")
        for suffix in ("-wal", ""):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
        path.with_name(path.name + "-shm").unlink(missing_ok=True)
        first_seq, last_id = (self._parts[-1].end_seq, self._parts[-1].last_id) if self._parts else (0, 0)
        saved = SpoolFile.create(path, number, first_seq, last_id)
        samples = saved.salvage(aside)
        saved.close()
        log.error("%s is damaged (%s): set aside, %d samples saved", path.name, error, samples)
        file = SpoolFile.open(path, number, settle=True)
        summary = file.summary()
        self._learn_times(file, summary)
        file.close()
        self._learn(number, path, summary)

    # -- reading

    @property
    def newest_id(self) -> int:
        """The newest entry's id; 0 if there is none."""
        return next((part.last_id for part in reversed(self._parts) if part.end_seq > part.first_seq), 0)

    @property
    def end_seq(self) -> int:
        """How many samples were ever accepted."""
        return self._parts[-1].end_seq

    def read(self, after: int, limit: int) -> list[Entry]:
        """Up to ``limit`` entries behind ``after``, oldest first; damaged ones are left out and counted."""
        failpoints.hit("spool.read")
        entries: list[Entry] = []
        with self._reading:
            for part in [each for each in self._parts if each.last_id > after]:
                entries += self._read_part(part, after, limit - len(entries))
                if len(entries) >= limit:
                    break
        return entries

    def _read_part(self, part: _Part, after: int, limit: int) -> list[Entry]:
        file = self._reader(part)
        last_id = part.last_id
        entries: list[Entry] = []
        seen, seen_seq = max(after, part.number << ID_BITS), None
        for record in file.records(after, limit):
            if record.id > last_id:
                break
            try:
                batches = codec.decode(record.body, self._sets)
            except codec.CodecError:
                continue
            if record.id != seen + 1:
                self._found_hole(part, (seen, seen_seq), (record.id, record.seq))
            seen, seen_seq = record.id, record.seq + record.n
            entries.append(Entry(record.id, batches, record.n, record.seq, record.time))
        if len(entries) < limit and seen < last_id:
            self._found_hole(part, (seen, seen_seq), (last_id + 1, part.end_seq))
        return entries

    def _found_hole(self, part: _Part, before: tuple[int, int | None], behind: tuple[int, int]) -> None:
        """Note what is damaged between two (id, samples up to there); the writer tells the ledger."""
        id_, seq = before
        if seq is None:
            with suppress(sqlite.DatabaseError):
                seq = self._reader(part).ends(id_)
        n = behind[1] - (part.first_seq if seq is None else seq)
        self._holes.append(Gap(id_ + 1, behind[0] - 1, n, 0, 0, "damaged", self._clock()))

    def seq_at(self, id_: int) -> int:
        """How many samples had been accepted up to entry ``id_``."""
        with self._reading:
            for part in self._parts:
                if part.last_id >= id_:
                    if part.last_id == id_:
                        return part.end_seq
                    ends = self._reader(part).ends(id_)
                    return part.first_seq if ends is None else ends
        return self.end_seq

    def _reader(self, part: _Part) -> SpoolFile:
        reader = self._readers.get(part.number)
        if reader is None:
            while len(self._readers) >= 2:
                self._readers.pop(next(iter(self._readers))).close()
            reader = self._readers[part.number] = SpoolFile.open(part.path, part.number)
        return reader


def _number(path: Path) -> int:
    return int(path.name.split("-")[1].split(".")[0])
