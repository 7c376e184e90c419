"""Why an alarm was raised, as it was then: one JSON document that the ticket core keeps unchanged.

Its shape (times are UTC ms, durations seconds)::

    {"sentence": {"zh", "en"}, "counterfactual": {"zh", "en"},
     "asset", "failure_mode", "severity",
     "rule": {"id", "hash", "title": {"zh", "en"}, "mode"}, "parameters": {name: number},
     "condition": {"text", "signal", "function", "length", "operator", "value", "limit", "margin", "deadband", "unit"},
     "timers": {"since", "raised", "on_delay"},
     "inputs": [{"signal", "value", "unit"}],
     "series": {"signal", "unit", "time": [...], "min": [...], "mean": [...], "max": [...]},   # 30 min
     "statistics": {"1h" | "24h" | "7d": {"n", "min", "mean", "max"}},
     "model": {"contributions": [{"signal", "share", "sigmas"}], "version",
               "forecast": {"signal", "limit", "unit", "hours", "low", "high", "shape"} or null} or null,
     "earlier_orders": [{"number", "title_zh", "title_en", "state", "opened_at"}],
     "running": true, false, or null where nobody tells}
"""

from __future__ import annotations

import math
from typing import Any

from gateway.i18n import LANGUAGES, Language, speaker
from gateway.lookback import NOTHING
from gateway.sensors import Sensors
from gateway.site import Site
from gateway.wording import (
    asset_with_id,
    duration,
    joined,
    measure_name,
    measure_unit,
    measured,
    number,
    signal_name,
    signal_unit,
)
from rules import Rule, Transition

_MS = 1_000_000
_S = 1_000_000_000
_BEYOND = {">": "above", ">=": "above", "<": "below", "<=": "below"}


class Witness:
    """Writes down why: everything an evidence document needs, at hand."""

    def __init__(self, site: Site, sensors: Sensors) -> None:
        self._site, self._sensors = site, sensors

    def document(self, rule: Rule, happened: Transition) -> dict[str, Any]:
        """The evidence of an alarm that was raised, or rose."""
        decided = happened.decision
        assert decided is not None
        unit = self._unit(decided.signal)
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
                "function": decided.function,
                "length": decided.length / _S,
                "operator": decided.operator,
                "value": decided.value,
                "limit": decided.limit,
                "margin": decided.margin,
                "deadband": decided.deadband,
                "unit": measure_unit(self._site, decided.signal, decided.function)
                if decided.function
                else unit,
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
            "series": {"signal": decided.signal, "unit": unit, **NOTHING["series"]},
            "statistics": {},
            "model": self._model(decided.signal, contributions),
            "earlier_orders": [],  # the ticket core knows them, and whether the machine runs
            "running": None,
        }

    def _model(self, signal: str, contributions: list[dict[str, Any]]) -> dict[str, Any] | None:
        """What the model behind a soft signal says for itself; a forecast's band runs from ``low`` to ``high``."""
        if not contributions:
            return None
        told = self._sensors.forecast(signal)
        forecast = (
            None
            if told is None
            else {
                "signal": told.signal,
                "limit": told.limit,
                "unit": self._unit(told.signal),
                "hours": round(told.left, 2),
                "low": round(told.low, 2),
                "high": round(told.high, 2),
                "shape": told.shape,
            }
        )
        return {
            "contributions": contributions,
            "version": self._sensors.version(signal),
            "forecast": forecast,
        }

    def sentence(self, language: Language, happened: Transition) -> str:
        """What happened, in one sentence for people."""
        decided, _ = happened.decision, speaker(language)
        assert decided is not None
        site, symbol = self._site, measure_unit(self._site, decided.signal, decided.function)
        words = {
            "asset": asset_with_id(site, happened.asset, language),
            "quantity": measure_name(site, decided.signal, decided.function, decided.length / _S, language),
            "value": measured(decided.value, symbol),
            "limit": measured(decided.limit, symbol),
            "margin": number(decided.margin, 3),
            "held": duration(decided.on_delay / _S, language),
        }
        if decided.signal.endswith("/online"):
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
            f"{signal_name(self._site, signal, language)} {measured(value, signal_unit(self._site, signal))}"
            for signal, value in happened.inputs.items()
            if value is not None and (signal != decided.signal or decided.function)
        ]
        parts = [
            f"{signal_name(self._site, part.signal, language)} {part.share:.0%}"
            for part in self._sensors.why(decided.signal)
        ]
        found = []
        if others:
            found.append(_("At the time: %(others)s.", others=joined(others, language)))
        if parts:
            found.append(_("Mostly because of: %(parts)s.", parts=joined(parts, language)))
        if (told := self._sensors.forecast(decided.signal)) is not None:
            text = _(
                "%(quantity)s, as things go, reaches %(limit)s in %(left)s h (90 %%: %(low)s to %(high)s h).",
                quantity=signal_name(self._site, told.signal, language),
                limit=measured(told.limit, signal_unit(self._site, told.signal)),
                left=number(told.left, 2),
                low=number(told.low, 2),
                high=number(told.high, 2),
            )
            found.append(text)
        return found

    def counterfactual(self, language: Language, happened: Transition) -> str:
        """Which limit or on-delay would not have fired."""
        decided, _ = happened.decision, speaker(language)
        assert decided is not None
        delay = duration(math.floor(decided.on_delay / _S) + 1, language)
        if decided.value is None or decided.operator not in _BEYOND or decided.signal.endswith("/online"):
            return _("An on-delay of %(delay)s would not have fired by then.", delay=delay)
        upwards = _BEYOND[decided.operator] == "above"
        symbol = measure_unit(self._site, decided.signal, decided.function)
        limit = measured(_rounded(decided.value, upwards=upwards), symbol)
        return _(
            "A limit of %(limit)s or an on-delay of %(delay)s would not have fired by then.",
            limit=limit,
            delay=delay,
        )

    def _unit(self, signal: str) -> str:
        known = self._site.signal(signal)
        return known.unit if known and known.unit != "1" else ""


def _rounded(value: float, *, upwards: bool) -> float:
    """The next number of two significant digits beyond ``value``."""
    if value == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(value))) - 1)
    return (math.floor(value / step) + 1 if upwards else math.ceil(value / step) - 1) * step
