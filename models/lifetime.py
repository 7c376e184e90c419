"""Remaining life as a soft sensor: a machine's own trend to a limit, judged anew with every row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.life import Life, remaining
from models.pace import Pace, Step
from models.promise import Array, Contribution
from models.state import expect, pack, unpack

_KEPT = 60  # means kept at each scale
_SCALES = (1, 6, 36, 216)  # rows a mean
_FEWEST = 10
_LAST = 20  # means that the line is drawn through: wear feeds on itself, so its past is slower
_ALIKE = 2.0  # a straight and an exponential line that fit about alike are both believed
_OUT = 4.0  # sigmas from commissioning: nearer there is no trend to speak of
_HOUR = 3600e9
_ARRAYS = ("centre", "spread", "moments", "times", "means", "partial", "answer")


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where a signal is going: hours left with their 90 % interval, and the line drawn there, for charts."""

    signal: str
    limit: float
    left: float
    low: float
    high: float
    shape: str


class LifeWatch:
    """Hours until one signal reaches its limit, with a 90 % interval; NaN where there is no trend.

    Means are kept at four scales (of 1, 6, 36 and 216 rows, sixty each), so that a fault of minutes and one of
    weeks are both seen. There is a number only once the signal has left its commissioning by four sigmas towards
    the limit and keeps going there: ``life.remaining`` on the last twenty means since it left, on the coarsest
    scale that has ten of them, on the distance from where the signal stood (so an exponential grows from
    nothing). No score, so it keeps the promises of a detector but for 0…1.
    """

    kind, version = "life", 1

    def __init__(self, signal: str, *, asset: str, every: int, limit: float) -> None:
        self.signals: tuple[str, ...] = (signal,)
        self.outputs = tuple(f"{asset}/{name}" for name in ("rul", "rul_low", "rul_high"))
        self._limit = limit
        self._pace = Pace(max(10 * every, 10_000_000_000))
        self.moments = np.zeros(3)  # count, mean, sum of squares of commissioning
        self.centre, self.spread = np.array(np.nan), np.array(np.nan)
        self.times, self.means = (np.full((len(_SCALES), _KEPT), np.nan) for _ in range(2))
        self.partial = np.zeros((len(_SCALES), 2))
        self.answer = np.full(3, np.nan)
        self._shape = ""

    @property
    def ready(self) -> bool:
        """Whether it is known how the signal runs while all is well."""
        return bool(np.isfinite(self.spread))

    @property
    def forecast(self) -> Forecast | None:
        """The last answer, if there is one."""
        if not np.isfinite(self.answer).all():
            return None
        left, low, high = self.answer.tolist()
        return Forecast(self.signals[0], self._limit, left, low, high, self._shape)

    def learn(self, time: int, row: Array) -> None:
        """Until ``fit``: how the signal runs while all is well."""
        value = row[0]
        if not self.ready and np.isfinite(value) and self._pace.step(time) is not Step.LATE:
            self.moments[0] += 1
            away = value - self.moments[1]
            self.moments[1] += away / self.moments[0]
            self.moments[2] += away * (value - self.moments[1])

    def fit(self) -> None:
        """End commissioning."""
        count, mean, squares = self.moments
        spread = np.sqrt(squares / max(count - 1, 1))
        if spread > 1e-9 * max(abs(mean), 1e-300):
            self.centre, self.spread = np.array(mean), np.array(spread)

    def score(self, time: int, row: Array) -> Array:
        """Hours left, and the ends of the interval, (3,)."""
        if not self.ready or not np.isfinite(row[0]):
            return np.full(3, np.nan)
        step = self._pace.step(time)
        if step is Step.JUMP and len(np.flatnonzero(np.isfinite(self.times[0]))):
            if time < np.nanmax(
                self.times
            ):  # the clock was set back: what is remembered has no place in time
                self.times[:], self.means[:] = np.nan, np.nan
            self.partial[:], self.answer[:] = 0.0, np.nan
        if step in (Step.NEXT, Step.JUMP) and self._keep(time, float(row[0])):
            life = self._judge()
            self.answer = (
                np.full(3, np.nan) if life is None else np.array([life.left, life.low, life.high]) / _HOUR
            )
            self._shape = life.shape if life else ""
        return self.answer.copy()

    def why(self, output: int = 0) -> tuple[Contribution, ...]:
        """The signal itself."""
        assert output < len(self.outputs)
        newest = self.means[0][-1]
        if not self.ready or not np.isfinite(newest):
            return ()
        return (Contribution(self.signals[0], 1.0, float((newest - self.centre) / self.spread)),)

    def _keep(self, time: int, value: float) -> bool:
        """Add the value to every scale's mean; whether there is enough new to judge."""
        fresh = False
        for i, size in enumerate(_SCALES):
            self.partial[i] += (value, 1.0)
            if self.partial[i, 1] >= size:
                self.times[i] = np.append(self.times[i][1:], time)
                self.means[i] = np.append(self.means[i][1:], self.partial[i, 0] / self.partial[i, 1])
                self.partial[i] = 0.0
                fresh |= i == 1
        return fresh

    def _judge(self) -> Life | None:
        toward = 1.0 if self._limit > self.centre else -1.0
        goal = toward * (self._limit - float(self.centre))
        for times, means in zip(self.times[::-1], self.means[::-1], strict=True):
            index = toward * (means - float(self.centre))
            inside = np.flatnonzero(~(index > _OUT * float(self.spread)))
            first = int(inside[-1]) + 1 if len(inside) else 0
            if len(index) - first >= _FEWEST:
                first = max(first, len(index) - _LAST)
                return remaining(times[first:], index[first:], goal, _ALIKE)
        return None

    def dump(self) -> bytes:
        """Learned and remembered, as an NPZ."""
        head = {"kind": self.kind, "version": self.version, "signals": self.signals}
        head |= {"time": self._pace.last, "shape": self._shape}
        return pack(head, {name: getattr(self, name) for name in _ARRAYS})

    def load(self, data: bytes) -> None:
        """Take up a dump of the same signal."""
        head, arrays = unpack(data)
        expect(head, self.kind, self.version, self.signals)
        for name in _ARRAYS:
            setattr(self, name, arrays[name].copy())
        self._pace.last, self._shape = head["time"], head["shape"]
