"""What people call things: assets, quantities, units, numbers, spans of time. Evidence and pages speak alike by it."""

from __future__ import annotations

import math

from gateway import i18n
from gateway.i18n import Language
from gateway.site import Site

UNITS = {
    "degC": "°C",
    "degF": "°F",
    "m3/h": "m³/h",
    "m3": "m³",
    "m/s2": "m/s²",
    "um": "µm",
    "rpm": "r/min",
    "1": "",
}
_PLAIN = frozenset({"count", "share", "arithmetic"})  # a pure number, or one whose unit nobody knows


def asset_name(site: Site, asset: str, language: Language) -> str:
    """What people call the asset (or the device that stands in its place)."""
    found = site.assets.get(asset)
    if found is None:
        return class_name(site, asset, language) if asset == site.gateway else asset
    return (found.name_zh if language == "zh" else found.name_en) or asset


def asset_with_id(site: Site, asset: str, language: Language) -> str:
    """The asset's name and its id, where both are wanted: ``1 号循环泵 (pump-1)``."""
    name = asset_name(site, asset, language)
    return name if name == asset else f"{name} ({asset})"


def class_name(site: Site, asset: str, language: Language) -> str:
    """What kind of machine the asset is."""
    kind = site.class_of(asset)
    found = site.classes.get(kind)
    own = found and (found.name_zh if language == "zh" else found.name_en)
    return own or i18n.term(language, "class", kind)


def person_name(site: Site, key: str, language: Language) -> str:
    """The person's name; our own hands have names too."""
    return site.people[key].name if key in site.people else i18n.term(language, "person", key)


def signal_name(site: Site, signal: str, language: Language) -> str:
    """What people call the signal, without its asset: the site's own word, else the glossary's."""
    found = site.signal(signal)
    own = found and (found.name_zh if language == "zh" else found.name_en)
    quantity = signal.partition("/")[2]
    judged = quantity.removesuffix("_anomaly")
    if found is None and judged != quantity:
        _ = i18n.speaker(language)
        return _(
            "%(quantity)s, anomaly score",
            quantity=signal_name(site, signal.removesuffix("_anomaly"), language),
        )
    return own or i18n.term(language, "quantity", quantity)


def measure_name(site: Site, signal: str, function: str, length: float, language: Language) -> str:
    """What a condition compares: the signal, or a ``function`` of it over ``length`` s (see ``rules.Decision``)."""
    name, _ = signal_name(site, signal, language), i18n.speaker(language)
    if not function:
        return name
    if function == "arithmetic":
        return _("a calculation with %(quantity)s", quantity=name)
    words = {"function": i18n.term(language, "function", function), "quantity": name}
    if not length or function == "age":  # an age has no window: its length is what the rule allows
        return _("%(function)s of %(quantity)s", **words)
    return _("%(function)s of %(quantity)s over %(length)s", length=duration(length, language), **words)


def signal_unit(site: Site, signal: str) -> str:
    """The unit as people write it; nothing for a pure number."""
    found = site.signal(signal)
    return unit(found.unit) if found else ""


def measure_unit(site: Site, signal: str, function: str) -> str:
    """The unit of what a condition compares, as people write it."""
    match function:
        case "age":
            return "s"
        case "hours":
            return "h"
        case "rate":
            return f"{signal_unit(site, signal) or '1'}/s"
    return "" if function in _PLAIN else signal_unit(site, signal)


def unit(code: str) -> str:
    """``degC`` as °C."""
    return UNITS.get(code, code)


def number(value: float | None, digits: int = 4) -> str:
    """``digits`` significant digits, never an exponent for what a gauge shows; an absent value is a dash."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    places = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(places, 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def measured(value: float | None, symbol: str, digits: int = 3) -> str:
    """A number with its unit: ``7.1 mm/s``."""
    return f"{number(value, digits)} {symbol}".strip()


def duration(seconds: float, language: Language) -> str:
    """``90 s``, ``12 min``, ``3 h``, ``2 d``: the greatest unit of which it is a whole number."""
    _ = i18n.speaker(language)
    for length, text in ((86_400, _("%(n)s d")), (3_600, _("%(n)s h")), (60, _("%(n)s min"))):
        if seconds >= length and seconds % length == 0:
            return text.replace("%(n)s", number(seconds / length))
    return _("%(n)s s", n=number(seconds))


def joined(parts: list[str], language: Language) -> str:
    """A list within a sentence."""
    return ("、" if language == "zh" else ", ").join(parts)
