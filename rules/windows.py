"""Statistics over a time window, for many signals at once and in little memory.

A window is looked at in sixtieths that stand fixed in time: it holds the running sixtieth and the 59 before it. Each
keeps only sums, so an hour of a signal costs as much as a minute. Until a window has been filled without a gap its
value is unknown (NaN); a gap longer than ``max_gap`` starts it anew. A sample that is not good is left out, and while
it is the newest the value is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rules.condition import Band
from rules.functions import FUNCTIONS, Floats, gain

PARTS = 60
_PART = np.arange(PARTS)
_HOUR = 3_600_000_000_000  # ns
NEVER = -(2**62)  # far enough back that no time minus it overflows
SILENCE = GRACE = 60_000_000_000
Rows = NDArray[np.intp]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Window:
    """``function`` of ``signal`` over ``length`` ns; of ``share`` and ``hours``, what is within ``band`` counts.

    ``age`` is none of the functions below: it is how long ago the last good sample was, in s; its ``length`` is the
    longest that it may be.
    """

    function: str
    signal: str
    length: int
    max_gap: int
    band: Band | None = None


class Ring:
    """One function over one length for many signals; ``fields`` (rows, PARTS) hold what each sixtieth has seen."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = list(windows)
        one = windows[0]
        self.length, self.max_gap = one.length, one.max_gap
        self.function = FUNCTIONS[one.function]
        self.width = max(1, one.length // PARTS)
        rows = len(self.windows)
        self.fields = {name: np.full((rows, PARTS), empty) for name, empty in self.function.empty.items()}
        self.part = np.zeros(rows, np.int64)
        self.begun = np.full(rows, NEVER, np.int64)
        self.last = np.full(rows, NEVER, np.int64)
        self.before = np.full(rows, np.nan)
        bands = [window.band or Band(-np.inf, np.inf) for window in self.windows]
        self._low = np.array([band.low for band in bands])
        self._high = np.array([band.high for band in bands])
        self._outside = np.array([band.outside for band in bands], np.bool_)

    def push(self, rows: Rows, time: int | Times, x: Floats) -> Floats:
        """Take a sample at ``time`` (UTC ns) of each of ``rows``; the value of each window, NaN where unknown."""
        out = np.full(x.shape, np.nan)
        good = np.isfinite(x)
        if not good.any():
            return out
        rows, x = rows[good], x[good]
        times = np.broadcast_to(np.asarray(time, np.int64), good.shape)[good]
        self._advance(rows, times)
        with np.errstate(all="ignore"):
            self._add(rows, times, x)
            parts = {name: field[rows] for name, field in self.fields.items()}
            value = self.function.result(parts, self._age(rows))
        self.last[rows] = times
        out[good] = np.where(times - self.begun[rows] >= self.length - self.width, value, np.nan)
        return out

    def _advance(self, rows: Rows, times: Times) -> None:
        """Empty the sixtieths that have passed, and all of them after a gap."""
        part = times // self.width
        torn = times - self.last[rows] > self.max_gap
        if torn.any():
            self.begun[rows[torn]] = times[torn]
            self.before[rows[torn]] = np.nan
            self.part[rows[torn]] = part[torn] - PARTS
        passed = np.minimum(part - self.part[rows], PARTS)
        for back in range(int(passed.max())):
            late = passed > back
            for name, field in self.fields.items():
                field[rows[late], (part[late] - back) % PARTS] = self.function.empty[name]
        self.part[rows] = part

    def _add(self, rows: Rows, times: Times, x: Floats) -> None:
        y = x
        if self.function.of == "gain":
            y, self.before[rows] = gain(self.before[rows], x), x
        elif self.function.of == "hit":
            y = self._hits(rows, x)
        elif self.function.of == "held":
            y = self._hits(rows, self.before[rows]) * ((times - self.last[rows]) / _HOUR)
            self.before[rows] = x
        part = self.part[rows]
        at = (rows, part % PARTS)
        old = {name: field[at] for name, field in self.fields.items()}
        new = self.function.add(old, y, (times - part * self.width) / 1e9)
        for name, field in self.fields.items():
            field[at] = new[name]

    def _hits(self, rows: Rows, x: Floats) -> Floats:
        """1 where ``x`` is within the band, 0 where not or unknown."""
        inside = (x >= self._low[rows]) & (x <= self._high[rows])
        hits: Floats = ((inside != self._outside[rows]) & ~np.isnan(x)).astype(np.float64)
        return hits

    def _age(self, rows: Rows) -> Floats:
        """How many s before the running sixtieth each of the others began."""
        age: Floats = np.multiply(
            (self.part[rows][:, None] - _PART) % PARTS, self.width / 1e9, dtype=np.float64
        )
        return age

    def memory(self, row: int) -> Any:
        """All of one window that a restart needs."""
        times = [int(self.part[row]), int(self.begun[row]), int(self.last[row])]
        return [
            times,
            float(self.before[row]),
            {name: field[row].tolist() for name, field in self.fields.items()},
        ]

    def recall(self, row: int, memory: Any) -> None:
        """Go on from what ``memory`` returned."""
        (self.part[row], self.begun[row], self.last[row]), self.before[row], fields = memory
        for name, field in self.fields.items():
            field[row] = fields[name]


class Ages:
    """How long ago each signal had its last good sample, in s, by a clock that only ``at`` moves.

    Nobody is blamed for our own start: a signal not heard since then has an unknown age for ``GRACE``, or for the
    window's length where that is longer. A clock that stood for ``SILENCE`` is a start too: we were away.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = list(windows)
        self.clock = NEVER
        self._good = np.full(len(self.windows), NEVER, np.int64)
        self._begun = np.full(len(self.windows), NEVER, np.int64)  # since when we listen
        self._grace = np.array([max(GRACE, window.length) for window in self.windows], np.int64)
        self._every = np.arange(len(self.windows))

    def push(self, rows: Rows, time: int, x: Floats) -> Floats:
        """Take a sample at ``time`` (UTC ns) of each of ``rows``; their ages, NaN where unknown."""
        heard = rows[np.isfinite(x)]
        self._good[heard] = np.maximum(self._good[heard], time)
        return self._ages(rows)

    def at(self, time: int, started: int = NEVER) -> Floats:
        """All ages at ``time``; the clock never goes back. ``started``: since when the one who calls listens."""
        if time - self.clock > SILENCE:
            started = time
        self.clock = max(self.clock, time)
        self._begun[self._begun == NEVER] = self.clock  # a window that is new
        self._begun = np.maximum(self._begun, started)
        return self._ages(self._every)

    def _ages(self, rows: Rows) -> Floats:
        good, begun = self._good[rows], self._begun[rows]
        unknown = (good < begun) & (self.clock - begun <= self._grace[rows])
        ages = (self.clock - np.where(good == NEVER, begun, good)) / 1e9
        return np.where(unknown, np.nan, np.maximum(ages, 0.0))

    def memory(self, row: int) -> Any:
        """All of one age that a restart needs."""
        return [int(self._good[row]), int(self._begun[row])]

    def recall(self, row: int, memory: Any) -> None:
        """Go on from what ``memory`` returned."""
        self._good[row], self._begun[row] = memory


Memory: TypeAlias = Ring | Ages


def history(window: Window, times: Times, x: Floats, stretches: int | None = None) -> Floats:
    """The window after each sample of a recorded series, as ``push`` says one by one.

    The series is cut into stretches that run side by side, each begun early enough that its window holds all
    that it should where the stretch begins.
    """
    out = np.full(x.shape, np.nan)
    good = np.isfinite(x)
    if good.any():
        out[good] = _side_by_side(window, times[good], x[good], stretches)
    return out


def _side_by_side(window: Window, times: Times, x: Floats, stretches: int | None) -> Floats:
    count = min(stretches or _best_cut(window, times), times.size)
    ring = Ring([window] * count)
    first = np.arange(count) * times.size // count
    end = np.append(first[1:], times.size)
    begin = np.searchsorted(times, (times[first] // ring.width - (PARTS - 1)) * ring.width)
    torn = np.concatenate(([True], np.diff(times) > window.max_gap))
    begun = times[np.maximum.accumulate(np.where(torn, np.arange(times.size), 0))]
    inner = begin > 0
    ring.last[inner], ring.before[inner] = times[begin[inner] - 1], x[begin[inner] - 1]
    ring.begun, ring.part = begun[begin], times[begin] // ring.width
    out = np.full(x.shape, np.nan)
    for step in range(int((end - begin).max())):
        rows = np.flatnonzero(begin + step < end)
        at = begin[rows] + step
        values = ring.push(rows, times[at], x[at])
        counts = at >= first[rows]
        out[at[counts]] = values[counts]
    return out


def _best_cut(window: Window, times: Times) -> int:
    """How many stretches: the more, the fewer steps, but each repeats a window's worth of samples."""
    span = max(int(times[-1] - times[0]), 1)
    repeated = 1 + times.size * min(1.0, window.length / span)
    return int(min(max(1.0, math.sqrt(60 * times.size / repeated)), 4096))
