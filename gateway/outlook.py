"""How long a signal has until its limit, from the store: what `watchkeeper models rul` tells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gateway.building import build_reader
from gateway.site import Site, scoped
from gateway.store import Readable
from models.life import Life, remaining
from models.promise import ModelError
from models.settings import LifeSettings, ns

_HOUR, _MS = 3600e9, 1_000_000
_HOLDS = 60_000_000_000  # ns; an older forecast is no longer drawn
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
    models = [settings for settings in site.models.values() if isinstance(settings, LifeSettings)]
    return [life for settings in models for life in lives(site, settings)]


def lives(site: Site, settings: LifeSettings) -> list[tuple[str, float]]:
    """The signals that this model watches, with their limit."""
    return [(f"{asset}/{settings.signals[0]}", settings.limit) for asset in scoped(site, settings.scope)]


def last_forecast(site: Site, store: Readable, signal: str, until: int) -> dict[str, float] | None:
    """What the running model of ``signal``'s life had last said by ``until`` (UTC ns), for its chart; times in ms.

    ``left``, ``low`` and ``high`` count from ``time``. None where it has none, or it has fallen silent.
    """
    models = (settings for settings in site.models.values() if isinstance(settings, LifeSettings))
    found = next((settings for settings in models if (signal, settings.limit) in lives(site, settings)), None)
    if found is None:
        return None
    start, asset = until - max(10 * ns(found.every), _HOLDS), signal.partition("/")[0]
    told = [store.series(f"{asset}/{part}", start, until, _POINTS) for part in found.outputs(())]
    if not all(len(each) for each in told):
        return None
    left, low, high = (float(each.mean[-1]) * _HOUR / _MS for each in told)
    return {
        "time": int(told[0].time[-1]) // _MS,
        "limit": found.limit,
        "left": left,
        "low": low,
        "high": high,
    }


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
