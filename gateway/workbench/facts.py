"""What lint needs to know of a site, and its warnings for all rules."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway.building import bound_rules, build_rules
from gateway.site import Site, scoped, spans
from rules import lint
from rules.duration import nanoseconds


@dataclass(frozen=True, slots=True)
class Warned:
    """One warning about a rule; ``assets`` it holds for, none where it is about the rule itself."""

    rule: str
    text: str
    assets: tuple[str, ...] = ()

    def __str__(self) -> str:
        where = f" ({_few(self.assets)})" if self.assets else ""
        return f"rule.{self.rule}{where}: {self.text}"


def warnings(site: Site) -> list[Warned]:
    """Everything lint has to say, rule by rule, equal words for several assets once."""
    rules = build_rules(site)
    found = [Warned(rule.id, text) for rule in rules.values() for text in lint.of_rule(rule)]
    watched = dict.fromkeys(
        asset for settings in site.rules.values() for asset in scoped(site, settings.scope)
    )
    known = {asset: quantities(site, asset) for asset in watched}
    words: dict[tuple[str, str], list[str]] = {}
    for bound in bound_rules(site, rules):
        for text in lint.of_binding(bound, known[bound.asset]):
            words.setdefault((bound.rule.id, text.replace(f"{bound.asset}/", "")), []).append(bound.asset)
    found += [Warned(rule, text, tuple(dict.fromkeys(assets))) for (rule, text), assets in words.items()]
    found += _over_assets(site, known)
    order = list(rules)
    return sorted(found, key=lambda warned: order.index(warned.rule))


def quantities(site: Site, asset: str) -> dict[str, lint.Quantity]:
    """Every quantity of the asset: unit, range, pace, and whether a device or a model brings it."""
    measured: dict[str, int | None] = {}
    for name, device in site.devices.items():
        period = getattr(device, "period", None)
        pace = nanoseconds(period) if period is not None else None
        measured |= {
            signal.partition("/")[2] if "{" in signal else signal: pace for signal in device.signals()
        }
        measured[f"{name}/online"] = None
    found = {}
    for quantity, span in spans(site, asset).items():
        signal = site.signal(f"{asset}/{quantity}")  # none: a soft sensor, or a device's online
        key = f"{asset}/{quantity}" if f"{asset}/{quantity}" in measured else quantity
        found[quantity] = lint.Quantity(
            unit=signal.unit if signal else "",
            span=span,
            period=measured.get(key),
            read=asset not in site.assets or signal is None or key in measured,
            exact=asset not in site.assets,  # what we count of ourselves, our lines and devices
        )
    return found


def _over_assets(site: Site, known: dict[str, dict[str, lint.Quantity]]) -> Iterator[Warned]:
    """What shows only when all assets of a rule are looked at together."""
    for name, settings in site.rules.items():
        assets = scoped(site, settings.scope)
        if not assets:
            yield Warned(name, "its scope holds no asset: the rule watches nothing")
        for quantity in settings.signals.values():
            units = {known[asset][quantity].unit: asset for asset in assets}
            if len(units) > 1:
                told = ", ".join(f"{unit} on {asset}" for unit, asset in units.items())
                yield Warned(name, f"{quantity} has several units, and one limit for all: {told}")


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
