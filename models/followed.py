"""Charts of a machine's signals against a slowly followed baseline: for commissioning that was short."""

from __future__ import annotations

import numpy as np

from models.calibrate import independent
from models.promise import Array

_SMOOTHING = 0.05
_FOLLOWING = 0.01
_TIGHT = 0.8  # ν^0.8: slow signals are trusted less than their degrees of freedom would say
_LIMIT = 5.5
_WANDERING, _MOST_WANDER = 0.004, 16.0  # a row; a squared deviation counts for no more
_FARTHEST = 10.0  # sigmas: a baseline follows no further than this from where commissioning left it
_NEVER = 25.0  # sigmas from commissioning: beyond the limit, however slow the signal and its way there
_FREEZE = 0.7
_LONE = 8.0  # sigmas: a jump this far counts from its second row on, so one wild reading is nothing
_STEP = 2.0
_NORM = 8.0
_ARRAYS = ("centre", "scale", "unit", "freedom", "limit", "following")
_MOVES = ("smooth", "base", "wander", "last", "beyond")


class Followed:
    """Each signal's EWMA against a baseline that follows it, as normal deviates, fused by an 8-norm.

    A short commissioning knows a fast signal well and a slow one (a temperature) hardly: of n rows only n/τ are
    independent (τ: integrated autocorrelation time, A. Sokal 1997). The spread of a smoothed value is taken with
    that τ, and a deviation counts by Student's t with n/τ - 1 degrees of freedom, turned into a normal deviate
    by D. L. Wallace's formula (Ann. Math. Stat. 30, 1959). So a slow signal has to go much further. The baseline
    of a signal follows within a quarter of commissioning's length, by ten sigmas at most, and stands still while that
    signal is itself beyond 0.7 of the limit. A signal that *wanders* about its baseline more than commissioning
    said is believed less: the mean square of its deviation is followed too, in about 250 rows, and widens its
    spread. Parameters were chosen on ``skab`` and ``skab_shift`` of the development data, see docs/models.md.
    """

    def __init__(self, width: int) -> None:
        self.centre, self.scale = np.zeros(width), np.ones(width)
        self.unit, self.freedom = np.ones(width), np.ones(width)
        self.limit, self.following = np.array(np.nan), np.array(_FOLLOWING)
        self.restart()

    def restart(self) -> None:
        """Forget what is remembered; the baseline stays where normal running was last seen."""
        width = len(self.centre)
        self.smooth = np.full(width, np.nan)
        self.last = np.full(width, np.nan)
        self.beyond = np.zeros(width, dtype=bool)
        if not hasattr(self, "base"):
            self.base, self.wander = np.zeros(width), np.ones(width)

    def fit(self, rows: Array) -> None:
        """Learn from ``rows`` (k, width); the limit comes from the last 30 %, replayed."""
        self.centre, self.scale = np.nanmean(rows, axis=0), np.nanstd(rows, axis=0)
        count = np.array([independent(column) for column in rows.T])
        tau = len(rows) / count
        following = min(_FOLLOWING, 4.0 / len(rows))
        self.following = np.array(following)
        variance = _SMOOTHING / (2 - _SMOOTHING) + following / (2 - following)
        self.unit = np.sqrt(np.minimum(1.0, variance * tau))
        self.freedom = np.maximum(count - 1.0, 1.0) ** _TIGHT
        self.base, self.wander = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
        self.restart()
        self.limit = np.array(np.inf)
        seen = np.empty(len(rows))
        for i, row in enumerate(rows):
            seen[i] = self._statistic(self._deviates(row))
            self.follow()
        held = seen[int(len(rows) * 0.7) :]
        self.limit = np.array(max(held.mean() + 4 * held.std(), held.max(), _LIMIT))

    def step(self, row: Array) -> float:
        """The statistic over its limit after ``row`` (width,), NaN where missing."""
        found = self._statistic(self._deviates(row)) / self.limit
        farthest = np.abs(np.nan_to_num(self.smooth)).max() / _NEVER
        return float(max(found, farthest))

    def follow(self) -> None:
        """Let baseline and wandering follow the last row, but for signals that are themselves off."""
        calm = np.abs(self._signed()) <= _FREEZE * self.limit
        away = np.clip(np.where(np.isfinite(self.last), self.last - self.base, 0.0), -_STEP, _STEP)
        self.base = self.base + np.where(calm, _FOLLOWING * away, 0.0)
        wander = np.where(np.isfinite(self.smooth), (self.smooth - self.base) / self.unit, 0.0) ** 2
        wander = np.minimum(wander, _MOST_WANDER)
        self.wander = self.wander + np.where(calm, _WANDERING * (wander - self.wander), 0.0)

    def parts(self) -> tuple[Array, Array]:
        """Each signal's share of the last statistic (unscaled) and its deviation in sigmas."""
        signed = self._signed()
        return np.abs(signed) ** _NORM, np.where(np.isfinite(self.smooth), self.smooth - self.base, 0.0)

    def arrays(self) -> dict[str, Array]:
        """Learned and remembered."""
        return {name: np.asarray(getattr(self, name)) for name in _ARRAYS + _MOVES}

    def take(self, arrays: dict[str, Array]) -> None:
        """Take up what ``arrays`` gave."""
        for name in _ARRAYS + _MOVES:
            setattr(self, name, arrays[name])

    def _deviates(self, row: Array) -> Array:
        away = (row - self.centre) / self.scale
        beyond = np.abs(away - self.base) > _LONE
        away = np.where(beyond & ~self.beyond, self.base, away)
        self.last, self.beyond = away, beyond
        moved = self.smooth + _SMOOTHING * (away - self.smooth)
        self.smooth = np.where(np.isfinite(away), np.where(np.isnan(self.smooth), away, moved), self.smooth)
        return np.where(np.isfinite(away), self._signed(), 0.0)

    def _signed(self) -> Array:
        unit = self.unit * np.sqrt(np.maximum(1.0, self.wander))
        away = np.where(np.isfinite(self.smooth), self.smooth - self.base, 0.0) / unit
        nu = self.freedom
        return np.asarray(
            np.sign(away) * (8 * nu + 1) / (8 * nu + 3) * np.sqrt(nu * np.log1p(away * away / nu))
        )

    @staticmethod
    def _statistic(deviates: Array) -> float:
        return float((np.abs(deviates) ** _NORM).sum() ** (1 / _NORM))
