"""From settings to parts: what the daemon, the pages and the command line are composed of."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config import Site, overrides, scoped, spans
from gateway.control import ask
from gateway.history import History, HistorySettings
from gateway.own import GATEWAY
from gateway.sensors import Sensors
from gateway.store import Readable, Series, Store
from models.sensor import SoftSensor
from rules import Bound, Panel, Rule, bind
from ticketing import Asset


def build_rules(site: Site) -> dict[str, Rule]:
    """The site's rules by their ids."""
    return {name: Rule(name, settings) for name, settings in site.rules.items()}


def bound_rules(site: Site, rules: Mapping[str, Rule]) -> list[Bound]:
    """Every rule on every asset of its scope, with the asset's own parameters; raises RuleError.

    Asset by asset: what arrives in one batch then lies together in the panel's memory.
    """
    of_asset: dict[str, list[str]] = {}
    for name, rule in rules.items():
        if rule.settings.mode != "off":
            for asset in scoped(site, rule.settings.scope):
                of_asset.setdefault(asset, []).append(name)
    bounds = []
    for asset, names in of_asset.items():
        known = spans(site, asset)
        bounds += [bind(rules[name], asset, known, overrides(site, asset, name)) for name in names]
    return bounds


def build_panel(site: Site) -> Panel:
    """The judge's rules, all normal."""
    return Panel(bound_rules(site, build_rules(site)))


def build_sensors(site: Site) -> Sensors:
    """The site's soft sensors, none of which has learned anything yet."""
    return Sensors(
        {
            f"{name}/{asset}": SoftSensor(settings, asset, list(site.classes[site.class_of(asset)].signals))
            for name, settings in site.models.items()
            for asset in scoped(site, settings.scope)
        }
    )


def build_store(site: Site) -> Store:
    """Where telemetry goes: the embedded history, or InfluxDB."""
    if isinstance(site.store, HistorySettings):
        return History(site.state / "history.db", site.store)
    from gateway.influx import InfluxStore

    return InfluxStore(site.store, site.site.id, site.class_of)


def build_reader(site: Site) -> Readable:
    """The store as another process than the daemon reads it: the daemon is asked for what it has not written yet."""
    if not isinstance(site.store, HistorySettings):
        return build_store(site)

    def tail(signal: str, start: int) -> Series:
        try:
            return Series.from_json(
                ask(site.state / "control.sock", {"op": "tail", "signal": signal, "start": start})
            )
        except (OSError, ValueError, KeyError):  # no daemon: what it held comes back with it, from the spool
            return Series.empty(signal)

    return History.reader(site.state / "history.db", tail)


def maintained(site: Site) -> list[Asset]:
    """What can have a work order: the assets, the devices that read them, their lines, and we ourselves."""
    assets = [
        Asset(
            name,
            asset.asset_class,
            asset.name_zh or name,
            asset.name_en or name,
            parent=asset.parent,
            criticality=asset.criticality,
            model=asset.model,
            serial=asset.serial,
        )
        for name, asset in site.assets.items()
    ]
    devices = [Asset(name, "device", name, name, criticality="C") for name in site.devices]
    lines = [Asset(name, "line", name, name, criticality="B") for name in site.watched_lines]
    return [*assets, *devices, *lines, Asset(GATEWAY, GATEWAY, "网关", "Gateway", criticality="B")]
