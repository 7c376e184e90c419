"""One Hotelling T² per machine over its smoothed signals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.calibrate import limit_for, robust_scale, shrunk_covariance
from models.pace import Pace, Step
from models.promise import Array, Contribution, ModelError, as_score
from models.rows import Rows
from models.state import expect, pack, unpack

_FIT_SHARE = 0.7
_FEWEST_WHOLE = 30


class MachineT2:
    """How far the machine's smoothed signals, taken together, stand from where they stood in commissioning.

    Multivariate EWMA chart (C. A. Lowry et al., Technometrics 34(1), 1992) with a Ledoit–Wolf shrunk
    covariance (J. Multivariate Analysis 88(2), 2004). The first 70 % of commissioning are fitted, the limit
    comes from the other 30 % at the stated false-alarm rate. A signal that was constant, mostly missing or
    still trending in commissioning says nothing about the machine and is left out (``left_out`` says why); a
    missing value takes its signal out of the sum, it is never read as zero. Contributions are d_j (S⁻¹d)_j
    (J. A. Westerhuis et al., Chemometrics 51(1), 2000).
    """

    kind, version = "t2", 1

    def __init__(
        self,
        signals: Sequence[str],
        *,
        asset: str,
        every: int,
        smoothing: float = 0.1,
        false_alarms_per_day: float = 0.01,
        top: int = 3,
    ) -> None:
        self.signals = tuple(signals)
        self.outputs: tuple[str, ...] = (f"{asset}/anomaly",)
        self._smoothing, self._top = smoothing, top
        self._rate = false_alarms_per_day * every / 86_400e9 / smoothing
        n = len(self.signals)
        # learned
        self._rows = Rows(n)
        self._centre = np.zeros(n)
        self._scale = np.full(n, np.nan)
        self._covariance = np.eye(n)
        self._limit = np.nan
        self.left_out: dict[str, str] = {}
        # remembered
        self._pace = Pace(max(10 * every, 10_000_000_000))
        self._smooth = np.full(n, np.nan)
        self._away = np.zeros(n)
        self._parts = np.zeros(n)
        # derived from what is learned, for the signals that are present
        self._precision: tuple[bytes, Array] = (b"", np.eye(n))

    @property
    def ready(self) -> bool:
        """Whether ``fit`` has set a limit."""
        return bool(np.isfinite(self._limit))

    @property
    def seen(self) -> int:
        """Rows learned so far."""
        return self._rows.seen

    def learn(self, time: int, row: Array) -> None:
        """Keep the smoothed row for ``fit``; once fitted, what is normal stands."""
        if self._observe(time, row) and not self.ready:
            self._rows.add(np.where(np.isfinite(row), self._smooth, np.nan))

    def fit(self) -> None:
        """Fit on the first 70 % of what was learned, calibrate on the rest."""
        rows = self._rows.array()
        cut = int(len(rows) * _FIT_SHARE)
        if cut < 2 * len(self.signals) + 20:
            raise ModelError(f"{len(rows)} rows are too few to learn {len(self.signals)} signals from")
        self._centre, self._scale, self.left_out = robust_scale(self.signals, rows[:cut], rows[cut:])
        if not np.isfinite(self._scale).any():
            raise ModelError(f"no signal to learn from: {self.left_out}")
        away = (rows - self._centre) / self._scale
        self._covariance = shrunk_covariance(away[:cut])
        self._precision = (b"", self._covariance)
        held_out = away[cut:]
        whole = held_out[~np.isnan(held_out[:, np.isfinite(self._scale)]).any(axis=1)]
        held_out = whole if len(whole) >= _FEWEST_WHOLE else held_out
        statistic = np.array([self._t2(one) for one in held_out])
        self._limit = limit_for(statistic[np.isfinite(statistic)], self._rate)
        self._rows.let_go()

    def score(self, time: int, row: Array) -> Array:
        """√T² over its limit, as 0…1, (1,)."""
        self._observe(time, row)
        if not self.ready:
            return np.zeros(1)
        away = np.where(np.isfinite(row), (self._smooth - self._centre) / self._scale, np.nan)
        return as_score(np.atleast_1d(self._t2(away) / self._limit))

    def why(self, output: int = 0) -> tuple[Contribution, ...]:
        """The signals that carry the last score."""
        assert output == 0, "a machine has one score"
        whole = self._parts.sum()
        if not whole > 0:
            return ()
        first = np.argsort(-self._parts, kind="stable")[: self._top]
        return tuple(
            Contribution(self.signals[i], float(self._parts[i] / whole), float(self._away[i]))
            for i in first
            if self._parts[i] > 0
        )

    def _observe(self, time: int, row: Array) -> bool:
        step = self._pace.step(time)
        if step is Step.JUMP:
            self._smooth[:] = np.nan
        if step in (Step.NEXT, Step.JUMP):
            moved = self._smooth + self._smoothing * (row - self._smooth)
            fresh = np.where(np.isnan(self._smooth), row, moved)
            self._smooth = np.where(np.isfinite(row), fresh, self._smooth)
        return step is not Step.LATE

    def _t2(self, away: Array) -> float:
        """√T² of one standardised row; NaN leaves a signal out, all of them give NaN. Remembers the parts."""
        present = np.isfinite(away)
        key = present.tobytes()
        if self._precision[0] != key:
            # A signal out of the sum is one whose variance is unknown: huge, and independent of the others.
            both = np.outer(present, present)
            self._precision = (key, np.linalg.inv(np.where(both, self._covariance, np.eye(len(away)))))
        self._away = np.where(present, away, 0.0)
        self._parts = np.maximum(self._away * (self._precision[1] @ self._away), 0.0)
        return float(np.sqrt(self._parts.sum())) if present.any() else np.nan

    def dump(self) -> bytes:
        """Learned and remembered, as an NPZ; the commissioning rows go with it until they are fitted."""
        head: dict[str, Any] = {
            "kind": self.kind,
            "version": self.version,
            "signals": self.signals,
            "time": self._pace.last,
            "left_out": self.left_out,
            "seen": self._rows.seen,
            "stride": self._rows.stride,
        }
        arrays = {name: np.asarray(getattr(self, f"_{name}")) for name in _ARRAYS}
        return pack(head, arrays | {"rows": self._rows.array()})

    def load(self, data: bytes) -> None:
        """Take up a dump of the same signals."""
        head, arrays = unpack(data)
        expect(head, self.kind, self.version, self.signals)
        self._rows.take(arrays["rows"], head["seen"], head["stride"])
        for name in _ARRAYS:
            setattr(self, f"_{name}", arrays[name])
        self._limit = float(arrays["limit"])
        self._precision = (b"", self._covariance)
        self._pace.last, self.left_out = head["time"], head["left_out"]


_ARRAYS = ("centre", "scale", "covariance", "limit", "smooth", "away", "parts")
