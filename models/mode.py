"""Which operating mode a machine is in: standing, just started, or running in one of its bands."""

from __future__ import annotations

import bisect

from models.promise import Array
from models.settings import Running, ns

_STICK = 0.02  # of an edge: a value that dithers there stays in its band


class Mode:
    """Follows the signal that says whether, and how fast or hard, the machine runs."""

    def __init__(self, running: Running | None, signals: tuple[str, ...], asset: str) -> None:
        self._running = running
        name = f"{asset}/{running.signal}" if running else ""
        self.extra = () if not name or name in signals else (name,)
        """The signal, if the model does not watch it anyway."""
        self._column = (signals + self.extra).index(name) if name else -1
        self.bands = 1 + len(running.bands) if running else 1
        self.since: int | None = None
        self.band = 0

    def step(self, time: int, row: Array) -> int | None:
        """The band the machine runs in, or None while it stands or has settled in it for too short a time.

        An unknown value (NaN) leaves everything as it was.
        """
        if self._running is None:
            return 0
        value = row[self._column]
        if value <= self._running.above:
            self.since = None
        elif value > self._running.above:
            band = self._place(float(value))
            if self.since is None or time < self.since or band != self.band:
                self.since = time
            self.band = band
        settled = self.since is not None and time - self.since >= ns(self._running.settle)
        return self.band if settled else None

    def _place(self, value: float) -> int:
        assert self._running is not None
        edges = self._running.bands
        band = bisect.bisect_right(edges, value)
        if self.since is not None and abs(band - self.band) == 1:
            edge = edges[min(band, self.band)]
            if abs(value - edge) <= _STICK * abs(edge):
                return self.band
        return band
