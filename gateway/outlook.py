"""How long a signal has until its limit, from the store: what `watchkeeper models rul` tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.building import build_reader
from gateway.config import Site, scoped
from models.life import Life, remaining
from models.promise import ModelError
from models.settings import LifeSettings

_HOUR = 3600e9
_POINTS = 200


@dataclass(frozen=True, slots=True)
class Outlook:
    """A signal's remaining life in hours; ``life`` is None where it shows no trend to its limit."""

    signal: str
    limit: float
    latest: float
    life: Life | None

    def to_json(self) -> dict[str, Any]:
        """Plain data, hours."""
        hours = (
            {}
            if self.life is None
            else {
                "hours": self.life.left,
                "low": self.life.low,
                "high": self.life.high,
                "shape": self.life.shape,
            }
        )
        return {
            "signal": self.signal,
            "limit": self.limit,
            "latest": self.latest,
            "trend": self.life is not None,
        } | hours


def configured(site: Site) -> Sequence[tuple[str, float]]:
    """Every signal that a model of kind life watches, with its limit."""
    return [
        (f"{asset}/{settings.signals[0]}", settings.limit)
        for settings in site.models.values()
        if isinstance(settings, LifeSettings)
        for asset in scoped(site, settings.scope)
    ]


def outlook(site: Site, signal: str, limit: float, start: int, end: int) -> Outlook:
    """The trend of ``signal`` from ``start`` to ``end`` (UTC ns). ModelError where nothing is known of it."""
    if site.signal(signal) is None:
        known = [
            f"{asset}/{q}" for asset, a in site.assets.items() for q in site.classes[a.asset_class].signals
        ]
        raise ModelError(f"no signal {signal!r}; there are {', '.join(known[:12])}")
    reader = build_reader(site)
    try:
        series = reader.series(signal, start, end, _POINTS)
    finally:
        reader.close()
    if not len(series):
        raise ModelError(f"the store has no samples of {signal} in that time")
    hours = (series.time - series.time[0]) / _HOUR
    return Outlook(signal, limit, float(series.mean[-1]), remaining(hours, series.mean, limit, alike=2.0))
