"""What a store of telemetry promises, whichever it is: the embedded history or a server."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gateway.spool import Entry

if TYPE_CHECKING:
    import pandas as pd


class StoreError(Exception):
    """The store did not do what it was asked; nothing is lost by that, the spool has it all."""


class StoreUnavailableError(StoreError):
    """The store is away or busy: try again, not before ``retry_after`` seconds if it said so."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class StoreDeniedError(StoreError):
    """The store does not know us or the database: trying again helps only after somebody mended that."""


class StoreTooLargeError(StoreError):
    """The store takes less at once."""


class StoreRefusedError(StoreError):
    """Something in what was written is not acceptable, and will not be."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The newest value of a signal: UTC in ns, in the signal's unit."""

    time: int
    value: float
    quality: int


@dataclass(frozen=True, slots=True)
class Series:
    """A signal over time, sample by sample (``step`` 0) or in buckets of ``step`` ns, BAD samples left out.

    ``time`` (n,) is the sample's or the bucket's first ns, rising. ``count`` samples made a bucket, ``quality`` is
    the worst of theirs; ``min`` and ``max`` keep every spike.
    """

    signal: str
    time: NDArray[np.int64]
    min: NDArray[np.float64]
    mean: NDArray[np.float64]
    max: NDArray[np.float64]
    quality: NDArray[np.uint8]
    count: NDArray[np.int64]
    step: int = 0

    @classmethod
    def of_samples(
        cls, signal: str, time: NDArray[np.int64], values: NDArray[np.float64], quality: NDArray[np.uint8]
    ) -> Series:
        """Samples as they were taken, in any order; at most one stays for each time."""
        if not rising(time):
            time, first = np.unique(time, return_index=True)
            values, quality = values[first], quality[first]
        return cls(signal, time, values, values, values, quality, np.ones(len(time), np.int64))

    @classmethod
    def empty(cls, signal: str) -> Series:
        """Nothing is known of this signal."""
        none = np.empty(0)
        return cls.of_samples(signal, none.astype(np.int64), none, none.astype(np.uint8))

    def __len__(self) -> int:
        return len(self.time)

    def between(self, start: int, end: int) -> Series:
        """The part from ``start`` to before ``end``."""
        first, last = np.searchsorted(self.time, [start, end])
        return self.part(slice(int(first), int(last)))

    def part(self, which: slice | NDArray[np.intp] | NDArray[np.bool_]) -> Series:
        """Some of the points."""
        mean = self.mean[which]
        samples = self.min is self.mean
        return Series(
            self.signal,
            self.time[which],
            mean if samples else self.min[which],
            mean,
            mean if samples else self.max[which],
            self.quality[which],
            self.count[which],
            self.step,
        )

    def buckets(self, start: int, step: int) -> Series:
        """The same in buckets of ``step`` ns, counted from ``start``."""
        if not len(self):
            return self
        place = (self.time - start) // step
        first = np.flatnonzero(np.diff(place, prepend=place[0] - 1))
        count = np.add.reduceat(self.count, first)
        return Series(
            self.signal,
            start + place[first] * step,
            np.minimum.reduceat(self.min, first),
            np.add.reduceat(self.mean * self.count, first) / count,
            np.maximum.reduceat(self.max, first),
            np.maximum.reduceat(self.quality, first),
            count,
            step,
        )

    def at_most(self, points: int | None, start: int, end: int) -> Series:
        """Unchanged if it has no more than ``points``; else in that many equal buckets from ``start`` to ``end``."""
        if points is None or len(self) <= points:
            return self
        return self.buckets(start, max(1, math.ceil((end - start) / points)))

    def to_json(self) -> dict[str, Any]:
        """Plain lists; times in ns. Samples carry ``mean`` only."""
        bands = {} if self.min is self.mean else {"min": _plain(self.min), "max": _plain(self.max)}
        return {
            "signal": self.signal,
            "step": self.step,
            "time": self.time.tolist(),
            "mean": _plain(self.mean),
            "quality": self.quality.tolist(),
            "count": self.count.tolist(),
            **bands,
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Series:
        """What ``to_json`` gave."""
        mean = np.array(body["mean"], np.float64)
        return cls(
            body["signal"],
            np.array(body["time"], np.int64),
            np.array(body["min"], np.float64) if "min" in body else mean,
            mean,
            np.array(body["max"], np.float64) if "max" in body else mean,
            np.array(body["quality"], np.uint8),
            np.array(body["count"], np.int64),
            body["step"],
        )


def rising(time: NDArray[np.int64]) -> bool:
    """Whether the times are in order, each once: then they need no sorting."""
    return bool((time[1:] > time[:-1]).all())


def joined(signal: str, parts: Sequence[Series]) -> Series:
    """Several pieces of one signal in the order of time; of points at the same time the first given stays."""
    parts = [part for part in parts if len(part)]
    if len(parts) < 2:
        return parts[0] if parts else Series.empty(signal)
    time = np.concatenate([part.time for part in parts])
    _, first = np.unique(time, return_index=True)
    mean = np.concatenate([part.mean for part in parts])[first]
    samples = all(part.min is part.mean for part in parts)
    return Series(
        signal,
        time[first],
        mean if samples else np.concatenate([part.min for part in parts])[first],
        mean,
        mean if samples else np.concatenate([part.max for part in parts])[first],
        np.concatenate([part.quality for part in parts])[first],
        np.concatenate([part.count for part in parts])[first],
        max(part.step for part in parts),
    )


def frame_of(series: Sequence[Series]) -> pd.DataFrame:
    """One column a signal, one row a time (UTC), NaN where a signal has nothing at that time."""
    import pandas as pd  # 100 MB that only who trains or backtests pays for

    columns = {
        each.signal: pd.Series(each.mean, index=pd.DatetimeIndex(each.time, tz="UTC")) for each in series
    }
    return pd.DataFrame(columns)


class Readable(Protocol):
    """Telemetry as pages, evidence and training read it. Calls block (the hall uses threads), raise StoreError."""

    def series(self, signal: str, start: int, end: int, points: int | None = None) -> Series:
        """``signal`` from ``start`` to before ``end`` (UTC ns): every sample, or ``points`` buckets at most."""
        ...

    def latest(self, signals: Sequence[str]) -> dict[str, Sample]:
        """The newest sample of each signal that has any."""
        ...

    def frame(self, signals: Sequence[str], start: int, end: int) -> pd.DataFrame:
        """Every sample of ``signals``: a column each, a row for each time."""
        ...

    def learn_classes(self, class_of: Callable[[str], str]) -> None:
        """The site's assets have changed; a store that does not sort by their classes need not care."""
        ...

    def close(self) -> None:
        """Make durable what is held and let go."""
        ...


class Store(Readable, Protocol):
    """Where telemetry ends up."""

    name: str
    in_order: bool  # whether entries must come in the order of the log (else the newest may go first)

    def write(self, entries: Sequence[Entry]) -> int:
        """Take ``entries``, oldest first; the same again changes nothing. Returns up to where it is durable."""
        ...

    def tail(self, signal: str, start: int) -> Series:
        """Samples since ``start`` that only this process can see yet; a server has none."""
        ...


def _plain(values: NDArray[np.float64]) -> list[float]:
    return values.tolist()  # type: ignore[no-any-return]
