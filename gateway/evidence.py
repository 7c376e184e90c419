"""Why an alarm was raised, as it was then: one JSON document that the ticket core keeps unchanged.

Its shape (times are UTC ms, durations seconds)::

    {"sentence": {"zh", "en"}, "counterfactual": {"zh", "en"},
     "asset", "failure_mode", "severity",
     "rule": {"id", "hash", "title": {"zh", "en"}, "mode"}, "parameters": {name: number},
     "condition": {"text", "signal", "operator", "value", "limit", "margin", "deadband", "unit"},
     "timers": {"since", "raised", "on_delay"},
     "inputs": [{"signal", "value", "unit"}],
     "series": {"signal", "unit", "time": [...], "min": [...], "mean": [...], "max": [...]},   # 30 min
     "statistics": {"1h" | "24h" | "7d": {"n", "min", "mean", "max"}},
     "model": {"contributions": [{"signal", "share", "sigmas"}]} or null,
     "earlier_orders": [{"number", "title_zh", "title_en", "state", "opened_at"}]}
"""

from __future__ import annotations

import math
from typing import Any

from gateway.config import Site
from gateway.i18n import LANGUAGES, Language, speaker, term
from gateway.lookback import Lookback
from gateway.sensors import Sensors
from rules import Rule, Transition

_MS = 1_000_000
_S = 1_000_000_000
_BEYOND = {">": "above", ">=": "above", "<": "below", "<=": "below"}


class Witness:
    """Writes down why: everything an evidence document needs, at hand."""

    def __init__(self, site: Site, lookback: Lookback, sensors: Sensors) -> None:
        self._site, self._lookback, self._sensors = site, lookback, sensors

    def document(self, rule: Rule, happened: Transition) -> dict[str, Any]:
        """The evidence of an alarm that was raised, or rose; the ticket core's part of it comes later."""
        decided = happened.decision
        assert decided is not None
        unit = self._unit(decided.signal)
        past = self._lookback.before(decided.signal, happened.time)
        settings = rule.settings
        why = self._sensors.why(decided.signal)
        contributions = [
            {"signal": p.signal, "share": round(p.share, 3), "sigmas": round(p.sigmas, 1)} for p in why
        ]
        return {
            "sentence": {language: self.sentence(language, happened) for language in LANGUAGES},
            "counterfactual": {language: self.counterfactual(language, happened) for language in LANGUAGES},
            "asset": happened.asset,
            "failure_mode": happened.failure_mode,
            "severity": happened.severity,
            "rule": {
                "id": happened.rule,
                "hash": happened.rule_hash,
                "title": {"zh": settings.title_zh, "en": settings.title_en},
                "mode": happened.mode,
            },
            "parameters": dict(happened.params),
            "condition": {
                "text": decided.expression,
                "signal": decided.signal,
                "operator": decided.operator,
                "value": decided.value,
                "limit": decided.limit,
                "margin": decided.margin,
                "deadband": decided.deadband,
                "unit": unit,
            },
            "timers": {
                "since": happened.since // _MS,
                "raised": happened.time // _MS,
                "on_delay": decided.on_delay / _S,
            },
            "inputs": [
                {"signal": signal, "value": value, "unit": self._unit(signal)}
                for signal, value in happened.inputs.items()
            ],
            "series": {"signal": decided.signal, "unit": unit, **past["series"]},
            "statistics": past["statistics"],
            "model": {"contributions": contributions} if contributions else None,
        }

    def sentence(self, language: Language, happened: Transition) -> str:
        """What happened, in one sentence for people."""
        decided, _ = happened.decision, speaker(language)
        assert decided is not None
        quantity = decided.signal.partition("/")[2]
        words = {
            "asset": self.asset_name(language, happened.asset),
            "quantity": self.quantity_name(language, decided.signal),
            "value": _with_unit(decided.value, self._unit(decided.signal)),
            "limit": _with_unit(decided.limit, self._unit(decided.signal)),
            "margin": _number(decided.margin),
            "held": _seconds(decided.on_delay / _S),
        }
        if quantity == "online":
            return _("%(asset)s has not answered for %(held)s.", **words)
        side = _BEYOND.get(decided.operator, "other")
        text = {
            "above": _(
                "%(asset)s: %(quantity)s %(value)s is above the limit %(limit)s (by %(margin)s), for %(held)s.",
                **words,
            ),
            "below": _(
                "%(asset)s: %(quantity)s %(value)s is below the limit %(limit)s (by %(margin)s), for %(held)s.",
                **words,
            ),
            "other": _("%(asset)s: %(quantity)s is %(value)s, for %(held)s.", **words),
        }[side]
        return " ".join([text, *self._beside(language, happened)])

    def _beside(self, language: Language, happened: Transition) -> list[str]:
        """What else belongs into the sentence: the rule's other inputs, a model's reasons."""
        decided, _ = happened.decision, speaker(language)
        assert decided is not None
        others = [
            f"{self.quantity_name(language, signal)} {_with_unit(value, self._unit(signal))}"
            for signal, value in happened.inputs.items()
            if signal != decided.signal and value is not None
        ]
        parts = [
            f"{self.quantity_name(language, part.signal)} {part.share:.0%}"
            for part in self._sensors.why(decided.signal)
        ]
        found = []
        if others:
            found.append(_("At the time: %(others)s.", others=_joined(language, others)))
        if parts:
            found.append(_("Mostly because of: %(parts)s.", parts=_joined(language, parts)))
        return found

    def counterfactual(self, language: Language, happened: Transition) -> str:
        """Which limit or on-delay would not have fired."""
        decided, _ = happened.decision, speaker(language)
        assert decided is not None
        delay = _seconds(math.floor(decided.on_delay / _S) + 1)
        if decided.value is None or decided.operator not in _BEYOND or decided.signal.endswith("/online"):
            return _("An on-delay of %(delay)s would not have fired by then.", delay=delay)
        upwards = _BEYOND[decided.operator] == "above"
        limit = _with_unit(_rounded(decided.value, upwards=upwards), self._unit(decided.signal))
        return _(
            "A limit of %(limit)s or an on-delay of %(delay)s would not have fired by then.",
            limit=limit,
            delay=delay,
        )

    def asset_name(self, language: Language, asset: str) -> str:
        """What people call the asset, with its id: ``1 号循环泵 (pump-1)``."""
        known = self._site.assets.get(asset)
        name = (known.name_zh if language == "zh" else known.name_en) if known else ""
        return f"{name} ({asset})" if name else asset

    def quantity_name(self, language: Language, signal: str) -> str:
        """What people call the quantity of ``signal``."""
        known = self._site.signal(signal)
        name = (known.name_zh if language == "zh" else known.name_en) if known else ""
        return name or term(language, "quantity", signal.partition("/")[2])

    def _unit(self, signal: str) -> str:
        known = self._site.signal(signal)
        return known.unit if known and known.unit != "1" else ""


def _number(value: float | None) -> str:
    """Three or four significant digits, never an exponent for what a plant measures."""
    return (
        "?" if value is None else f"{value:,.0f}".replace(",", "") if abs(value) >= 1000 else f"{value:.3g}"
    )


def _with_unit(value: float | None, unit: str) -> str:
    symbol = {"degC": "°C", "degF": "°F", "m3/h": "m³/h", "m3": "m³", "m/s2": "m/s²"}.get(unit, unit)
    return f"{_number(value)} {symbol}".strip()


def _rounded(value: float, *, upwards: bool) -> float:
    """The next number of two significant digits beyond ``value``."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return (math.floor(value / step) + 1 if upwards else math.ceil(value / step) - 1) * step


def _seconds(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


def _joined(language: Language, parts: list[str]) -> str:
    return ("、" if language == "zh" else ", ").join(parts)
