"""Samples that come out of order are put in order before they are judged, where the site gives them time to come.

``[judge] lateness = "60s"`` in site.toml: what is judged then waits until the log is so much further, and is judged by
its own time. What comes later still is stored and flagged, and moves nothing. Without it each batch is judged as it
comes, and one that is older than the newest of its signals is late.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from heapq import heappop, heappush
from itertools import count
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from devices.batch import Batch
from gateway.intake import FUTURE
from gateway.spool import Entry

_NS: Final = 1_000


class JudgeSettings(BaseModel):
    """``[judge]`` of site.toml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    lateness: timedelta = Field(
        default=timedelta(0),
        ge=timedelta(0),
        le=timedelta(minutes=10),
        description="so long samples may be under way",
    )

    @property
    def ns(self) -> int:
        return self.lateness // timedelta(microseconds=1) * _NS


def from_the_future(batch: Batch) -> bool:
    """Whether it claims to be from so far ahead that it is kept and flagged, and judged never."""
    return batch.time > batch.arrival + FUTURE


class Reorder:
    """Holds batches back until those before them had their time to come. A function of the log alone."""

    def __init__(self, lateness: int, after: int = 0) -> None:
        self._lateness = lateness
        self._held: list[tuple[int, str, tuple[str, ...], int, int, Batch]] = []  # by time, source, signals
        self._count = count()  # two of a kind keep their order
        self.after = after  # what is not newer was let go

    def take(self, entry: Entry) -> Iterator[Batch]:
        """What is due by the time of ``entry``, the oldest first; what claims to be from the future never is."""
        if not self._lateness:
            while self._held:  # of a time when samples were still waited for
                yield heappop(self._held)[-1]
            yield from (batch for batch in entry.batches if not from_the_future(batch))
            return
        self.hold(entry)
        self.after = max(self.after, entry.time - self._lateness)
        while self._held and self._held[0][0] <= self.after:
            yield heappop(self._held)[-1]

    def hold(self, entry: Entry) -> None:
        """Keep the entry's batches until they are due."""
        for batch in entry.batches:
            if not from_the_future(batch):
                key = (batch.time, batch.signals.source, batch.signals.names)
                heappush(self._held, (*key, entry.id, next(self._count), batch))

    def hold_again(self, entry: Entry) -> None:
        """The same after a restart, for an entry of which some were let go before."""
        self.hold(replace(entry, batches=tuple(each for each in entry.batches if each.time > self.after)))

    def oldest(self, newest: int) -> int:
        """The entry behind which all that is held was committed; ``newest`` when nothing is."""
        return min((entry - 1 for *_, entry, _, _ in self._held), default=newest)
