"""Between the wires and the spool: what each batch's time is worth, before it becomes durable."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from devices.batch import BAD, Batch, Reason, SignalSet, uncertain

FUTURE = 300_000_000_000  # a sample more than 300 s ahead of us is kept and never judged
REMEMBERED = 512  # times of a signal set that are recognised when a broker delivers again


class Log(Protocol):
    """The part of the spool that intake needs."""

    def offer(self, batch: Batch, done: Callable[[], None] | None = None) -> bool: ...

    def last_time(self, signals: SignalSet) -> int: ...


class Intake:
    """Hands batches to the spool; late, future and repeated ones are flagged or dropped, and counted.

    A batch whose time was seen already is a repetition (a broker delivers again what was not acknowledged):
    it is acknowledged and dropped. One that is older than the newest of its set by more than ``lateness`` (ns) is kept
    and flagged ``late``, one from the future ``future``; neither is judged.
    """

    def __init__(self, spool: Log, lateness: int = 0) -> None:
        self._lateness = lateness
        self._spool = spool
        self._last: dict[SignalSet, int] = {}
        self._recent: dict[SignalSet, deque[int]] = {}
        self.counts: Counter[str] = Counter()
        self.repeated: Counter[str] = Counter()  # by device

    def remember(self, batches: Iterable[Batch]) -> None:
        """Take the newest stored batches as seen, oldest first; called once at start."""
        for batch in batches:
            self._recent.setdefault(batch.signals, deque(maxlen=REMEMBERED)).append(batch.time)

    def __call__(self, batch: Batch, done: Callable[[], None] | None = None) -> bool:
        last = self._newest(batch)
        if batch.time <= last and self._seen(batch, last):
            self.counts["repeated"] += 1
            self.repeated[batch.signals.source] += 1
            if done is not None:
                done()
            return True
        if batch.time < last - self._lateness:
            batch = self._flagged(batch, Reason.LATE)
        elif batch.time > batch.arrival + FUTURE:
            batch = self._flagged(batch, Reason.FUTURE)
        if not self._spool.offer(batch, done):
            self.counts["no_room"] += 1
            return False
        if batch.time <= batch.arrival + FUTURE:  # one wrong clock must not make all that follows late
            self._last[batch.signals] = max(last, batch.time)
        if done is not None:  # only what can be delivered again needs remembering
            self._recent.setdefault(batch.signals, deque(maxlen=REMEMBERED)).append(batch.time)
        self.counts["accepted"] += 1
        return True

    def derived(self, batch: Batch) -> bool:
        """A soft sensor's batch; judging again after a restart makes it again, to the same values: it is dropped."""
        if batch.time <= self._newest(batch):
            return True
        if not self._spool.offer(batch):
            return False
        self._last[batch.signals] = batch.time
        return True

    def _newest(self, batch: Batch) -> int:
        """The newest time of the batch's set; after a start the stored one, but never one from the future."""
        if batch.signals in self._last:
            return self._last[batch.signals]
        stored = self._spool.last_time(batch.signals)
        return stored if stored <= batch.arrival + FUTURE else batch.arrival

    def _seen(self, batch: Batch, last: int) -> bool:
        return batch.time == last or batch.time in self._recent.get(batch.signals, ())

    def _flagged(self, batch: Batch, reason: Reason) -> Batch:
        self.counts[reason.name.lower()] += 1
        quality = np.where(batch.quality & BAD, batch.quality, np.uint8(uncertain(reason)))
        return Batch(batch.signals, batch.time, batch.arrival, batch.values, quality)
