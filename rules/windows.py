"""Statistics over a time window, for many signals at once and in little memory.

A window is looked at in sixtieths that stand fixed in time: it holds the running sixtieth and the 59 before it. Each
keeps only sums, so an hour of a signal costs as much as a minute. Until a window has been filled without a gap its
value is unknown (NaN); a gap longer than ``max_gap`` starts it anew. A sample that is not good is left out, and while
it is the newest the value is unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rules.condition import Band

PARTS = 60
NEVER = -(2**62)  # far enough back that no time minus it overflows
SILENCE = 60_000_000_000
Floats = NDArray[np.float64]
Rows = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Window:
    """``function`` of ``signal`` over ``length`` ns; of ``share``, the samples within ``band`` count.

    ``age`` is none of the functions below: it is how long ago the last good sample was, in s, and has no length.
    """

    function: str
    signal: str
    length: int
    max_gap: int
    band: Band | None = None


_EMPTY = {"n": 0.0, "total": 0.0, "squares": 0.0, "low": np.inf, "high": -np.inf, "lag": 0.0}


class Ring:
    """One function over one length for many signals: ``fields`` hold (rows, PARTS) sums of what each sixtieth saw."""

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = list(windows)
        one = windows[0]
        self.length, self.max_gap = one.length, one.max_gap
        self.function = FUNCTIONS[one.function]
        self.width = max(1, one.length // PARTS)
        rows = len(self.windows)
        self.fields = {name: np.full((rows, PARTS), _EMPTY[name]) for name in self.function.fields}
        self.part = np.zeros(rows, np.int64)
        self.begun = np.full(rows, NEVER, np.int64)
        self.last = np.full(rows, NEVER, np.int64)
        self.kept = np.full(
            rows, np.nan
        )  # the first value since a gap, or the last one, as the function needs
        bands = [window.band or Band(-np.inf, np.inf) for window in self.windows]
        self.low = np.array([band.low for band in bands])
        self.high = np.array([band.high for band in bands])
        self.outside = np.array([band.outside for band in bands], np.bool_)

    def push(self, rows: Rows, time: int, x: Floats) -> Floats:
        """Take a sample at ``time`` (UTC ns) of each of ``rows``; the value of each window, NaN where unknown."""
        out = np.full(x.shape, np.nan)
        good = np.isfinite(x)
        if not good.any():
            return out
        rows, x = rows[good], x[good]
        part = time // self.width
        self._advance(rows, time, part)
        with np.errstate(all="ignore"):
            y = self.function.prepare(self, rows, x)
            self._add(rows, part, (time - part * self.width) / 1e9, y)
            value = self.function.result(self, rows)
        self.last[rows] = time
        out[good] = np.where(time - self.begun[rows] >= self.length - self.width, value, np.nan)
        return out

    def run(self, times: NDArray[np.int64], x: Floats) -> Floats:
        """The only window after each sample of a whole series, as ``push`` would say one by one."""
        row = np.zeros(1, np.intp)
        return np.array([self.push(row, time, x[i : i + 1])[0] for i, time in enumerate(times.tolist())])

    def _advance(self, rows: Rows, time: int, part: int) -> None:
        """Empty the sixtieths that have passed, and all of them after a gap."""
        torn = rows[time - self.last[rows] > self.max_gap]
        if torn.size:
            self.begun[torn] = time
            self.kept[torn] = np.nan
            for name, field in self.fields.items():
                field[torn] = _EMPTY[name]
            self.part[torn] = part
        passed = part - self.part[rows]
        for back in range(min(int(passed.max()), PARTS)):
            late = rows[passed > back]
            for name, field in self.fields.items():
                field[late, (part - back) % PARTS] = _EMPTY[name]
        self.part[rows] = part

    def _add(self, rows: Rows, part: int, lag: float, y: Floats) -> None:
        at = (rows, part % PARTS)
        for name, field in self.fields.items():
            field[at] = _ADD[name](field[at], y, lag)

    def oldest_first(self, name: str, rows: Rows) -> Floats:
        """The field of rows that stand at the same part, from the oldest sixtieth to the running one."""
        order = (int(self.part[rows[0]]) + 1 + np.arange(PARTS)) % PARTS
        found: Floats = self.fields[name][np.ix_(rows, order)]
        return found

    def total(self, name: str, rows: Rows) -> Floats:
        """The field's sum over the window."""
        found: Floats = self.fields[name][rows].sum(axis=1)
        return found

    def memory(self, row: int) -> Any:
        """All of one window that a restart needs."""
        return {
            "at": [int(self.part[row]), int(self.begun[row]), int(self.last[row])],
            "kept": float(self.kept[row]),
            "fields": {name: field[row].tolist() for name, field in self.fields.items()},
        }

    def recall(self, row: int, memory: Any) -> None:
        """Go on from what ``memory`` returned."""
        self.part[row], self.begun[row], self.last[row] = memory["at"]
        self.kept[row] = memory["kept"]
        for name, field in self.fields.items():
            field[row] = memory["fields"][name]


class Ages:
    """How long ago each signal had its last good sample, in s.

    After ``SILENCE`` in which nothing was heard, all ages begin anew: then we were away, and not the signals.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = list(windows)
        self.clock = NEVER
        self._good = np.full(len(self.windows), NEVER, np.int64)
        self._begun = False

    def push(self, rows: Rows, time: int, x: Floats) -> Floats:
        """Take a sample at ``time`` (UTC ns) of each of ``rows``; their ages by the clock, which never goes back."""
        self._pass(time)
        self._good[rows[np.isfinite(x)]] = time
        ages: Floats = (self.clock - self._good[rows]) / 1e9
        return ages

    def at(self, time: int) -> Floats:
        """All ages at ``time``, or by the clock if that is later."""
        self._pass(time)
        return (self.clock - self._good) / 1e9

    def _pass(self, time: int) -> None:
        if time - self.clock > SILENCE:
            self._good = np.maximum(self._good, time)
        self.clock = max(self.clock, time)
        if not self._begun:
            self._good[self._good == NEVER] = self.clock  # never heard: it counts from now
            self._begun = True

    def memory(self, row: int) -> Any:
        """All of one age that a restart needs."""
        return int(self._good[row])

    def recall(self, row: int, memory: Any) -> None:
        """Go on from what ``memory`` returned."""
        self._good[row] = memory


Memory = Ring | Ages

_ADD: dict[str, Callable[[Floats, Floats, float], Floats]] = {
    "n": lambda field, _y, _lag: field + 1,
    "total": lambda field, y, _lag: field + y,
    "squares": lambda field, y, _lag: field + y * y,
    "low": lambda field, y, _lag: np.minimum(field, y),
    "high": lambda field, y, _lag: np.maximum(field, y),
    "lag": lambda field, _y, lag: field + lag,
}

# -------------------------------------------------------------------------------------- what is counted


def _as_is(_ring: Ring, _rows: Rows, x: Floats) -> Floats:
    return x


def _from_first(ring: Ring, rows: Rows, x: Floats) -> Floats:
    """Relative to the first value since a gap, so that squares do not drown a small spread."""
    ring.kept[rows] = np.where(np.isnan(ring.kept[rows]), x, ring.kept[rows])
    shifted: Floats = x - ring.kept[rows]
    return shifted


def _gain(ring: Ring, rows: Rows, x: Floats) -> Floats:
    """What a counter has gained; one that goes back was reset and has gained its value since."""
    before = ring.kept[rows]
    ring.kept[rows] = x
    gained: Floats = np.where(np.isnan(before), 0.0, np.where(x < before, x, x - before))
    return gained


def _hit(ring: Ring, rows: Rows, x: Floats) -> Floats:
    inside = (x >= ring.low[rows]) & (x <= ring.high[rows])
    hit: Floats = (inside != ring.outside[rows]).astype(np.float64)
    return hit


# -------------------------------------------------------------------------------------- what comes out


def _mean(ring: Ring, rows: Rows) -> Floats:
    return ring.total("total", rows) / ring.total("n", rows)


def _rms(ring: Ring, rows: Rows) -> Floats:
    found: Floats = np.sqrt(ring.total("squares", rows) / ring.total("n", rows))
    return found


def _std(ring: Ring, rows: Rows) -> Floats:
    n = ring.total("n", rows)
    mean = ring.total("total", rows) / n
    found: Floats = np.sqrt(np.maximum(ring.total("squares", rows) / n - mean * mean, 0.0))
    return found


def _low(ring: Ring, rows: Rows) -> Floats:
    found: Floats = ring.fields["low"][rows].min(axis=1)
    return found


def _high(ring: Ring, rows: Rows) -> Floats:
    found: Floats = ring.fields["high"][rows].max(axis=1)
    return found


def _spread(ring: Ring, rows: Rows) -> Floats:
    return _high(ring, rows) - _low(ring, rows)


def _count(ring: Ring, rows: Rows) -> Floats:
    return ring.total("n", rows)


def _sum(ring: Ring, rows: Rows) -> Floats:
    return ring.total("total", rows)


def _rate(ring: Ring, rows: Rows) -> Floats:
    """Least squares through the mean of each sixtieth, weighted by its samples, per second."""
    n = ring.oldest_first("n", rows)
    seen = np.where(n > 0, n, np.nan)
    t = (np.arange(PARTS) - (PARTS - 1)) * (ring.width / 1e9) + ring.oldest_first("lag", rows) / seen
    x = ring.oldest_first("total", rows) / seen
    weight = n / n.sum(axis=1, keepdims=True)
    t = t - np.nansum(weight * t, axis=1, keepdims=True)
    x = x - np.nansum(weight * x, axis=1, keepdims=True)
    found: Floats = np.nansum(weight * t * x, axis=1) / np.nansum(weight * t * t, axis=1)
    return found


@dataclass(frozen=True, slots=True)
class Function:
    """How a window is kept and what comes out of it; ``same_unit``: in the unit of the signal."""

    fields: tuple[str, ...]
    prepare: Callable[[Ring, Rows, Floats], Floats]
    result: Callable[[Ring, Rows], Floats]
    same_unit: bool = True


FUNCTIONS = {
    "mean": Function(("n", "total"), _as_is, _mean),
    "rms": Function(("n", "squares"), _as_is, _rms),
    "std": Function(("n", "total", "squares"), _from_first, _std),
    "min": Function(("low",), _as_is, _low),
    "max": Function(("high",), _as_is, _high),
    "spread": Function(("low", "high"), _as_is, _spread),
    "count": Function(("n",), _as_is, _count, same_unit=False),
    "rate": Function(("n", "total", "lag"), _from_first, _rate, same_unit=False),
    "increase": Function(("total",), _gain, _sum, same_unit=False),
    "share": Function(("n", "total"), _hit, _mean, same_unit=False),
}
