"""The spool on disk: one log in a row of files, with its room, its losses and its followers' places.

No threads and no loop here: one thread calls what writes, any thread may call ``reader``.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from devices.batch import Batch, SignalSet
from gateway import codec, failpoints, sqlite
from gateway.spool_file import (
    ID_BITS,
    Begin,
    Gap,
    Record,
    SpoolFile,
    Summary,
    Times,
    UnbornError,
    mend_head,
    remove,
    salvage,
    set_note,
    size,
)
from gateway.spool_reader import Entry, Part, SpoolReader

log = logging.getLogger(__name__)

_NS: Final = 1_000_000_000
_DAY: Final = 86_400 * _NS
_NOTE_TIMES_EVERY: Final = 64  # commits between two notes of the last times; the rest is read back at start
_REMEMBERED: Final = 30 * _DAY  # a signal set that was silent for so long is forgotten
_GAPS: Final = 1000  # in the ledger; beyond that the oldest are put together


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
        self._parts: list[Part] = []
        self._numbers: dict[SignalSet, int] = {}
        self._sets: dict[int, SignalSet] = {}
        self._noted_cursors: dict[str, int] = {}
        self._noted_sets: set[int] = set()
        self._commits = 0
        self._last_set = 0
        self.reader = SpoolReader(self._parts, self._sets, clock)

    # -- opening and closing

    def open(self) -> None:
        """Take over what earlier runs left and begin a new file."""
        self._folder.mkdir(parents=True, exist_ok=True)
        quarantined = [_number(path) for path in self._folder.glob("spool-*.db.corrupt")]
        for path in sorted(self._folder.glob("spool-*.db"), key=_number):
            self._making_room(partial(self._take_over, path))
        newest = max([*quarantined, *(part.number for part in self._parts)], default=0)
        self._making_room(partial(self._begin_file, newest + 1))
        self._finish_deletions()
        self._record_holes()
        self._fill_ballast()
        self._tidy()

    def close(self) -> None:
        """Make the followers' places and the last times durable and close everything."""
        try:
            try:
                self._note_all()
            except sqlite.DatabaseError as error:
                if not sqlite.is_full(error):
                    raise
                self.make_room()
                self._note_all()
            self._file.checkpoint()
        except (OSError, sqlite.DatabaseError) as error:
            log.warning("the followers' places were not noted, they will see some entries again: %s", error)
        self.abandon()

    def _note_all(self) -> None:
        with self._file.transaction():
            self._file.note({"cursors": self.cursors, "times": self._times(self._parts[-1].last_id)})

    def abandon(self) -> None:
        """Close without writing anything more."""
        self._file.close()
        self.reader.close()

    def _take_over(self, path: Path) -> None:
        number = _number(path)
        try:
            summary = self._summary(path, number)
        except UnbornError:
            remove(path)
            return
        except sqlite.DatabaseError as error:
            if not sqlite.is_damage(error):
                raise
            self._quarantine(path, number, error)
            summary = self._summary(path, number)
        self._learn(number, path, summary)

    def _summary(self, path: Path, number: int) -> Summary:
        """What the file says about itself; what it holds behind its last note of the times is looked through."""
        file = SpoolFile.open(path, number, settle=True)
        try:
            summary = file.summary()
            self._sets.update(summary.sets)
            self._learn_times(file, summary)
        finally:
            file.close()
        return summary

    def _learn(self, number: int, path: Path, summary: Summary) -> None:
        begin, last = summary.begin, summary.last
        if self._parts:
            before = self._parts[-1]
            if before.number == begin.previous_id >> ID_BITS:
                before.last_id, before.end_seq = begin.previous_id, begin.first_seq
            elif begin.first_seq > before.end_seq:
                lost = begin.first_seq - before.end_seq
                self.reader.holes.append(
                    Gap(before.last_id + 1, number << ID_BITS, lost, 0, 0, "damaged", self._clock())
                )
        self._parts.append(
            Part(
                number,
                path,
                begin.first_seq,
                end_seq=last.seq + last.n if last else begin.first_seq,
                last_id=last.id if last else number << ID_BITS,
                day=(last.time if last else self._clock()) // _DAY,
                bytes=size(path),
            )
        )
        for set_number, signals in summary.sets.items():
            self._numbers.setdefault(signals, set_number)
        for name in self.cursors.keys() & summary.cursors.keys():
            self.cursors[name] = max(self.cursors[name], summary.cursors[name])
        known = {gap.first_id for gap in self.gaps}
        self.gaps += [gap for gap in summary.gaps if gap.first_id not in known]

    def _learn_times(self, file: SpoolFile, summary: Summary) -> None:
        times = {self._sets[number]: at for number, at in summary.times.newest if number in self._sets}
        through = summary.times.through
        while records := file.records(through, _NOTE_TIMES_EVERY):
            through = records[-1].id
            for record in records:
                with suppress(codec.CodecError):
                    for batch in codec.decode(record.body, self._sets):
                        times[batch.signals] = max(times.get(batch.signals, batch.time), batch.time)
        for signals, at in times.items():
            self.last_times[signals] = max(self.last_times.get(signals, at), at)

    def _making_room(self, do: Callable[[], None]) -> None:
        """``do`` while starting, on a full disk at the price of the ballast and then of the oldest files."""
        while True:
            try:
                do()
                return
            except (OSError, sqlite.DatabaseError) as error:
                if not sqlite.is_full(error) or not (self._ballast.exists() or self._parts):
                    raise
            if self._ballast.exists():
                self._ballast.unlink()
            else:
                self.reader.holes += self._losses(self._parts[0], "disk full")
                self._drop(self._parts[0])

    def _begin_file(self, number: int) -> None:
        before = self._parts[-1] if self._parts else None
        begin = Begin(before.end_seq, before.last_id) if before else Begin(0, 0)
        path = self._folder / f"spool-{number:06d}.db"
        remove(path)  # of an attempt that failed half-way
        recent = max(self.last_times.values(), default=0) - _REMEMBERED
        self.last_times = {signals: at for signals, at in self.last_times.items() if at >= recent}
        carried = [(self._numbers[signals], signals) for signals in self.last_times]
        notes = {
            "begin": begin,
            "cursors": self.cursors,
            "times": self._times(number << ID_BITS),
            "gaps": self.gaps,
            **dict(set_note(*each) for each in carried),
        }
        self._file = SpoolFile.create(path, number, notes)
        self._noted_sets = {each for each, _ in carried}
        self._noted_cursors = dict(self.cursors)
        day = self._clock() // _DAY
        self._parts.append(
            Part(number, path, begin.first_seq, begin.first_seq, number << ID_BITS, day, bytes=0)
        )

    def _times(self, through: int) -> Times:
        return Times(through, [(self._numbers[signals], at) for signals, at in self.last_times.items()])

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
        new = set(numbers) - self._noted_sets
        notes: dict[str, object] = dict(set_note(each, self._sets[each]) for each in new)
        cursors = dict(self.cursors)
        if cursors != self._noted_cursors:
            notes["cursors"] = cursors
        self._commits += 1
        if self._commits % _NOTE_TIMES_EVERY == 0:
            notes["times"] = self._times(part.last_id)
            part.bytes = size(part.path)
        self._file.append(record, notes)
        self._noted_sets |= new
        self._noted_cursors = cursors
        part.last_id, part.end_seq = record.id, record.seq + samples
        part.bytes += len(body) + 64
        for batch in batches:
            self.last_times[batch.signals] = max(self.last_times.get(batch.signals, batch.time), batch.time)
        try:
            self._record_holes()
            self._tidy()
        except (OSError, sqlite.DatabaseError) as error:  # the entry is durable all the same
            log.warning("the spool could not be tidied, it will be later: %s", error)
        return Entry(record.id, tuple(batches), samples, record.seq, now)

    def _number_of(self, signals: SignalSet) -> int:
        number = self._numbers.get(signals)
        if number is None:
            # The file's number within keeps it unique for ever, even when a file with newer numbers was lost.
            number = self._last_set = max(self._last_set, self._parts[-1].base) + 1
            self._numbers[signals] = number
            self._sets[number] = signals
        return number

    def rotate(self) -> None:
        """Go on in a new file; what the present one holds stays readable."""
        before = self._file
        part = self._parts[-1]
        self._begin_file(part.number + 1)
        failpoints.hit("spool.rotate")
        self.reader.close(part)
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
        losses = self._losses(part, reason)
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

    def _losses(self, part: Part, reason: str) -> list[Gap]:
        """What a follower still had to read of ``part``."""
        after = max(min(self.cursors.values(), default=0), part.base)
        if after >= part.last_id:
            return []
        n, start, end = self.reader.span(part, after)
        return [Gap(after + 1, part.last_id, n, start, end, reason, self._clock())]

    def _record_holes(self) -> None:
        """Take into the ledger what was found lost by those who cannot write."""
        if self.reader.holes:
            passed = min(self.cursors.values(), default=0)
            holes, self.reader.holes = self.reader.holes, []
            self._record([hole for hole in holes if hole.last_id > passed])

    def _record(self, gaps: Sequence[Gap]) -> None:
        known = {gap.first_id for gap in self.gaps}
        new = [gap for gap in gaps if gap.first_id not in known]
        if not new:
            return
        gaps = [*self.gaps, *new]
        while len(gaps) > _GAPS:
            gaps[:2] = [_together(*gaps[:2])]
        with self._file.transaction():
            self._file.note({"gaps": gaps})
        self.gaps = gaps
        for gap in new:
            log.error("%d samples are lost from the spool: %s", gap.n, gap.reason)

    def _drop(self, part: Part) -> None:
        self._parts.remove(part)
        self.reader.close(part)
        remove(part.path)

    def _finish_deletions(self) -> None:
        """Delete the files whose loss is in the ledger, and those without entries; a crash came between."""
        for part in self._parts[:-1]:
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
        """Set a damaged file aside (the last one only), and save into a new one what its CRCs still vouch for."""
        for older in self._folder.glob("spool-*.corrupt*"):
            older.unlink()
        aside = path.with_name(path.name + ".corrupt")
        for suffix in ("-wal", ""):
            with suppress(FileNotFoundError):
                path.with_name(path.name + suffix).replace(aside.with_name(aside.name + suffix))
        remove(path)
        before = self._parts[-1] if self._parts else None
        begin = Begin(before.end_seq, before.last_id) if before else Begin(0, 0)
        samples = salvage(aside, number, path, begin)
        if not samples:
            mend_head(aside, path)
            remove(path)
            samples = salvage(aside, number, path, begin)
        log.error("%s is damaged (%s): set aside, %d samples saved", path.name, error, samples)

    # -- reading

    def read(self, after: int, limit: int) -> list[Entry]:
        """See ``SpoolReader.read``."""
        return self.reader.read(after, limit)

    @property
    def newest_id(self) -> int:
        """The newest entry's id; 0 if there is none."""
        return next((part.last_id for part in reversed(self._parts) if part.end_seq > part.first_seq), 0)

    @property
    def end_seq(self) -> int:
        """How many samples were ever accepted."""
        return self._parts[-1].end_seq


def _number(path: Path) -> int:
    return int(path.name.split("-")[1].split(".")[0])


def _together(first: Gap, second: Gap) -> Gap:
    start, end = min(first.start, second.start), max(first.end, second.end)
    return Gap(first.first_id, second.last_id, first.n + second.n, start, end, first.reason, second.time)
