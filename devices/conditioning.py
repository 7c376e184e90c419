"""From what a device says to engineering values with a quality. Pure, on whole batches."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from devices.batch import Reason, bad

_DECODE, _OUT_OF_RANGE, _SENTINEL = bad(Reason.DECODE), bad(Reason.OUT_OF_RANGE), bad(Reason.SENTINEL)


class Conditioned(Protocol):
    """What a point states about its numbers."""

    @property
    def scale(self) -> float: ...
    @property
    def offset(self) -> float: ...
    @property
    def sentinels(self) -> Sequence[float]:
        """Raw numbers that mean "not available"."""
        ...

    @property
    def range(self) -> tuple[float, float] | None:
        """Plausible engineering values, both ends included."""
        ...


class Conditioner:
    """``value = raw * scale + offset``; sentinels, values out of range, NaN and infinities are BAD."""

    def __init__(self, points: Sequence[Conditioned]) -> None:
        self._scale = np.array([p.scale for p in points], dtype=np.float64)
        self._offset = np.array([p.offset for p in points], dtype=np.float64)
        largest = sys.float_info.max  # so that an infinity is never plausible
        ranges = [p.range or (-largest, largest) for p in points]
        self._low = np.array([low for low, _ in ranges], dtype=np.float64)
        self._high = np.array([high for _, high in ranges], dtype=np.float64)
        pairs = [(i, sentinel) for i, p in enumerate(points) for sentinel in p.sentinels]
        self._sentinel_at = np.array([i for i, _ in pairs], dtype=np.intp)
        self._sentinel = np.array([sentinel for _, sentinel in pairs], dtype=np.float64)
        self._scaled, self._shifted = bool((self._scale != 1.0).any()), bool(self._offset.any())

    def scale(self, values: NDArray[np.float64]) -> None:
        """Turn raw ``values`` into engineering values in place, and look at none of them."""
        if self._scaled:
            values *= self._scale
        if self._shifted:
            values += self._offset

    def apply(self, values: NDArray[np.float64], quality: NDArray[np.uint8]) -> None:
        """Turn raw ``values`` into engineering values in place; ``quality`` comes in as GOOD."""
        absent = None
        if self._sentinel_at.size:
            absent = self._sentinel_at[values[self._sentinel_at] == self._sentinel]
            values[absent] = np.nan
        self.scale(values)
        plausible = (values >= self._low) & (values <= self._high)  # false for NaN too
        if np.count_nonzero(plausible) == len(plausible):  # a fifth of the time of all()
            return
        wrong = ~plausible
        quality[wrong] = np.where(np.isfinite(values[wrong]), _OUT_OF_RANGE, _DECODE)
        if absent is not None:
            quality[absent] = _SENTINEL
        values[wrong] = np.nan
