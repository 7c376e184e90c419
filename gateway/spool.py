"""The spool: every accepted batch is durable before anybody acts on it.

Batches wait in a bounded ring in memory, a writer thread commits them in groups (the first of ``max_samples``
or ``interval``), and then, in the loop, their senders are told and the followers are woken. *Accepted* means
committed: what was still in the ring when the power went (``interval`` at most) was never acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import Any, Final

from pydantic import BaseModel, ByteSize, ConfigDict, Field

from devices.batch import Batch, SignalSet
from gateway import sqlite
from gateway.spool_file import Gap
from gateway.spool_log import SpoolLog
from gateway.spool_reader import Entry, weight

__all__ = ["Entry", "Gap", "Spool", "SpoolFailed", "SpoolSettings"]

log = logging.getLogger(__name__)

_LARGEST_GROUP: Final = 65_536  # samples; a slow disk makes larger groups, up to this
_FAILURES: Final = 3  # failed commits within _FAILURES_WITHIN seconds, and we give up
_FAILURES_WITHIN: Final = 60.0


class SpoolSettings(BaseModel):
    """``[spool]`` of the site file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    interval: timedelta = Field(
        default=timedelta(milliseconds=250), description="longest wait for a commit; 1s on SD cards"
    )
    max_samples: int = Field(
        default=32_768, gt=0, description="so many samples (256 KiB of values) are committed at once"
    )
    ring_bytes: ByteSize = Field(
        default=ByteSize(16 << 20), description="memory for samples that wait for a slow disk"
    )
    max_bytes: ByteSize = Field(
        default=ByteSize(2 << 30), description="room on disk; beyond it the oldest are shed and counted"
    )
    file_bytes: ByteSize = Field(
        default=ByteSize(256 << 20), description="a file ends at this size, or with the day"
    )
    ballast_bytes: ByteSize = Field(
        default=ByteSize(16 << 20), description="room held back for the moment the disk is full"
    )
    retain_sent: timedelta = Field(
        default=timedelta(0), description="keep what everybody has for this long, to send it again"
    )
    cache_bytes: ByteSize = Field(
        default=ByteSize(4 << 20), description="newest entries kept in memory for live followers"
    )


class SpoolFailed(Exception):  # noqa: N818  # as in ``except* SpoolFailed``: it is an end, not a mistake
    """The disk refuses to take samples, again and again; the daemon ends (exit 74)."""


@dataclass(frozen=True, slots=True)
class _Group:
    batches: list[Batch]
    dones: list[Callable[[], None]]
    samples: int


class Spool:
    """A durable, bounded log of batches with named followers.

    Made and used in the event loop; ``start``, ``read``, ``flush`` and ``status`` may run in any thread.
    """

    def __init__(
        self,
        folder: Path,
        settings: SpoolSettings,
        followers: Sequence[str],
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.folder = folder
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._interval = settings.interval.total_seconds()
        self._log = SpoolLog(
            folder,
            followers,
            max_bytes=settings.max_bytes,
            file_bytes=settings.file_bytes,
            ballast_bytes=settings.ballast_bytes,
            retain_sent_ns=settings.retain_sent // timedelta(microseconds=1) * 1000,
            clock=clock,
        )
        self._batches: list[Batch] = []
        self._dones: list[Callable[[], None]] = []
        self._samples = 0
        self._held = 0  # bytes, by and large
        self._waiting = 0
        self._refused = 0
        self._timer: asyncio.TimerHandle | None = None
        self._groups: SimpleQueue[_Group | None] = SimpleQueue()
        self._listeners: list[Callable[[Entry], None]] = []
        self._cache = _Cache(settings.cache_bytes)
        self._thread = Thread(target=self._write, name="spool-writer", daemon=True)
        self._stopping = Event()
        self._failures: deque[float] = deque(maxlen=_FAILURES)
        self._news = asyncio.Event()
        self._full = False
        self._last_commit = 0
        self._beat = time.monotonic()

    def start(self) -> None:
        """Take over what earlier runs left (a damaged file is set aside) and begin to write."""
        self._log.open()
        self._cache.floor = self._log.newest_id if self._log.files > 1 else 0
        self._thread.start()

    async def watch(self) -> None:
        """Return once the spool is closed; SpoolFailed when the disk is given up."""
        await asyncio.shield(self._ended)

    def flush(self) -> None:
        """Wait until all that was offered is durable; from any thread but the loop's."""
        durable = Event()
        self._loop.call_soon_threadsafe(self._mark, durable)
        while not durable.wait(0.1) and self._thread.is_alive():
            pass

    def close(self) -> None:
        """Commit what waits, make the followers' places durable and stop the writer."""
        self._stopping.set()
        self._hand_over()
        self._groups.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    def _mark(self, durable: Event) -> None:
        self._hand_over()
        self._groups.put(_Group([], [durable.set], 0))

    # -- taking batches

    def offer(self, batch: Batch, done: Callable[[], None] | None = None) -> bool:
        """Take ``batch``; ``done`` is called in the loop once it is durable. False: no room, not taken."""
        samples = len(batch.values)
        held = self._held + weight(samples, 1)
        if held > self._settings.ring_bytes:
            self._refused += samples
            return False
        self._held = held
        self._waiting += samples
        self._samples += samples
        self._batches.append(batch)
        if done is not None:
            self._dones.append(done)
        if self._samples >= self._settings.max_samples:
            self._hand_over()
        elif self._timer is None:
            self._timer = self._loop.call_later(self._interval, self._hand_over)
        return True

    def on_commit(self, listener: Callable[[Entry], None]) -> None:
        """Have ``listener`` called in the loop with every entry from now on."""
        self._listeners.append(listener)

    def _hand_over(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._batches:
            self._groups.put(_Group(self._batches, self._dones, self._samples))
            self._batches, self._dones, self._samples = [], [], 0

    def _committed(self, entry: Entry, group: _Group) -> None:
        self._held -= weight(group.samples, len(group.batches))
        self._waiting -= group.samples
        for done in group.dones:
            done()
        for listener in self._listeners:
            listener(entry)
        self._news.set()
        self._news = asyncio.Event()

    # -- reading and following

    def read(self, after_id: int, limit: int = 64) -> list[Entry]:
        """Up to ``limit`` entries behind ``after_id``, the oldest first; from memory when they are recent."""
        cached = self._cache.read(after_id, limit)
        return self._log.read(after_id, limit) if cached is None else cached

    def recent(self, count: int) -> list[Entry]:
        """The newest ``count`` entries over all runs, oldest first."""
        return self._log.reader.recent(count)

    async def after(self, after_id: int, limit: int = 64) -> list[Entry]:
        """As ``read``, in the loop: waits until there is at least one entry."""
        while True:
            news, floor = self._news, self._cache.floor
            entries = self._cache.read(after_id, limit)
            if entries is None:
                entries = await asyncio.to_thread(self._log.read, after_id, limit)
            if entries:
                return entries
            if after_id >= floor:
                await news.wait()
            after_id = max(after_id, floor)  # nothing sound is left between here and what was in memory

    def cursor(self, name: str) -> int:
        """The id up to which follower ``name`` is done."""
        return self._log.cursors[name]

    def advance(self, name: str, id_: int) -> None:
        """Follower ``name`` is done up to ``id_``; durable with a later commit, so it sees some again."""
        self._log.cursors[name] = max(self._log.cursors[name], id_)

    def last_time(self, signals: SignalSet) -> int:
        """The newest time stored for this signal set, over all runs; 0 if there is none."""
        return self._log.last_times.get(signals, 0)

    def newest_id(self) -> int:
        """The newest durable entry."""
        return self._log.newest_id

    def last_commit(self) -> int:
        """When the newest entry was committed, UTC ns; 0 before the first of this run."""
        return self._last_commit

    def newest_time(self) -> int:
        """The newest time of any stored batch; 0 if there is none."""
        return max(list(self._log.last_times.values()), default=0)

    def alive(self) -> bool:
        """Whether the writer has moved within 10 s."""
        return time.monotonic() - self._beat < 10.0

    def ledger(self) -> list[Gap]:
        """What was accepted and then lost before every follower had it."""
        return list(self._log.gaps)

    def status(self) -> dict[str, Any]:
        """How it stands, cheap enough for every second: counts are samples, ``last_commit`` UTC ns."""
        accepted = self._log.end_seq
        return {
            "accepted": accepted,
            "waiting": self._waiting,
            "refused": self._refused,
            "backlog": {name: accepted - self._seq_at(at) for name, at in self._log.cursors.items()},
            "shed": sum(gap.n for gap in self._log.gaps),
            "bytes": self._log.bytes,
            "max_bytes": int(self._settings.max_bytes),
            "files": self._log.files,
            "full": self._full,
            "last_commit": self._last_commit,
        }

    def _seq_at(self, id_: int) -> int:
        seq = self._cache.seq_at(id_)
        return self._log.reader.seq_at(id_) if seq is None else seq

    # -- the writer thread

    def _write(self) -> None:
        failure: Exception | None = None
        try:
            while (group := self._next_group()) is not None:
                self._commit(group)
            self._log.close()
        except (OSError, sqlite.DatabaseError, SpoolFailed) as error:
            failure = (
                error if isinstance(error, SpoolFailed) else SpoolFailed(f"the spool cannot go on: {error}")
            )
            self._log.abandon()
        except Exception as error:  # noqa: BLE001  # the thread's outer edge: the daemon must learn of our bug
            failure = error
        with suppress(RuntimeError):  # the loop is gone: nobody is left to tell
            self._loop.call_soon_threadsafe(self._end, failure)

    def _end(self, failure: Exception | None) -> None:
        if failure is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(failure)

    def _next_group(self) -> _Group | None:
        """The next group, joined with those that waited behind a slow commit; None at the end."""
        while True:
            self._beat = time.monotonic()
            with suppress(Empty):
                group = self._groups.get(timeout=1.0)
                break
        while group is not None and group.samples < _LARGEST_GROUP:
            try:
                more = self._groups.get_nowait()
            except Empty:
                break
            if more is None:
                self._groups.put(None)
                break
            group = _Group(
                group.batches + more.batches, group.dones + more.dones, group.samples + more.samples
            )
        return group

    def _commit(self, group: _Group) -> None:
        while group.batches:
            try:
                entry = self._log.append(group.batches)
            except (OSError, sqlite.DatabaseError) as error:
                self._recover(error)
                continue
            self._settled(entry)
            self._loop.call_soon_threadsafe(self._committed, entry, group)
            return
        for done in group.dones:
            done()

    def _settled(self, entry: Entry) -> None:
        if self._full:
            self._full = False
            log.info("the spool has room again")
        self._last_commit = entry.time
        self._cache.add(entry)

    def _recover(self, error: Exception) -> None:
        """Make the next try worth it: room on a full disk, a new file after any other failure."""
        self._beat = time.monotonic()
        if sqlite.is_full(error):
            if not self._full:
                self._full = True
                log.error("the spool has no room, its oldest samples are given up: %s", error)
            with suppress(OSError, sqlite.DatabaseError):
                self._log.make_room()
                return
            self._stopping.wait(1.0)  # others fill the disk; samples wait in the ring meanwhile
            if self._stopping.is_set():
                raise SpoolFailed("the disk is full and we are to stop") from error
            return
        now = time.monotonic()
        self._failures.append(now)
        log.error("a commit of the spool failed, writing it again to a new file: %s", error)
        if len(self._failures) == _FAILURES and now - self._failures[0] < _FAILURES_WITHIN:
            raise SpoolFailed(
                f"{_FAILURES} commits failed within {_FAILURES_WITHIN:.0f} s: {error}"
            ) from error
        # A failed fsync is not asked again: the kernel may have marked the lost pages clean.
        with suppress(OSError, sqlite.DatabaseError):
            self._log.rotate()


class _Cache:
    """The newest entries, bounded by what they weigh in memory."""

    def __init__(self, max_bytes: int) -> None:
        self.floor = 0  # the newest entry that is not in here
        self._floor_seq: int | None = None
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: deque[Entry] = deque()
        self._lock = Lock()

    def add(self, entry: Entry) -> None:
        with self._lock:
            self._entries.append(entry)
            self._bytes += weight(entry.samples, len(entry.batches))
            while self._bytes > self._max_bytes and len(self._entries) > 1:
                oldest = self._entries.popleft()
                self._bytes -= weight(oldest.samples, len(oldest.batches))
                self.floor, self._floor_seq = oldest.id, oldest.seq + oldest.samples

    def read(self, after_id: int, limit: int) -> list[Entry] | None:
        with self._lock:
            if after_id < self.floor:
                return None
            start = bisect_right(self._entries, after_id, key=lambda entry: entry.id)
            return [self._entries[i] for i in range(start, min(start + limit, len(self._entries)))]

    def seq_at(self, id_: int) -> int | None:
        with self._lock:
            if id_ == self.floor:
                return self._floor_seq
            at = bisect_right(self._entries, id_, key=lambda entry: entry.id)
            if id_ < self.floor or not at:
                return None
            return self._entries[at - 1].seq + self._entries[at - 1].samples
