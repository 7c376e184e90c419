"""From a score to an alarm: one onset, then silence; or a latch with on-delay and deadband."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.promise import LIMIT, Array

Mask = NDArray[np.bool_]


class Onset:
    """Lets the first row beyond the limit through, then nothing for ``refractory`` rows, (n,) columns."""

    def __init__(self, width: int, refractory: int) -> None:
        self._refractory = refractory
        self.wait = np.zeros(width)

    def step(self, beyond: Mask) -> Mask:
        """Which signals have an onset now."""
        self.wait = np.maximum(self.wait - 1, 0)
        starts = beyond & (self.wait == 0)
        self.wait[starts] = self._refractory + 1
        return np.asarray(starts)


def latch(scores: Array, *, hold: int = 3, clear: float = 0.375) -> Mask:
    """An alarm over ``scores`` (k,), as a threshold rule with on-delay and deadband raises it.

    On after ``hold`` rows at or over 0.5 in a row, off after ``hold`` rows under ``clear`` (0.6 of the limit).
    """
    on, above, below, active = np.zeros(len(scores), dtype=bool), 0, 0, False
    for i, score in enumerate(scores):
        above = above + 1 if score >= LIMIT else 0
        below = below + 1 if score < clear else 0
        active = below < hold if active else above >= hold
        on[i] = active
    return on
