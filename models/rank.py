"""How rare a magnitude is by its own history: a decaying histogram per signal, all signals at once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.promise import Array

_BINS = 64
_LOWEST, _HIGHEST = -2.0, 3.0  # decades
_STEP = (_HIGHEST - _LOWEST) / _BINS
_BEYOND = 4.0


class TailRank:
    """Empirical tail rank of magnitudes ≥ 0, (m,) columns, 64 logarithmic bins over five decades, float32.

    The surprise is -log10 of the share of history at or beyond the value; beyond the greatest value seen it
    goes on by four a decade. After ECOD (Z. Li et al., IEEE TKDE 35(12), 2022), streamed; history fades by 1/2000
    a row.
    """

    def __init__(self, width: int, keep: float = 0.9995) -> None:
        self.counts = np.zeros((width, _BINS), dtype=np.float32)
        self.weight = np.float32(1.0)
        self._keep, self._each = np.float32(keep), np.arange(width)

    def surprise(self, magnitude: Array) -> Array:
        """-log10 of the tail share, (m,); NaN gives 0."""
        place = self._place(magnitude)
        bin_ = place.astype(np.intp)
        tails = np.cumsum(self.counts[:, ::-1], axis=1)[:, ::-1]
        inside = self.counts[self._each, bin_]
        tail = tails[self._each, bin_] - (place - bin_) * inside
        share = (tail + 0.5 * self.weight) / (tails[:, 0] + self.weight)
        highest = _BINS - np.argmax(self.counts[:, ::-1] > 0.02 * self.weight, axis=1)
        beyond = np.maximum(place - highest, 0.0) * (_STEP * _BEYOND)
        found = np.where(tails[:, 0] > 0, beyond - np.log10(share), 0.0)
        return np.asarray(np.where(np.isfinite(magnitude), found, 0.0))

    def learn(self, magnitude: Array) -> None:
        """Count finite magnitudes; the newest weighs more and more, which is the fading."""
        good = np.isfinite(magnitude)
        self.weight = np.float32(self.weight / self._keep)
        self.counts[self._each[good], self._place(magnitude)[good].astype(np.intp)] += self.weight
        if self.weight > 1e6:
            self.counts /= self.weight
            self.weight = np.float32(1.0)

    def take(self, counts: NDArray[np.float32], weight: float) -> None:
        """Take up counts and weight from before a restart."""
        self.counts, self.weight = counts.copy(), np.float32(weight)

    @staticmethod
    def _place(magnitude: Array) -> Array:
        decades = np.log10(np.maximum(np.nan_to_num(magnitude), 1e-9))
        return np.asarray(np.clip((decades - _LOWEST) / _STEP, 0.0, _BINS - 1e-6))
