"""The rows a machine's commissioning is fitted on: a bounded, evenly thinned record."""

from __future__ import annotations

import numpy as np

from models.promise import Array


class Rows:
    """Keeps at most ``most`` rows of a stretch of any length: when full, every second one is let go."""

    def __init__(self, width: int, most: int = 4096) -> None:
        self._width, self._most = width, most
        self._kept: list[Array] = []
        self.seen = 0
        """How many rows came, kept or not."""
        self.stride = 1
        """One row in so many is kept."""

    def add(self, row: Array) -> None:
        """Take a copy of ``row`` if its turn has come."""
        if self.seen % self.stride == 0:
            if len(self._kept) == self._most:
                self._kept = self._kept[::2]
                self.stride *= 2
            self._kept.append(row.copy())
        self.seen += 1

    def array(self) -> Array:
        """The kept rows in order, (k, width)."""
        return np.array(self._kept).reshape(-1, self._width)

    def take(self, kept: Array, seen: int, stride: int) -> None:
        """Take up what ``array``, ``seen`` and ``stride`` gave before a restart."""
        self._kept, self.seen, self.stride = list(kept.copy()), seen, stride

    def let_go(self) -> None:
        """Forget the rows, once they are fitted."""
        self._kept = []
