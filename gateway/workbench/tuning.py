"""Tuning one number of a rule: its trade-off over labelled stretches, the knee, and a proposal."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gateway.i18n import Language, speaker
from gateway.site import Site, overrides
from gateway.workbench import drawing
from gateway.workbench.facts import quantities
from gateway.workbench.labels import Lesson
from gateway.workbench.page import Grid, Page, Section
from gateway.workbench.question import Played, Question, bound_with, compared, outcome_of
from gateway.workbench.recorded import PastError
from gateway.workbench.trial import Progress, silent
from rules import Rule, lint
from rules.tradeoff import ON_DELAY, Outcome, Point, as_toml, knee, spread_values

_HOUR = 3600e9


@dataclass(frozen=True, slots=True)
class Answer:
    """The curve, the place of the proposal on it, and how the rule does as it is."""

    question: Question
    points: tuple[Point, ...]
    chosen: int | None
    present: Outcome
    lessons: tuple[str, ...]

    def toml(self) -> str:
        """The proposal, for rules.toml or, where the asset has its own number, assets.toml; empty if there is none."""
        asked = self.question
        if self.chosen is None:
            return ""
        asset = asked.asset if asked.own else None
        return as_toml(asked.rule, asked.number, self.points[self.chosen].value, asked.severity, asset)


def ask(site: Site, rule: Rule, asset: str, number: str | None) -> Question:
    """What is to be tuned; without a name the first parameter of the most severe limit that is compared alone."""
    worst = max(rule.settings.when, key=lambda when: when.severity)
    if number is None:
        number = next((name for name in rule.settings.params if compared(name, rule, worst.expr)), ON_DELAY)
    of = [when for when in rule.settings.when if number == ON_DELAY or re.search(rf"\b{number}\b", when.expr)]
    if number != ON_DELAY and number not in rule.settings.params:
        known = ", ".join([*rule.settings.params, ON_DELAY])
        raise PastError(f"rule {rule.id} has no parameter {number}; it has: {known}")
    level = max(of, key=lambda when: when.severity, default=worst)
    if number == ON_DELAY:
        return Question(rule, asset, number, level.severity, level.on_delay.total_seconds())
    own = overrides(site, asset, rule.id)
    present = own.get(number, rule.settings.params[number])
    if isinstance(present, str):
        raise PastError(f"{asset} gives no {number} for rule {rule.id}: name an asset that does, by --asset")
    return Question(rule, asset, number, level.severity, present, number in own)


def tune(
    site: Site,
    asked: Question,
    lessons: Sequence[Lesson],
    values: Sequence[float],
    progress: Progress = silent,
) -> Answer:
    """Play every value over every lesson; raises StoreError."""
    if not any(lesson.faults for lesson in lessons):
        raise PastError(
            "none of the lessons has a fault: there is nothing to be found, so nothing to tune on"
        )
    played = [Played(site, asked, lesson) for lesson in lessons]
    chosen = list(values) or _range(asked, played)
    points = []
    for i, value in enumerate(chosen):
        progress(f"{asked.number} = {value:g}", i / len(chosen))
        points.append(Point(value, outcome_of(played, value)))
    present = outcome_of(played, asked.present)
    return Answer(asked, tuple(points), knee(points), present, tuple(lesson.name for lesson in lessons))


def mind(site: Site, answer: Answer) -> list[str]:
    """What lint would say of the rule with the proposal and does not say of it as it is."""
    asked = answer.question
    if answer.chosen is None:
        return []
    known = quantities(site, asked.asset)
    before, after = (
        list(lint.of_binding(bound_with(site, asked, value), known))
        for value in (asked.present, answer.points[answer.chosen].value)
    )
    return [text for text in after if text not in before]


def _range(asked: Question, played: Sequence[Played], steps: int = 25) -> list[float]:
    """From what is usual in health to what faults reach, closer where health ends; else around the present value."""
    found = [looked for each in played if (looked := each.looked_at()) is not None]
    if asked.number == ON_DELAY or not found:
        low = asked.present / 2 if asked.present else 0.0
        return spread_values(low, 2 * asked.present or 600.0, steps)
    well = np.concatenate([values for _, values, _ in found])
    growing = np.concatenate([values for _, _, values in found])
    if not well.size or not growing.size:
        return spread_values(asked.present / 2, asked.present * 2, steps)
    above = found[0][0] in {">", ">="}
    usual = float(np.quantile(well, 0.5))
    reached, extreme = (float(x.max() if above else x.min()) for x in (growing, well))
    values = [
        value
        for end, count in ((reached, steps), (extreme, steps // 3))
        for value in spread_values(min(usual, end), max(usual, end), count)
    ]
    return sorted(set(values))


# -------------------------------------------------------------------------------------- showing


def grid(answer: Answer, language: Language) -> Grid:
    """The curve as a table; ``<-`` marks the proposal."""
    _ = speaker(language)
    heads = [answer.question.number, _("false alarms a day"), _("median delay"), _("found"), _("missed"), ""]
    lines = [
        _row(point.value, point.outcome, "<-" if i == answer.chosen else "")
        for i, point in enumerate(answer.points)
    ]
    return Grid(heads, [*lines, _row(answer.question.present, answer.present, _("now"))], frozenset(range(5)))


def _row(value: float, outcome: Outcome, remark: str) -> list[object]:
    rate = "-" if math.isnan(outcome.false_a_day) else f"{outcome.false_a_day:.3g}"
    return [f"{value:g}", rate, _hours(outcome.delay), len(outcome.delays), outcome.missed, remark]


def _hours(ns: float) -> str:
    if math.isnan(ns):
        return "-"
    return f"{ns / _HOUR:.1f} h" if ns >= _HOUR else f"{ns / 60e9:.1f} min"


def write(folder: Path, answer: Answer, language: Language) -> Path:
    """The page with the curve, and ``proposal.toml`` beside it. Raises OSError."""
    _ = speaker(language)
    asked = answer.question
    shown = [
        (point.outcome.false_a_day, point.outcome.delay / _HOUR, f"{point.value:g}")
        for point in answer.points
        if point.outcome.delays and not math.isnan(point.outcome.false_a_day)
    ]
    best = f"{answer.points[answer.chosen].value:g}" if answer.chosen is not None else ""
    chosen = next((i for i, (_x, _y, value) in enumerate(shown) if value == best), None)
    curve = drawing.curve(shown, chosen, across=_("false alarms a day"), up="h")
    plots = [(_("Median delay in hours over false alarms a day, for each value; the proposal is red"), curve)]
    sections = [
        Section(_("Trade-off"), grid(answer, language), plots if shown else ()),
        Section(_("Proposal"), text=answer.toml()),
    ]
    page = Page(
        _("Tuning %(number)s of rule %(rule)s", number=asked.number, rule=asked.rule.id),
        [asked.asset, _("severity %(n)s and above", n=asked.severity), ", ".join(answer.lessons)],
        [
            _(
                "A proposal, not a change: no rule was touched. A value counts with the worst false alarms of"
                " those beside it."
            )
        ],
        sections,
    )
    written = page.write(folder, language)
    (folder / "proposal.toml").write_text(answer.toml(), encoding="utf-8")
    return written
