"""One EWMA chart per signal, all signals of a set at once."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from models.pace import Pace, Step
from models.promise import Array, Contribution, as_score
from models.state import expect, pack, unpack

_CLIP = 3.0
_FEW = 30
"""Rows before deviations are clipped: the spread must be known first."""


class EwmaChart:
    """The exponentially weighted mean of each signal against its normal spread, (n,) columns.

    S. W. Roberts, "Control Chart Tests Based on Geometric Moving Averages", Technometrics 1(3), 1959. Centre
    and spread are learned from deviations winsorised at three sigmas (P. J. Huber), so that a fault learned
    by mistake moves them little. The limit is the normal quantile of the stated false-alarm rate times the
    smoothed value's own spread in commissioning (so autocorrelation counts), and never below its peak there.
    A signal that was constant in commissioning has no known spread and stays silent.
    """

    kind, version = "ewma", 1

    def __init__(
        self,
        signals: Sequence[str],
        *,
        every: int,
        rows: int = 1800,
        memory: int = 86_400,
        smoothing: float = 0.1,
        false_alarms_per_day: float = 0.01,
    ) -> None:
        """``every`` is the rows' spacing in ns; ``rows`` the least to commission on, ``memory`` the span."""
        self.signals = tuple(signals)
        self.outputs = tuple(f"{name}_anomaly" for name in self.signals)
        self._rows, self._memory, self._smoothing = rows, memory, smoothing
        # A smoothed value stays beyond its limit for about 1/λ rows; those are one alarm.
        a_day = 86_400e9 / every * smoothing
        self._sigmas = -NormalDist().inv_cdf(min(0.25, false_alarms_per_day / a_day / 2))
        n = len(self.signals)
        # learned
        self._count = np.zeros(n)
        self._mean = np.zeros(n)
        self._var = np.zeros(n)
        self._smooth_var = np.zeros(n)
        self._peak = np.zeros(n)
        self._limit = np.full(n, np.nan)
        # remembered
        self._pace = Pace(max(10 * every, 10_000_000_000))
        self._smooth = np.zeros(n)

    @property
    def ready(self) -> bool:
        """Whether any signal has a limit."""
        return bool(np.isfinite(self._limit).any())

    def learn(self, time: int, row: Array) -> None:
        """Move centre and spread towards ``row``, clipped at three sigmas."""
        if not self._observe(time, row):
            return
        good = np.isfinite(row) & ~(np.abs(self._smooth) > self._limit)  # what is off is not normal running
        self._count += good
        weight = good / np.clip(self._count, 1.0, self._memory)
        away = np.where(good, row - self._mean, 0.0)
        reach = np.where(self._count > _FEW, _CLIP * np.sqrt(self._var), np.inf)
        away = np.clip(away, -reach, reach)
        self._mean += weight * away
        self._var += weight * (away * away * (1.0 - weight) - self._var)
        charting = np.isnan(self._limit) & good & (self._count > _FEW)
        self._smooth_var += np.where(charting, weight * (self._smooth**2 - self._smooth_var), 0.0)
        self._peak = np.where(charting, np.maximum(self._peak, np.abs(self._smooth)), self._peak)
        if self.ready:
            self.fit()  # signals that came later are commissioned by themselves

    def fit(self) -> None:
        """Set the limit of every signal that has seen enough rows and was not constant."""
        known = (self._count >= self._rows) & (self._smooth_var > 0)
        limit = np.maximum(self._sigmas * np.sqrt(self._smooth_var), 1.1 * self._peak)
        self._limit = np.where(known & np.isnan(self._limit), limit, self._limit)

    def score(self, time: int, row: Array) -> Array:
        """|EWMA of the standardised value| over its limit, per signal; 0 where the value is missing."""
        self._observe(time, row)
        ratio = np.abs(self._smooth) / self._limit
        return as_score(np.where(np.isfinite(row), ratio, np.nan))

    def why(self, output: int = 0) -> tuple[Contribution, ...]:
        """A per-signal score has one cause: the signal itself."""
        return (Contribution(self.signals[output], 1.0, float(self._smooth[output])),)

    def _observe(self, time: int, row: Array) -> bool:
        """Smooth ``row`` in, once per time; False for a late row."""
        step = self._pace.step(time)
        if step is Step.JUMP:
            self._smooth[:] = 0.0
        if step in (Step.NEXT, Step.JUMP):
            spread = np.sqrt(self._var)
            known = np.isfinite(row) & (spread > 0) & (self._count > _FEW)
            away = np.where(known, row - self._mean, 0.0) / np.where(known, spread, 1.0)
            self._smooth += np.where(known, self._smoothing * (away - self._smooth), 0.0)
        return step is not Step.LATE

    def dump(self) -> bytes:
        """Learned and remembered, as an NPZ."""
        head = {"kind": self.kind, "version": self.version, "signals": self.signals, "time": self._pace.last}
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
        self._pace.last = head["time"]


_COLUMNS = ("count", "mean", "var", "smooth_var", "peak", "limit", "smooth")
