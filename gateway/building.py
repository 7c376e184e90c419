"""From settings to parts: what the daemon, the pages and the command line are composed of."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping

from gateway.control import ask
from gateway.history import History, HistorySettings
from gateway.own import GATEWAY
from gateway.register import introduce
from gateway.running import watched
from gateway.sensors import Sensors, Slot
from gateway.site import Site, overrides, scoped, spans
from gateway.stages import mode
from gateway.store import Readable, Series, Store
from models.promise import ModelError
from models.register import Register, Standing, Version
from models.sensor import SoftSensor
from rules import Bound, Panel, Rule, bind
from ticketing import Asset, Desk, RuleStep

log = logging.getLogger(__name__)


def build_rules(site: Site) -> dict[str, Rule]:
    """The site's rules by their ids."""
    return {name: Rule(name, settings) for name, settings in site.rules.items()}


def bound_rules(
    site: Site, rules: Mapping[str, Rule], steps: Mapping[str, RuleStep] | None = None
) -> list[Bound]:
    """Every rule on every asset of its scope, with the asset's own parameters; raises RuleError.

    ``steps`` are those that versions of rules have taken: they go before what the file says.
    Asset by asset: what arrives in one batch then lies together in the panel's memory.
    """
    for device in site.devices.values():
        for signal in device.signals():
            sys.intern(signal)  # so that a rule's names of signals are the devices' own, and not 50 000 more
    of_asset: dict[str, list[str]] = {}
    for name, rule in rules.items():
        if rule.settings.mode != "off":
            for asset in scoped(site, rule.settings.scope):
                of_asset.setdefault(asset, []).append(name)
    bounds = []
    for asset, names in of_asset.items():
        known = spans(site, asset)
        bounds += [
            bind(
                rules[name], asset, known, overrides(site, asset, name), mode(rules[name], asset, steps or {})
            )
            for name in names
        ]
    return bounds


def judged_by(
    site: Site, rules: Mapping[str, Rule], steps: Mapping[str, RuleStep] | None = None
) -> list[Bound]:
    """All that the judge goes by: the bound rules, and what tells whether a machine runs."""
    return [*bound_rules(site, rules, steps), *watched(site)]


def build_panel(site: Site, steps: Mapping[str, RuleStep] | None = None) -> Panel:
    """The judge's rules, all normal."""
    return Panel(judged_by(site, build_rules(site), steps))


def build_sensors(site: Site) -> Sensors:
    """The site's soft sensors: promoted versions, shadows beside them, and where there is none, one that learns."""
    return Sensors(sensor_slots(site))


def sensor_slots(site: Site) -> list[Slot]:
    """Every model on every asset of its scope."""
    register = build_register(site)
    versions = {(v.model, v.asset, v.standing): v for v in register.versions()}
    slots = []
    for name, settings in site.models.items():
        for asset in scoped(site, settings.scope):
            slots.append(Slot(f"{name}/{asset}", SoftSensor(settings, asset, quantities_of(site, asset))))
            if (live := versions.get((name, asset, Standing.LIVE))) is not None:
                _begin(slots[-1], register, live)
            if (shadow := versions.get((name, asset, Standing.SHADOW))) is not None:
                beside = SoftSensor(settings, asset, quantities_of(site, asset))
                slots.append(Slot(f"{name}/{asset} shadow", beside, shadow=True))
                _begin(slots[-1], register, shadow)
    return slots


def _begin(slot: Slot, register: Register, version: Version) -> None:
    """Let the soft sensor go on from ``version``; one that cannot be taken up is said to be so, and it learns anew."""
    try:
        slot.begin(version.id, register.state(version))
    except ModelError as error:
        log.warning("model %s is not used: %s", version.id, error)
        slot.trouble = f"{version.id} is not used: {error}"


def quantities_of(site: Site, asset: str) -> list[str]:
    """What the asset measures, in the order of its class."""
    return list(site.classes[site.class_of(asset)].signals)


def build_register(site: Site) -> Register:
    """The site's trained models."""
    return Register(site.state / "models")


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
    return [*assets, *devices, *lines, Asset(site.gateway, GATEWAY, "网关", "Gateway", criticality="B")]


def announce(desk: Desk, site: Site, at: int) -> None:
    """Let the ticket core know the machines and people of the site's files. UTC in ms."""
    with desk.transaction() as tx:
        tx.sync_assets(maintained(site), gateway=site.gateway)
    introduce(desk, site, at)
