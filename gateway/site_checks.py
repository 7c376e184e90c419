"""What must fit together in a site: names, units, points, scopes, rules on their assets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache, partial
from typing import Any, Final

from devices.kinds import clashes, overloads
from gateway.mistakes import Wrong, did_you_mean
from gateway.own import tables
from gateway.site import Site, overrides, scoped, spans
from rules import Rule, RuleError, bind
from ticketing.people_settings import NAME

_ASSET_ID: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
OURSELVES: Final = "it stands for ourselves; another name would do"


def check_site(site: Site, wrong: Wrong, *, any_load: bool, rules: bool) -> None:
    """Say of everything that does not fit where it stands, what was found and what would do."""
    _check_core(site, wrong)
    _check_assets(site, wrong)
    _check_lines(site, wrong)
    _check_points(site, wrong)
    loads = [] if any_load else overloads(site.lines, site.devices)
    for clash in clashes(site.lines, site.devices) + loads:
        wrong("devices.toml", clash.key, clash.found, clash.wanted)
    if rules:
        _check_rules(site, wrong)
    _check_models(site, wrong)
    _check_people(site, wrong)
    _check_channels(site, wrong)


def check_own_classes(assets: dict[str, Any], wrong: Wrong) -> None:
    for kind in assets.get("class", {}).keys() & tables()["class"].keys():
        wrong("assets.toml", f"class.{kind}", repr(kind), "the gateway's own class; another name would do")


def _check_core(site: Site, wrong: Wrong) -> None:
    """Its text is not shown: there may be a password in it."""
    if site.site.core is not None and not re.match(r"postgresql://[^/]*/\w", site.core):
        wanted = "postgresql://user@host/database would do; without it the work orders are in SQLite"
        wrong("site.toml", "site.core", "no PostgreSQL address", wanted)


def _check_assets(site: Site, wrong: Wrong) -> None:
    if site.gateway in site.assets:
        wrong("assets.toml", f"asset.{site.gateway}", repr(site.gateway), OURSELVES)
    for name, asset in site.assets.items():
        key = f"asset.{name}"
        if not _ASSET_ID.fullmatch(name):
            wrong(
                "assets.toml",
                key,
                repr(name),
                "lower-case letters, digits, '-', '_' and '.' would do (64 at most)",
            )
        if asset.asset_class not in site.classes:
            wrong(
                "assets.toml",
                f"{key}.class",
                repr(asset.asset_class),
                did_you_mean(asset.asset_class, set(site.classes)),
            )
        if asset.parent is not None and asset.parent not in site.assets:
            wrong(
                "assets.toml",
                f"{key}.parent",
                repr(asset.parent),
                did_you_mean(asset.parent, set(site.assets)),
            )
        elif name in _ancestors(site, name):
            wrong("assets.toml", f"{key}.parent", repr(asset.parent), "an asset cannot stand below itself")
        for rule in asset.params.keys() - site.rules.keys():
            wrong("assets.toml", f"{key}.params", repr(rule), did_you_mean(rule, set(site.rules)))
        kind = site.classes.get(asset.asset_class)
        if kind and (told := site.running_of(name)) is not None and told.signal not in kind.signals:
            where = key if asset.running else f"class.{asset.asset_class}"
            would = did_you_mean(told.signal, set(kind.signals))
            wrong("assets.toml", f"{where}.running.signal", repr(told.signal), would)


def _ancestors(site: Site, name: str) -> Iterator[str]:
    seen: set[str] = set()
    parent = site.assets[name].parent
    while parent is not None and parent in site.assets and parent not in seen:
        yield parent
        seen.add(parent)
        parent = site.assets[parent].parent


def _check_lines(site: Site, wrong: Wrong) -> None:
    for name in site.watched_lines:
        if name in site.assets or name in site.devices:
            key = f"line.{name}"
            wrong("devices.toml", key, repr(name), "an asset or device has this name; give the line another")


def _check_points(site: Site, wrong: Wrong) -> None:
    reader: dict[str, str] = {}
    for name, device in site.devices.items():
        if name == site.gateway:
            wrong("devices.toml", f"device.{name}", repr(name), OURSELVES)
        if name in site.assets:
            wrong(
                "devices.toml",
                f"device.{name}",
                repr(name),
                "an asset has this name; give the device another",
            )
        for signal in device.signals():
            key = f'device.{name}.points."{signal}"'
            if _is_pattern(signal):
                continue
            asset = signal.partition("/")[0]
            if asset not in site.assets:
                wrong(
                    "devices.toml",
                    key,
                    repr(asset),
                    "no such asset; " + did_you_mean(asset, set(site.assets)),
                )
            elif site.assets[asset].asset_class in site.classes and site.signal(signal) is None:
                known = site.classes[site.assets[asset].asset_class].signals
                wrong(
                    "devices.toml",
                    key,
                    repr(signal.partition("/")[2]),
                    did_you_mean(signal.partition("/")[2], set(known)),
                )
            if signal in reader:
                wrong(
                    "devices.toml",
                    key,
                    f"read by {reader[signal]} too",
                    "one device reads a signal; rename or remove one",
                )
            reader[signal] = name
        for signal, unit in device.units().items():
            meant = site.signal(signal)
            if meant is not None and meant.unit != unit:
                key = f'device.{name}.points."{signal}"'
                would = f'{{ point = "…", scale = …, unit = "{meant.unit}" }} would do'
                wrong("devices.toml", key, f"{unit} where the signal is in {meant.unit}", would)


def _is_pattern(signal: str) -> bool:
    return "{" in signal  # an MQTT point whose asset comes from the topic


def _check_rules(site: Site, wrong: Wrong) -> None:
    spans_of = cache(partial(spans, site))
    for name, settings in site.rules.items():
        key, rule = f"rule.{name}", Rule(name, settings)
        _check_scope(site, settings.scope, "rules.toml", f"{key}.scope", wrong)
        for asset in scoped(site, settings.scope):
            known = spans_of(asset)
            if missing := rule.missing(known):
                wrong(
                    "rules.toml",
                    f"{key}.signals",
                    f"{missing[0]!r} (for {asset})",
                    did_you_mean(missing[0], set(known)),
                )
                continue
            try:
                bind(rule, asset, known, overrides(site, asset, name))
            except RuleError as error:
                wrong(
                    "assets.toml" if overrides(site, asset, name) else "rules.toml",
                    key,
                    f"a misfit on {asset}",
                    str(error),
                )


def _check_models(site: Site, wrong: Wrong) -> None:
    writer: dict[str, str] = {}
    for name, model in site.models.items():
        key = f"model.{name}"
        _check_scope(site, model.scope, "models.toml", f"{key}.scope", wrong)
        for asset in scoped(site, model.scope):
            kind = site.classes.get(site.class_of(asset))
            known = set(kind.signals) if kind else set()
            for missing in set(model.watched) - known:
                place = f"{key}.signals" if missing in model.signals else key
                wrong("models.toml", place, f"{missing!r} (for {asset})", did_you_mean(missing, known))
            for output in model.outputs(sorted(known)):
                signal = f"{asset}/{output}"
                if signal in writer:
                    found = f"{signal}, which model {writer[signal]} writes too"
                    wrong("models.toml", key, found, "one of them, or another scope, would do")
                writer[signal] = name


def _check_people(site: Site, wrong: Wrong) -> None:
    for name, person in site.people.items():
        if not NAME.fullmatch(name):
            wanted = (
                "1 to 32 lower-case letters, digits, '-', '_', '.' would do, and no name of our own hands"
            )
            wrong("people.toml", f"person.{name}", repr(name), wanted)
        if person.shift is not None and person.shift not in site.shifts:
            known = set(site.shifts)
            wrong(
                "people.toml", f"person.{name}.shift", repr(person.shift), did_you_mean(person.shift, known)
            )


def _check_channels(site: Site, wrong: Wrong) -> None:
    for name, channel in site.channels.items():
        others = set(site.channels) - {name}
        if channel.fallback is not None and channel.fallback not in others:
            key = f"notify.{name}.fallback"
            wrong("site.toml", key, repr(channel.fallback), did_you_mean(channel.fallback, others))


def _check_scope(site: Site, scope: Any, file: str, key: str, wrong: Wrong) -> None:
    wanted = scope.asset_class
    if wanted is not None and wanted not in site.classes:
        wrong(file, f"{key}.class", repr(wanted), did_you_mean(wanted, set(site.classes)))
    known = {*site.assets, *site.devices, *site.watched_lines, site.gateway}
    for asset in scope.assets or ():
        if asset not in known:
            wrong(file, f"{key}.assets", repr(asset), did_you_mean(asset, known))
