"""Slow drift of every signal's residual, all signals at once: a two-sided CUSUM over means of blocks."""

from __future__ import annotations

import numpy as np

from models.calibrate import trends
from models.promise import Array

_BLOCKS = 20
_FEWEST = 8
_STATE = ("total", "known", "rows", "blocks", "centre", "spread")


class Cusum:
    """Two-sided tabular CUSUM of standardised values, (n,) columns.

    E. S. Page, Biometrika 41, 1954; D. C. Montgomery, "Introduction to Statistical Quality Control", ch. 9. Half a
    sigma of slack and a limit of ten sigmas let white noise through once in about 10⁵ rows; a shift of one
    sigma is found in about 20.
    """

    def __init__(self, width: int, slack: float = 0.5, limit: float = 10.0) -> None:
        self._slack, self._limit = slack, limit
        self.up, self.down = np.zeros(width), np.zeros(width)

    def step(self, sigmas: Array) -> Array:
        """The greater sum over the limit, (n,), 1 and more is drift; NaN leaves a signal as it was."""
        known = np.nan_to_num(sigmas)
        slack = np.where(np.isfinite(sigmas), self._slack, 0.0)
        self.up = np.maximum(0.0, self.up + known - slack)
        self.down = np.maximum(0.0, self.down - known - slack)
        return np.asarray(np.maximum(self.up, self.down) / self._limit)

    def direction(self) -> Array:
        """+1 where the signal drifts up, -1 down, (n,)."""
        return np.where(self.up >= self.down, 1.0, -1.0)


class Baseline:
    """Where each signal stood in commissioning, by means over blocks of rows, and whether it has left since, (n,).

    Commissioning is cut into twenty blocks. Their means say whether a signal *still trends* at its end; afterwards
    every block's mean, in sigmas of those, goes into a ``Cusum`` with a sigma of slack. A block evens out what is
    quicker than itself, so what is left is drift: a machine that ages, a season, a sensor that goes off.
    """

    def __init__(self, width: int, needed: int) -> None:
        self._size = max(1, needed // _BLOCKS)
        self._cusum = Cusum(width, slack=1.0, limit=8.0)
        self.total, self.known, self.rows = np.zeros(width), np.zeros(width), np.zeros(1)
        self.blocks = np.empty((0, width))
        self.centre, self.spread = np.full(width, np.nan), np.full(width, np.nan)
        self.drift = np.zeros(width)

    def step(self, row: Array) -> None:
        """Take ``row`` (n,) in; at the end of a block its mean is kept, or judged once ``fit`` is through."""
        good = np.isfinite(row)
        self.total += np.where(good, row, 0.0)
        self.known += good
        self.rows += 1
        if self.rows[0] < self._size:
            return
        enough = self.known >= 0.5 * self._size
        mean = np.where(enough, self.total / np.maximum(self.known, 1.0), np.nan)
        self.total, self.known, self.rows = np.zeros_like(mean), np.zeros_like(mean), np.zeros(1)
        if np.isnan(self.centre).all():
            self.blocks = np.vstack([self.blocks, mean])[-2 * _BLOCKS :]
        else:
            self.drift = self._cusum.step(np.clip((mean - self.centre) / self.spread, -4.0, 4.0))

    def trending(self) -> list[int]:
        """The signals whose block means all go one way at the end of commissioning."""
        if len(self.blocks) < _FEWEST:
            return []
        columns = enumerate(self.blocks[-_BLOCKS:].T)
        return [i for i, column in columns if np.isfinite(column).all() and trends(column)]

    def fit(self) -> None:
        """What stood in commissioning is the baseline from here on; too few blocks say nothing."""
        count = np.isfinite(self.blocks).sum(axis=0)
        good = count >= _FEWEST
        blocks = np.where(good, self.blocks, 0.0)
        with np.errstate(invalid="ignore"):
            self.centre = np.where(good, np.nansum(blocks, axis=0) / np.maximum(count, 1), np.nan)
            away = np.where(np.isfinite(self.blocks), self.blocks - self.centre, 0.0)
            spread = np.sqrt((away**2).sum(axis=0) / np.maximum(count - 1, 1)) * (
                1 + 2 / np.maximum(count, 1)
            )
        self.spread = np.where(good & (spread > 1e-9 * np.abs(self.centre)), spread, np.nan)
        self.blocks = np.empty((0, len(self.centre)))

    def drifted(self) -> list[tuple[int, float]]:
        """The signals that have left their baseline, and the way they went (+1 up, -1 down)."""
        way = self._cusum.direction()
        return [(int(i), float(way[i])) for i in np.flatnonzero(self.drift >= 1.0)]

    def forget(self) -> None:
        """Nobody has drifted yet."""
        self._cusum.up[:], self._cusum.down[:], self.drift[:] = 0.0, 0.0, 0.0

    def arrays(self) -> dict[str, Array]:
        """Learned and remembered."""
        own = {name: getattr(self, name) for name in _STATE}
        return own | {"up": self._cusum.up, "down": self._cusum.down, "drift": self.drift}

    def take(self, arrays: dict[str, Array]) -> None:
        """Take up what ``arrays`` gave."""
        for name in _STATE:
            setattr(self, name, arrays[name].copy())
        self._cusum.up, self._cusum.down = arrays["up"].copy(), arrays["down"].copy()
        self.drift = arrays["drift"].copy()
