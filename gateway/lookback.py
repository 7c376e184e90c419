"""What the store knows of a signal before an alarm, asked with little patience: no order waits for a store."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from gateway.store import Series, Store, StoreError

WINDOW = 1800  # s of the series before the alarm
POINTS = 300
PATIENCE = 0.25  # s for one alarm's questions
PAUSE = 30.0  # s without questions after one that was not answered in time
_MS = 1_000_000
_S = 1_000_000_000
_HOURS = 24


class Lookback:
    """Asks the store for the time before an alarm; says nothing where the store is away or slow."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asker = ThreadPoolExecutor(1, "lookback")
        self._silent_until = 0.0

    def before(self, signal: str, at: int) -> dict[str, Any]:
        """``{"series": {"time", "min", "mean", "max"}, "statistics": {"1h", "24h"}}`` up to ``at`` (UTC ns)."""
        nothing = _told(Series.empty(signal), Series.empty(signal))
        if time.monotonic() < self._silent_until:
            return nothing
        try:
            return self._asker.submit(self._ask, signal, at).result(PATIENCE)
        except (StoreError, TimeoutError):
            self._silent_until = time.monotonic() + PAUSE
            return nothing

    def close(self) -> None:
        """Ask no more."""
        self._asker.shutdown(wait=False, cancel_futures=True)

    def _ask(self, signal: str, at: int) -> dict[str, Any]:
        series = self._store.series(signal, at - WINDOW * _S, at + 1, POINTS)
        return _told(series, self._store.series(signal, at - _HOURS * 3600 * _S, at, _HOURS))


def _told(series: Series, hours: Series) -> dict[str, Any]:
    columns = {"min": series.min, "mean": series.mean, "max": series.max}
    rounded = {name: [_compact(x) for x in column.tolist()] for name, column in columns.items()}
    spans = {"1h": hours.part(slice(-1, None)), "24h": hours}
    return {
        "series": {"time": (series.time // _MS).tolist(), **rounded},
        "statistics": {
            name: {
                "min": _compact(float(span.min.min())),
                "mean": _compact(float(span.mean.mean())),
                "max": _compact(float(span.max.max())),
            }
            for name, span in spans.items()
            if len(span)
        },
    }


def _compact(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
