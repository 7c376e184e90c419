"""Statistics over a time window, for many signals at once and in little memory.

A window is looked at in sixtieths that stand fixed in time: it holds the running sixtieth and the 59 before it. Each
keeps only sums, so an hour of a signal costs as much as a minute; the 59 are summed up once, when the next begins.
Until a window has been filled without a gap its value is unknown (NaN); a gap longer than ``max_gap`` starts it anew.
A sample that is not good is left out, and while it is the newest the value is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rules.condition import Band
from rules.functions import FUNCTIONS, Floats, Parts, gain

PARTS = 60
SIXTIETHS = np.arange(PARTS)
_HOUR = 3_600_000_000_000  # ns
ANYTHING = Band(-np.inf, np.inf)
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


class Bands(NamedTuple):
    """One band for each row."""

    low: Floats
    high: Floats
    outside: NDArray[np.bool_]

    def of(self, rows: Rows) -> Bands:
        return Bands(self.low[rows], self.high[rows], self.outside[rows])


class Ring:
    """One function over one length for many signals; ``fields`` (rows, PARTS) hold what each sixtieth has seen.

    ``rest`` holds for each row what the sixtieths but the running one come to.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = list(windows)
        one = windows[0]
        self.length, self.max_gap = one.length, one.max_gap
        self.function = FUNCTIONS[one.function]
        self.width = width_of(one)
        rows = len(self.windows)
        self.fields = {name: np.full((rows, PARTS), empty) for name, empty in self.function.empty.items()}
        self.part = np.zeros(rows, np.int64)
        self.begun = np.full(rows, NEVER, np.int64)
        self.last = np.full(rows, NEVER, np.int64)
        self.before = np.full(rows, np.nan)
        self.rest = dict(self._summed(np.arange(rows)))
        bands = [window.band or ANYTHING for window in self.windows]
        self._bands = Bands(
            np.array([band.low for band in bands]),
            np.array([band.high for band in bands]),
            np.array([band.outside for band in bands], np.bool_),
        )

    def push(self, rows: Rows, time: int | Times, x: Floats) -> Floats:
        """Take a sample at ``time`` (UTC ns) of each of ``rows``; the value of each window, NaN where unknown."""
        out = np.full(x.shape, np.nan)
        good = np.isfinite(x)
        if not good.any():
            return out
        rows, x = rows[good], x[good]
        times = np.broadcast_to(np.asarray(time, np.int64), good.shape)[good]
        with np.errstate(all="ignore"):
            self._advance(rows, times)
            running = self._add(rows, times, x)
            value = self.function.result({name: rest[rows] for name, rest in self.rest.items()}, running)
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
        passed = part - self.part[rows]
        late = passed > 0
        if not late.any():
            return
        self.part[rows] = part
        moved, part, passed = rows[late], part[late], passed[late]
        for name, empty in self.function.empty.items():
            self.fields[name][moved[passed >= PARTS]] = empty
        for back in range(int(passed.max(where=passed < PARTS, initial=0))):
            late = passed > back
            for name, empty in self.function.empty.items():
                self.fields[name][moved[late], (part[late] - back) % PARTS] = empty
        for name, rest in self._summed(moved).items():
            self.rest[name][moved] = rest

    def _summed(self, rows: Rows) -> Parts:
        """What the sixtieths but the running one come to."""
        at = self.part[rows] % PARTS
        others = {name: field[rows] for name, field in self.fields.items()}
        for name, field in others.items():
            field[np.arange(rows.size), at] = self.function.empty[name]
        return self.function.rest(others, ages(self.part[rows], self.width))

    def _add(self, rows: Rows, times: Times, x: Floats) -> Parts:
        """The running sixtieth with the sample in it."""
        before, elapsed = self.before[rows], times - self.last[rows]
        if self.function.of in {"gain", "held"}:
            self.before[rows] = x
        y = counted(self.function.of, before, x, elapsed, self._bands.of(rows))
        part = self.part[rows]
        at = (rows, part % PARTS)
        old = {name: field[at] for name, field in self.fields.items()}
        new = self.function.add(old, y, (times - part * self.width) / 1e9)
        for name, field in self.fields.items():
            field[at] = new[name]
        return new

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
        for name, rest in self._summed(np.array([row])).items():
            self.rest[name][row] = rest.item()


def width_of(window: Window) -> int:
    """Of a sixtieth, ns."""
    return max(1, window.length // PARTS)


def ages(part: Times, width: int) -> Floats:
    """How many s before the running sixtieth each of the others began, in the order in which they are kept."""
    age: Floats = np.multiply((part[:, None] - SIXTIETHS) % PARTS, width / 1e9, dtype=np.float64)
    return age


def counted(of: str, before: Floats, x: Floats, elapsed: Times, band: Band | Bands) -> Floats:
    """What a sample adds: itself, a counter's gain, whether it is within ``band``, or for how many hours it was."""
    if of == "gain":
        return gain(before, x)
    if of == "hit":
        return _hits(x, band)
    return _hits(before, band) * (elapsed / _HOUR) if of == "held" else x


def _hits(x: Floats, band: Band | Bands) -> Floats:
    """1 where ``x`` is within the band, 0 where not or unknown."""
    inside = (x >= band.low) & (x <= band.high)
    hits: Floats = ((inside != band.outside) & ~np.isnan(x)).astype(np.float64)
    return hits


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
