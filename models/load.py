"""What the load explains of the other signals: thermal ones come slowly, so its smoothed past is asked too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.pace import Pace, Step
from models.promise import Array

_MEMORIES = (60.0, 240.0, 900.0, 3600.0)  # s: from a winding to a gearbox
_RIDGE = 1e-3
_ARRAYS = ("centre", "scale", "count", "weights", "gain", "smooth", "features")


class LoadModel:
    """Every signal as a linear function of the load signals, their squares and the smoothed past of both.

    ``explain`` takes that away and leaves the rest: a winding that is warm because the motor works is no news. First
    order lags stand for thermal masses (60 s … 1 h); the weights are learned row by row, all signals at once, by
    recursive least squares (L. Ljung, "System Identification", 2nd ed., 11.2) with a small ridge. The load signals
    themselves pass unchanged. Rows are (n,), in the order of the signals.
    """

    def __init__(self, width: int, loads: NDArray[np.intp], every: int) -> None:
        self._loads = loads
        self._others = np.setdiff1d(np.arange(width), loads)
        self._rates = np.array([[min(1.0, every / 1e9 / memory)] for memory in _MEMORIES])
        self._pace = Pace(max(10 * every, 10_000_000_000))
        size = 1 + 2 * len(loads) * (1 + len(_MEMORIES))
        self.centre, self.scale, self.count = np.zeros(len(loads)), np.zeros(len(loads)), np.zeros(1)
        self.weights, self.gain = np.zeros((width, size)), np.eye(size) / _RIDGE
        self.smooth = np.full((len(_MEMORIES), 2 * len(loads)), np.nan)
        self.features = np.full(size, np.nan)

    def observe(self, time: int, row: Array) -> None:
        """Move the smoothed past on, once per time."""
        step = self._pace.step(time)
        if step in (Step.AGAIN, Step.LATE):
            return
        away = (row[self._loads] - self.centre) / np.where(self.scale > 0, self.scale, 1.0)
        now = np.concatenate([away, away * away])
        if step is Step.JUMP:
            self.smooth[:] = np.nan
        moved = np.where(np.isnan(self.smooth), now, self.smooth + self._rates * (now - self.smooth))
        self.smooth = np.where(np.isfinite(now), moved, self.smooth)
        self.features = np.concatenate([[1.0], now, self.smooth.ravel()])

    def learn(self, time: int, row: Array) -> None:
        """One recursive step for the signals that are known."""
        if self.count[0] < 1:
            self.centre = np.where(np.isfinite(row[self._loads]), row[self._loads], 0.0)
            self.scale = np.maximum(np.abs(self.centre), 1e-9)
        self.observe(time, row)
        if not np.isfinite(self.features).all():
            return
        self.count += 1
        known = self._others[np.isfinite(row[self._others])]
        pushed = self.gain @ self.features
        step = pushed / (1.0 + self.features @ pushed)
        error = row[known] - self.weights[known] @ self.features
        self.weights[known] += error[:, None] * step
        self.gain -= np.outer(step, pushed)

    def explain(self, row: Array) -> Array:
        """``row`` without what the load explains; NaN where the load is not known."""
        rest = row.copy()
        rest[self._others] -= self.weights[self._others] @ self.features
        return rest

    def arrays(self) -> dict[str, Array]:
        """Learned and remembered."""
        return {name: getattr(self, name) for name in _ARRAYS} | {"last": np.array(self._pace.last or -1)}

    def take(self, arrays: dict[str, Array]) -> None:
        """Take up what ``arrays`` gave."""
        for name in _ARRAYS:
            setattr(self, name, arrays[name].copy())
        last = int(arrays["last"])
        self._pace.last = last if last >= 0 else None
