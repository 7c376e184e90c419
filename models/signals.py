"""The per-signal set: five views of every signal, ranked in its own history, fused into one score."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.autoregression import ORDER, Autoregression
from models.onset import Onset
from models.pace import Pace, Step
from models.promise import Array, Contribution, as_score
from models.rank import TailRank
from models.state import expect, pack, unpack

_VIEWS = 5
_FAST, _SLOW, _QUICK = 0.02, 0.003, 0.005
_FEW, _SKIP = 30, 50
_LIMIT = 6.5
_LEVEL, _LEVEL_NEPERS = 0.49, 3.0
_LEARNED = ("count", "mean", "var", "change_var", "log_mean", "log_var", "still_most")
_REMEMBERED = ("fast", "fast_var", "last", "still", "newest", "ratio", "level")


class SignalWatch:
    """Watches every signal of a set by itself, (n,) columns; about 3 kB a signal.

    Views, each a magnitude in its own sigmas: the value; its change; the fast mean's distance from the slow one;
    the fast spread's distance from the usual one (logarithms); the AR(8) forecast's error. Each is ranked in its
    own fading history (``TailRank``); the two greatest surprises of the first four add up, and their limit is 6.5: two
    views beyond what one row in 1 800 shows. The score reaches 0.5 at an *onset* only, then the signal keeps
    silent for the refractory time; else it stays under 0.5 and follows the spread's distance. What is learned is
    winsorised. ``still`` names signals that stand still far longer than they ever did.
    """

    kind, version = "signals", 1

    def __init__(self, signals: Sequence[str], *, every: int, rows: int = 600, refractory: int = 200) -> None:
        """``rows`` a signal must have learned from before it is scored; ``refractory`` rows of silence."""
        self.signals = tuple(signals)
        self.outputs = tuple(f"{name}_anomaly" for name in self.signals)
        n = len(self.signals)
        self._rows, self._open = rows, False
        # learned
        self._count, self._mean, self._var, self._change_var = (np.zeros(n) for _ in range(4))
        self._log_mean, self._log_var, self._still_most = (np.zeros(n) for _ in range(3))
        self._forecast, self._rank = Autoregression(n), TailRank(n * _VIEWS)
        # remembered
        self._pace, self._learned = Pace(max(10 * every, 10_000_000_000)), -1
        self._onset = Onset(n, refractory)
        self._fast, self._fast_var = np.full(n, np.nan), np.zeros(n)
        self._last, self._newest, self._still = np.full(n, np.nan), np.zeros(n), np.zeros(n)
        self._ratio, self._level, self._lags = np.zeros(n), np.zeros(n), np.zeros((n, ORDER))
        self._views, self._row, self._residual = np.full((_VIEWS, n), np.nan), np.full(n, np.nan), np.zeros(n)
        self._change = np.zeros(n)

    @property
    def ready(self) -> bool:
        """Whether commissioning is over and some signal has seen enough."""
        return self._open and bool((self._count >= self._rows).any())

    @property
    def still(self) -> tuple[str, ...]:
        """Signals that have not moved for four times as long as they ever did while they were learned."""
        stuck = (self._still > 4 * self._still_most + 20) & (self._var > 0)
        return tuple(name for name, is_stuck in zip(self.signals, stuck, strict=True) if is_stuck)

    def learn(self, time: int, row: Array) -> None:
        """Take the row into every history, winsorised."""
        if not self._observe(time, row) or self._learned == time:
            return
        self._learned = time
        known = np.isfinite(self._row)
        first = known & (self._count == 0)
        self._count += known
        slow, quick = (np.maximum(rate, 1.0 / np.maximum(self._count, 1.0)) for rate in (_SLOW, _QUICK))
        warm = self._count > _FEW
        self._mean = np.where(first, self._row, self._mean)
        away = np.where(known, self._row - self._mean, 0.0)
        away = _winsorise(away, 3.0 * np.sqrt(self._var), warm)
        change = _winsorise(self._change, 4.0 * np.sqrt(self._change_var), warm)
        spread_known = known & (self._fast_var > 0)
        self._log_mean = np.where(spread_known & (self._log_mean == 0), self._log_fast(), self._log_mean)
        log_away = np.where(spread_known, self._log_fast() - self._log_mean, 0.0)
        log_away = _winsorise(log_away, 3.0 * np.sqrt(self._log_var) + 0.01, warm)
        rates = np.where(known, slow, 0.0)
        self._mean = self._mean + rates * away
        self._var = self._var + rates * (away * away * (1.0 - slow) - self._var)
        self._change_var = self._change_var + np.where(known, quick, 0.0) * (
            change * change - self._change_var
        )
        self._log_mean = self._log_mean + rates * log_away
        self._log_var = self._log_var + rates * (log_away * log_away - self._log_var)
        self._forecast.learn(self._lags, self._residual, quick, known & (self._var > 0))
        self._rank.learn(np.where(self._count > _SKIP, self._views, np.nan).ravel())
        if not self._open:
            self._still_most = np.maximum(self._still_most, self._still)

    def fit(self) -> None:
        """End commissioning: signals that have seen enough rows are scored from here on."""
        self._open = True

    def score(self, time: int, row: Array) -> Array:
        """0.5 or more at an onset, else under 0.5, (n,)."""
        self._observe(time, row)
        judged = self._open & (self._count >= self._rows) & np.isfinite(row)
        onset = as_score(np.maximum(self._ratio, 1.0))
        return np.where(judged, np.where(self._ratio > 1.0, onset, self._level), 0.0)

    def why(self, output: int = 0) -> tuple[Contribution, ...]:
        """A per-signal score has one cause: the signal itself."""
        spread = np.sqrt(self._var[output])
        away = self._row[output] - self._mean[output]
        sigmas = float(away / spread) if spread > 0 and np.isfinite(away) else 0.0
        return (Contribution(self.signals[output], 1.0, sigmas),)

    def _observe(self, time: int, row: Array) -> bool:
        """See the row with what was learned before it, once per time; False for a late row."""
        step = self._pace.step(time)
        if step is Step.JUMP:
            self._restart()
        if step in (Step.NEXT, Step.JUMP):
            self._see(np.where(np.isfinite(row), row, np.nan))
        return step is not Step.LATE

    def _restart(self) -> None:
        self._fast = np.where(self._count > 0, self._mean, np.nan)
        self._fast_var = np.where(self._log_var > 0, np.exp(self._log_mean), 0.0)
        self._last = np.full(len(self.signals), np.nan)
        self._lags[:] = self._newest[:] = self._still[:] = self._onset.wait[:] = 0.0

    def _see(self, row: Array) -> None:
        known, spread = np.isfinite(row), np.sqrt(self._var)
        change = np.where(known & np.isfinite(self._last), row - self._last, 0.0)
        self._still = np.where(
            known & (row == self._last), self._still + 1, np.where(known, 0.0, self._still)
        )
        self._lags = np.hstack([self._newest[:, None], self._lags[:, :-1]])
        value = _over(np.where(known, row - self._mean, 0.0), spread)
        self._newest = np.clip(value, -10.0, 10.0)
        self._residual = self._forecast.residual(self._lags, self._newest)
        fast = np.where(np.isnan(self._fast), row, self._fast + _FAST * (row - self._fast))
        self._fast = np.where(known, fast, self._fast)
        square = np.where(known, (row - self._fast) ** 2, self._fast_var)
        self._fast_var = self._fast_var + _FAST * (square - self._fast_var)
        self._views = np.abs(
            [
                value,
                _over(change, np.sqrt(self._change_var)),
                _over(np.where(known, self._fast - self._mean, 0.0), spread),
                _over(self._log_fast() - self._log_mean, np.sqrt(self._log_var)),
                _over(self._residual, np.sqrt(self._forecast.variance)),
            ]
        )
        self._views[:, ~known] = np.nan
        self._row, self._change = row, change
        self._last = np.where(known, row, self._last)
        self._fuse()

    def _fuse(self) -> None:
        surprise = self._rank.surprise(self._views.ravel()).reshape(_VIEWS, -1)
        surprise[-1] = 0.0  # the forecast's error fires too often alone to be summed: see docs/models.md
        ratio = np.sort(surprise, axis=0)[-2:].sum(axis=0) / _LIMIT
        judged = self._open & (self._count >= self._rows)
        starts = self._onset.step((ratio > 1.0) & judged)
        self._ratio = np.where(starts, ratio, 0.0)
        spread = np.where(self._log_var > 0, np.abs(self._log_fast() - self._log_mean), 0.0)
        self._level = _LEVEL * spread / (spread + _LEVEL_NEPERS)

    def _log_fast(self) -> Array:
        return np.asarray(np.log(self._fast_var + 1e-9 * self._var + 1e-300))

    def dump(self) -> bytes:
        """Learned and remembered, as an NPZ."""
        head = {
            "kind": self.kind,
            "version": self.version,
            "signals": self.signals,
            "time": self._pace.last,
            "learned": self._learned,
            "open": self._open,
            "weight": float(self._rank.weight),
        }
        return pack(head, self._columns())

    def load(self, data: bytes) -> None:
        """Take up a dump; signals that are new start cold, those that are gone are forgotten."""
        head, arrays = unpack(data)
        expect(head, self.kind, self.version, tuple(head["signals"]))
        place = {name: i for i, name in enumerate(head["signals"])}
        here = [i for i, name in enumerate(self.signals) if name in place]
        there = [place[self.signals[i]] for i in here]
        for name, column in self._columns().items():
            column[here] = arrays[name][there]
        self._rank.weight = np.float32(head["weight"])
        self._pace.last, self._learned, self._open = head["time"], head["learned"], head["open"]

    def _columns(self) -> dict[str, NDArray[Any]]:
        """Everything by name, signals first: the arrays themselves, or views of them."""
        own = {name: getattr(self, f"_{name}") for name in _LEARNED + _REMEMBERED}
        forecast = {f"ar_{name}": getattr(self._forecast, name) for name in ("weights", "gain", "variance")}
        rank = np.moveaxis(self._rank.counts.reshape(_VIEWS, len(self.signals), -1), 0, 1)
        last = {"row": self._row, "residual": self._residual, "change": self._change, "lags": self._lags}
        return own | forecast | last | {"rank": rank, "views": self._views.T, "wait": self._onset.wait}


def _over(value: Array, spread: Array) -> Array:
    """``value`` in units of ``spread``; 0 where no spread is known."""
    return np.asarray(np.where(spread > 0, value, 0.0) / np.where(spread > 0, spread, 1.0))


def _winsorise(value: Array, reach: Array, warm: NDArray[np.bool_]) -> Array:
    return np.where(warm, np.clip(value, -reach, reach), value)
