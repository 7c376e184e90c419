"""Whether each signal can be what it says: its range, its rate, and whether it moves at all."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.pace import Pace, Step
from models.promise import Array, Contribution, as_score
from models.state import expect, pack, unpack

_MARGIN = 0.5  # of the span that commissioning saw, beyond its ends
_RATE = 2.5  # times the greatest step that commissioning saw
_STILL, _STILL_ROWS = 4.0, 20.0  # times the longest standstill of commissioning, and rows
_COLUMNS = ("count", "low", "high", "fastest", "stillest", "last", "still", "sigmas", "ratio")


class Plausible:
    """Range, rate of change and standstill of every signal against what commissioning saw, (n,) columns.

    The screens of automatic quality control of measurements (WMO-No. 488, part VI: range, step and persistence),
    with limits learned. It finds a sensor that is stuck, jumps, or was exchanged for one of another unit, and
    stays quiet while a machine moves as it did. A signal that was constant says nothing.
    """

    kind, version = "plausible", 1

    def __init__(self, signals: Sequence[str], *, every: int, rows: int = 600) -> None:
        """``rows`` a signal must have been seen for before it is judged."""
        self.signals = tuple(signals)
        self.outputs = tuple(f"{name}_suspect" for name in self.signals)
        self._rows, self._open = rows, False
        n = len(self.signals)
        self._count, self._fastest, self._stillest = np.zeros(n), np.zeros(n), np.zeros(n)
        self._low, self._high = np.full(n, np.inf), np.full(n, -np.inf)
        self._pace = Pace(max(10 * every, 10_000_000_000))
        self._last, self._still = np.full(n, np.nan), np.zeros(n)
        self._sigmas, self._ratio = np.zeros(n), np.zeros(n)
        self._step = np.zeros(n)
        self._settle()

    @property
    def ready(self) -> bool:
        """Whether commissioning is over and some signal has moved in it."""
        return bool(self._judged.any())

    def learn(self, time: int, row: Array) -> None:
        """Widen what is normal by ``row``, until ``fit``; then it stands."""
        if not self._observe(time, row) or self._open:
            return
        known = np.isfinite(row)
        self._count += known
        self._low = np.where(known, np.minimum(self._low, row), self._low)
        self._high = np.where(known, np.maximum(self._high, row), self._high)
        self._fastest = np.maximum(self._fastest, self._step)
        self._stillest = np.maximum(self._stillest, self._still)

    def fit(self) -> None:
        """End commissioning."""
        self._open = True
        self._settle()

    def score(self, time: int, row: Array) -> Array:
        """The worst of the three over its limit, per signal, as 0…1."""
        self._observe(time, row)
        return as_score(np.where(np.isfinite(row), self._ratio, 0.0))

    def why(self, output: int = 0) -> tuple[Contribution, ...]:
        """The signal itself, and how far beyond the middle of its span, in quarters of the span."""
        return (Contribution(self.signals[output], 1.0, float(self._sigmas[output])),)

    def _settle(self) -> None:
        """What follows from what was learned: who is judged, and the spans and limits they are judged by."""
        size = np.maximum(np.abs(self._high), np.abs(self._low))
        moved = (self._count >= self._rows) & (self._high > self._low)
        moved[moved] = (self._high - self._low)[moved] > 1e-9 * size[moved]
        self._judged = moved & self._open
        self._bottom, self._top = np.where(moved, self._low, 0.0), np.where(moved, self._high, 1.0)
        self._room = _MARGIN * (self._top - self._bottom)
        self._rates = np.where(self._fastest > 0, _RATE * self._fastest, np.inf)
        self._rests = _STILL * self._stillest + _STILL_ROWS

    def _observe(self, time: int, row: Array) -> bool:
        step = self._pace.step(time)
        if step is Step.JUMP:
            self._last[:], self._still[:] = np.nan, 0.0
        if step in (Step.NEXT, Step.JUMP):
            known = np.isfinite(row)
            change = np.abs(row - self._last)
            self._step = np.where(np.isfinite(change), change, 0.0)
            self._still = np.where(known, np.where(change == 0, self._still + 1, 0.0), self._still)
            self._last = np.where(known, row, self._last)
            if self._open:
                self._compare(row, known & self._judged)
        return step is not Step.LATE

    def _compare(self, row: Array, judged: NDArray[np.bool_]) -> None:
        value = np.where(judged, row, self._bottom)
        beyond = np.maximum(value - self._top, self._bottom - value) / self._room
        worst = np.maximum(np.maximum(beyond, self._step / self._rates), self._still / self._rests)
        self._ratio = np.where(judged, worst, 0.0)
        self._sigmas = np.where(judged, (value - (self._top + self._bottom) / 2) / (self._room / 2), 0.0)

    def dump(self) -> bytes:
        """Learned and remembered, as an NPZ."""
        head = {"kind": self.kind, "version": self.version, "signals": self.signals}
        head |= {"time": self._pace.last, "open": self._open}
        return pack(head, {name: getattr(self, f"_{name}") for name in _COLUMNS})

    def load(self, data: bytes) -> None:
        """Take up a dump; signals that are new start cold, those that are gone are forgotten."""
        head, arrays = unpack(data)
        expect(head, self.kind, self.version, tuple(head["signals"]))
        place = {name: i for i, name in enumerate(head["signals"])}
        here = [i for i, name in enumerate(self.signals) if name in place]
        there = [place[self.signals[i]] for i in here]
        for name in _COLUMNS:
            getattr(self, f"_{name}")[here] = arrays[name][there]
        self._pace.last, self._open = head["time"], head["open"]
        self._settle()
