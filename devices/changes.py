"""What changed between readings: too fast to be true, or too little to be told. Pure: time is an argument (s)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from devices.batch import Reason, uncertain

_SLOPE = uncertain(Reason.SLOPE)


class SlopeLimit:
    """A value that moved faster than its limit is uncertain, unless the next one says the same.

    A lone spike is thus one uncertain sample, and a true step too; what came before a spike still counts.
    ``limits`` are engineering units per second, None where there is none.
    """

    def __init__(self, limits: Sequence[float | None]) -> None:
        limited = [(i, limit) for i, limit in enumerate(limits) if limit is not None]
        self._at = np.array([i for i, _ in limited], dtype=np.intp)
        self._limit = np.array([limit for _, limit in limited], dtype=np.float64)
        self._believed, self._believed_at = np.full((2, len(limited)), np.nan)
        self._doubted, self._doubted_at = np.full((2, len(limited)), np.nan)

    def apply(self, now: float, values: NDArray[np.float64], quality: NDArray[np.uint8]) -> None:
        """Mark what moved too fast from the reading before (messages may come out of order); ``quality`` changes."""
        x, good = values[self._at], quality[self._at] == 0
        near = np.abs(x - self._believed) <= self._limit * np.abs(now - self._believed_at)
        again = np.abs(x - self._doubted) <= self._limit * np.abs(now - self._doubted_at)
        believed = good & (near | again | np.isnan(self._believed))
        doubted = good & ~believed
        self._believed[believed], self._believed_at[believed] = x[believed], now
        self._doubted[good] = np.nan
        self._doubted[doubted], self._doubted_at[doubted] = x[doubted], now
        quality[self._at[doubted]] = _SLOPE


class Changes:
    """Report by exception: a reading is told if a value left its deadband, a quality changed, or it was silent long.

    ``deadbands`` are in engineering units; a change of exactly so much is none. ``silence`` is the longest time
    between two reports, ``period`` the time to the next reading.
    """

    def __init__(self, deadbands: Sequence[float], silence: float, period: float) -> None:
        self._deadbands = np.array(deadbands, dtype=np.float64)
        self._silence = silence - period
        self._told: tuple[NDArray[np.float64], NDArray[np.uint8]] | None = None
        self._told_at = 0.0

    def worth(self, now: float, values: NDArray[np.float64], quality: NDArray[np.uint8]) -> bool:
        """Is this reading to be told? If so it counts as told."""
        if self._told is not None and now - self._told_at <= self._silence:
            before, flaws = self._told
            moved = np.abs(values - before) > self._deadbands  # false where both are absent
            if not moved.any() and np.array_equal(quality, flaws):
                return False
        self._told, self._told_at = (values, quality), now
        return True

    def forget(self) -> None:
        """What was told did not arrive: tell the next reading."""
        self._told = None
