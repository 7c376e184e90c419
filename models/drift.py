"""Slow drift of every signal's residual, all signals at once: two-sided CUSUM and Page–Hinkley."""

from __future__ import annotations

import numpy as np

from models.promise import Array


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


class PageHinkley:
    """The sum of deviations from the running mean against its own extremes, (n,) columns.

    D. V. Hinkley, Biometrika 58(3), 1971. Needs no known mean; the values' unit is their own ``slack`` and ``limit``.
    """

    def __init__(self, width: int, slack: float = 0.1, limit: float = 50.0) -> None:
        self._slack, self._limit = slack, limit
        self._count, self._mean = np.zeros(width), np.zeros(width)
        self._rise, self._least = np.zeros(width), np.zeros(width)
        self._fall, self._most = np.zeros(width), np.zeros(width)

    def step(self, values: Array) -> Array:
        """The greater excursion over the limit, (n,), 1 and more is drift; NaN leaves a signal as it was."""
        known = np.isfinite(values)
        self._count += known
        away = np.where(known, values - self._mean, 0.0)
        self._mean += away / np.maximum(self._count, 1.0)
        away = np.where(known, values - self._mean, 0.0)
        slack = np.where(known, self._slack, 0.0)
        self._rise += away - slack
        self._fall += away + slack
        self._least = np.minimum(self._least, self._rise)
        self._most = np.maximum(self._most, self._fall)
        return np.asarray(np.maximum(self._rise - self._least, self._most - self._fall) / self._limit)
