"""What an order's page tells: why it opened, its chart, and all that happened, in the reader's language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway import i18n
from gateway.i18n import Language
from gateway.site import Site
from gateway.web.forms import choice_name
from gateway.wording import (
    asset_name,
    duration,
    measure_name,
    measured,
    number,
    person_name,
    signal_name,
    unit,
)
from ticketing import Alarm, Event, Evidence, Order
from ticketing.fields import FIELDS

MARKS = {
    "open": "file-plus",
    "assign": "user-check",
    "accept": "check",
    "decline": "user-x",
    "start": "tool",
    "hold": "player-pause",
    "resume": "player-play",
    "resolve": "circle-check",
    "reject": "arrow-back-up",
    "recur": "repeat",
    "sign_off": "clipboard-check",
    "auto_close": "clipboard-check",
    "cancel": "ban",
    "self_cleared": "ban",
    "escalate": "trending-up",
    "comment": "message",
    "set_priority": "flag",
}
TOLD_ELSEWHERE = {"step"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the timeline."""

    at: int
    icon: str
    machine: bool
    who: str
    what: str
    details: tuple[tuple[str, str], ...]


def sentence(order: Order, evidence: Sequence[Evidence], language: Language) -> str:
    """The reason in one sentence: of the alarm that opened the order, else what the order is called."""
    for found in evidence:
        if text := found.body.get("sentence", {}).get(language):
            return str(text)
    return order.title_zh if language == "zh" else order.title_en


def evidence_chart(
    site: Site, body: Mapping[str, Any], alarm: Alarm | None, language: Language
) -> dict[str, Any] | None:
    """What the chart of this evidence shows; None when it holds no series."""
    series = body.get("series") or {}
    if not series.get("time"):
        return None
    _ = i18n.speaker(language)
    condition, timers = (body.get(key) or {} for key in ("condition", "timers"))
    since = alarm.since if alarm else timers.get("since")
    name = signal_name(site, series["signal"], language)
    spans = []
    if since is not None:
        spans.append(
            {"start": since, "end": alarm.cleared_at if alarm else None, "severity": body.get("severity", 3)}
        )
    return {
        "signal": series["signal"],
        "name": name,
        "unit": unit(series.get("unit", "")),
        "series": {key: series[key] for key in ("time", "min", "mean", "max") if key in series},
        "limits": [limit_line(condition, body.get("severity", 3), language)] if _drawn(condition) else [],
        "spans": spans,
        "marks": [{"time": timers["raised"], "word": _("alarm")}] if "raised" in timers else [],
    }


def _drawn(condition: Mapping[str, Any]) -> bool:
    """Whether the limit is one on the signal's own scale."""
    return "limit" in condition and condition.get("function", "") in {"", "mean", "rms", "min", "max"}


def limit_line(condition: Mapping[str, Any], severity: int, language: Language) -> dict[str, Any]:
    """A limit for the chart: its place, which side is bad, how far back it clears."""
    _ = i18n.speaker(language)
    shown = " ".join([_("limit"), number(condition["limit"]), unit(condition.get("unit", ""))])
    return {
        "value": condition["limit"],
        "deadband": condition.get("deadband") or 0,
        "above": str(condition.get("operator", ">")).startswith(">"),
        "severity": severity,
        "label": shown.strip(),
    }


def reason(site: Site, body: Mapping[str, Any], language: Language) -> str:
    """The sentence without the machine's name, for a list that names it already."""
    told = str((body.get("sentence") or {}).get(language, ""))
    name, _, rest = told.partition("：" if language == "zh" else ": ")
    return rest if asset_name(site, str(body.get("asset")), language) in name else told


def facts(site: Site, body: Mapping[str, Any], language: Language) -> list[tuple[str, str]]:
    """Why, as label and value."""
    _ = i18n.speaker(language)
    condition, timers, rule = (body.get(key) or {} for key in ("condition", "timers", "rule"))
    shown: list[tuple[str, str]] = []
    if rule:
        title = (rule.get("title") or {}).get(language) or rule["id"]
        shown.append((_("Rule"), title if title == rule["id"] else f"{title} ({rule['id']})"))
    if condition:
        shown += _compared(site, condition, language)
    if timers.get("on_delay"):
        shown.append((_("Had to hold for"), duration(timers["on_delay"], language)))
    for entry in body.get("inputs") or []:
        if entry["signal"] != condition.get("signal"):
            value = f"{number(entry['value'])} {unit(entry.get('unit', ''))}"
            shown.append((signal_name(site, entry["signal"], language), value.strip()))
    return [(label, value) for label, value in shown if value]


def _compared(site: Site, condition: Mapping[str, Any], language: Language) -> list[tuple[str, str]]:
    """What was compared with which limit."""
    _, symbol = i18n.speaker(language), unit(condition.get("unit", ""))
    function, length = condition.get("function", ""), condition.get("length", 0)
    name = (
        measure_name(site, condition["signal"], function, length, language) if "signal" in condition else ""
    )
    limit = measured(condition.get("limit"), symbol, 4)
    shown = [
        (_("Condition"), str(condition.get("text", ""))),
        (_("Measured"), f"{name} {measured(condition.get('value'), symbol, 4)}".strip()),
        (_("Limit"), f"{condition.get('operator', '')} {limit}".strip()),
    ]
    if condition.get("margin") is not None:
        shown.append((_("Margin"), f"{condition['margin']:+.3g} {symbol}".strip()))
    if condition.get("deadband"):
        shown.append((_("Clears after falling back by"), measured(condition["deadband"], symbol, 4)))
    return shown


def timeline(site: Site, events: Sequence[Event], language: Language) -> list[Line]:
    """The order's history, the newest first."""
    return [_line(site, event, language) for event in reversed(events)]


def _line(site: Site, event: Event, language: Language) -> Line:
    fields = event.payload.get("fields") or {}
    details = tuple(
        (i18n.term(language, "field", name), _value(site, name, value, language))
        for name, value in fields.items()
        if name in FIELDS and name not in TOLD_ELSEWHERE
    )
    machine = event.actor_kind != "person"
    return Line(
        at=event.at,
        icon=MARKS.get(event.type, "link" if machine else "message"),
        machine=machine,
        who=person_name(site, event.actor, language),
        what=i18n.term(language, "event", event.type),
        details=details,
    )


def _value(site: Site, name: str, value: object, language: Language) -> str:
    if name == "assignee":
        return person_name(site, str(value), language)
    if name == "stars" and isinstance(value, int):
        return "★" * value + "☆" * (5 - value)
    if name == "priority":
        return f"P{value}"
    return choice_name(name, value, language)
