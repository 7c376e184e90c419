"""What stands above an alarm: the machines that its asset is part of, and the devices that read its signals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache

from gateway.site import Site

Above = Callable[[str, Iterable[str]], tuple[str, ...]]


def standing_above(site: Site) -> Above:
    """A function of an asset and the signals that its rule looks at."""

    def above(asset: str, signals: Iterable[str]) -> tuple[str, ...]:
        known = readers()
        found = (known.get(name) or known.get(_of_any(name)) or () for name in signals)
        return (*ancestors(site, asset), *dict.fromkeys(device for devices in found for device in devices))

    @cache
    def readers() -> dict[str, list[str]]:
        """The devices that read each signal; names with a placeholder stand under their quantity."""
        index: dict[str, list[str]] = {}
        for device, settings in site.devices.items():
            for name in settings.signals():
                index.setdefault(_of_any(name) if "{" in name else name, []).append(device)
        return index

    return above


def _of_any(signal: str) -> str:
    return "*/" + signal.partition("/")[2]


def ancestors(site: Site, asset: str) -> list[str]:
    """The machines that ``asset`` is part of, the nearest first."""
    found: list[str] = []
    while asset in site.assets and (parent := site.assets[asset].parent) and parent not in found:
        found.append(parent)
        asset = parent
    return found
