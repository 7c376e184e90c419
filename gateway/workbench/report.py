"""What a trial showed, as tables for the terminal and the page, and plots for the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gateway.i18n import Language, speaker
from gateway.site import Site
from gateway.wording import asset_with_id, signal_name
from gateway.workbench import drawing
from gateway.workbench.page import Grid, Page, Section
from gateway.workbench.trial import Trial
from rules import Bound
from rules.condition import Test
from ticketing import Alarm

_MS = 1_000_000
_DAY = 86_400_000_000_000
_MOST_PLOTS = 40


def moment(ns: int) -> str:
    """UTC, to the second."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S")


def orders(trial: Trial, language: Language) -> Grid:
    """The work orders that would have opened."""
    _ = speaker(language)
    heads = [
        _("opened (UTC)"),
        _("asset"),
        _("severity"),
        _("failure mode"),
        _("rule"),
        _("alarms"),
        _("why"),
    ]
    rows = [
        [
            moment(opened.order.opened_at * _MS),
            opened.order.asset or "",
            opened.order.severity_max,
            opened.order.failure_mode or "",
            ", ".join(dict.fromkeys(alarm.rule_id for alarm in opened.alarms)),
            len(opened.alarms),
            opened.sentence[language],
        ]
        for opened in trial.orders
    ]
    return Grid(heads, rows, frozenset({2, 5}))


def figures(trial: Trial, language: Language) -> Grid:
    """What each rule did."""
    _ = speaker(language)
    heads = [
        *(_("rule"), _("assets"), _("samples"), _("orders"), _("alarms"), _("alarms a day"), _("swings")),
        _("share of time active"),
    ]
    rows = [
        [
            name,
            found.assets,
            f"{found.samples:,}".replace(",", " "),
            found.orders,
            found.alarms,
            f"{found.alarms / trial.length * _DAY:.3g}",
            found.swings,
            f"{found.active / trial.length / found.assets:.2%}",
        ]
        for name, found in trial.figures.items()
    ]
    return Grid(heads, rows, frozenset(range(1, 8)))


def facts(trial: Trial, language: Language) -> list[str]:
    """What was played: where from, from when to when, how much."""
    _ = speaker(language)
    return [
        trial.stretch.past.name,
        f"{moment(trial.stretch.start)} … {moment(trial.stretch.end)} UTC",
        _("samples: %(n)s", n=f"{trial.samples:,}".replace(",", " ")),
        _("work orders: %(n)s", n=len(trial.orders)),
        _("alarms: %(n)s", n=len(trial.alarms)),
    ]


def notes(trial: Trial, language: Language) -> list[str]:
    """What a reader must know to trust the figures no further than they go."""
    _ = speaker(language)
    found = [_("Nobody works on the orders here: later alarms of a fault join the order that is still open.")]
    if trial.condensed:
        found.append(
            _(
                "%(share)s of the points are means of a minute, since the samples are gone: what was shorter than a"
                " minute is not seen.",
                share=f"{trial.condensed / max(trial.samples, 1):.0%}",
            )
        )
    for rule, missing in trial.unheard.items():
        signals = ", ".join(missing[:4]) + (" …" if len(missing) > 4 else "")
        found.append(_("Rule %(rule)s had no samples of: %(signals)s.", rule=rule, signals=signals))
    return found


def as_json(trial: Trial) -> dict[str, Any]:
    """The trial as plain data; times are UTC ms."""
    return {
        "past": trial.stretch.past.name,
        "start": trial.stretch.start // _MS,
        "end": trial.stretch.end // _MS,
        "samples": trial.samples,
        "condensed": trial.condensed,
        "unheard": trial.unheard,
        "work_orders": [
            {
                "opened_at": opened.order.opened_at,
                "asset": opened.order.asset,
                "failure_mode": opened.order.failure_mode,
                "severity": opened.order.severity_max,
                "title": {"zh": opened.order.title_zh, "en": opened.order.title_en},
                "why": dict(opened.sentence),
                "alarms": [
                    {
                        name: getattr(alarm, name)
                        for name in ("rule_id", "severity", "raised_at", "cleared_at")
                    }
                    for alarm in opened.alarms
                ],
            }
            for opened in trial.orders
        ],
        "rules": {name: asdict(found) for name, found in trial.figures.items()},
    }


def write(folder: Path, site: Site, trial: Trial, language: Language) -> Path:
    """The page of a backtest; returns its file. Raises OSError, StoreError."""
    _ = speaker(language)
    sections = [Section(_("Work orders that would have opened"), orders(trial, language))]
    if plots := _plots(site, trial, language):
        sections.append(Section(_("Signals with alarms"), plots=plots))
    sections.append(Section(_("Rules"), figures(trial, language)))
    title = _("Backtest of %(site)s", site=site.site.name)
    return Page(title, facts(trial, language), notes(trial, language), sections).write(folder, language)


def _plots(site: Site, trial: Trial, language: Language) -> list[tuple[str, str]]:
    """A captioned plot of the first signal of each rule with alarms on an asset."""
    alarms: dict[tuple[str, str], list[Alarm]] = {}
    for alarm in trial.alarms:
        alarms.setdefault((alarm.asset, alarm.rule_id), []).append(alarm)
    first = {opened.alarms[0].episode: opened.order for opened in trial.orders if opened.alarms}
    found: list[tuple[str, str]] = []
    for bound in trial.bounds:
        raised = alarms.get((bound.asset, bound.rule.id), [])
        if raised and len(found) < _MOST_PLOTS:
            asset, signal = (
                asset_with_id(site, bound.asset, language),
                signal_name(site, bound.inputs[0], language),
            )
            opened = [first[alarm.episode] for alarm in raised if alarm.episode in first]
            marks = [(order.opened_at * _MS, order.number) for order in opened]
            found.append((f"{asset}: {signal} · {bound.rule.id}", _plot(site, trial, bound, raised, marks)))
    return found


def _plot(
    site: Site, trial: Trial, bound: Bound, raised: Sequence[Alarm], marks: Sequence[tuple[int, str]]
) -> str:
    signal, stretch = bound.inputs[0], trial.stretch
    known = site.signal(signal)
    shades = [
        drawing.Shade(
            alarm.raised_at * _MS,
            stretch.end if alarm.cleared_at is None else alarm.cleared_at * _MS,
            alarm.severity,
        )
        for alarm in raised
    ]
    return drawing.timeline(
        stretch.past.track(signal, stretch.start, stretch.end),
        stretch.start,
        stretch.end,
        unit=known.unit if known else "",
        limits=[
            (test.text, limit) for test in bound.program.tests if (limit := _limit_on_first(test)) is not None
        ],
        shades=shades,
        marks=marks,
    )


def _limit_on_first(test: Test) -> float | None:
    """The number that the comparison holds the plotted signal against, as it is or over a window in its unit."""
    same_unit = test.function in {"", "mean", "min", "max"} and test.operator not in {"==", "!="}
    return test.right if same_unit and test.signal == 0 and isinstance(test.right, float) else None
