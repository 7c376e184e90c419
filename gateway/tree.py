"""What stands above an alarm: the machines that its asset is part of, and the devices that read its signals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from gateway.config import Site

Above = Callable[[str, Iterable[str]], tuple[str, ...]]


def standing_above(site: Site) -> Above:
    """A function of an asset and the signals that its rule looks at."""

    def above(asset: str, signals: Iterable[str]) -> tuple[str, ...]:
        return (*ancestors(site, asset), *dict.fromkeys(each for name in signals for each in readers(name)))

    @cache
    def readers(signal: str) -> tuple[str, ...]:
        quantity = signal.partition("/")[2]
        return tuple(
            device
            for device, settings in site.devices.items()
            for name in settings.signals()
            if name == signal or ("{" in name and name.partition("/")[2] == quantity)
        )

    return above


def ancestors(site: Site, asset: str) -> list[str]:
    """The machines that ``asset`` is part of, the nearest first."""
    found: list[str] = []
    while asset in site.assets and (parent := site.assets[asset].parent) and parent not in found:
        found.append(parent)
        asset = parent
    return found
