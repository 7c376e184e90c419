"""Which number of a rule is in question, and the rule with other values of it over a labelled stretch of the past."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from gateway.site import Site, overrides, spans
from gateway.workbench.labels import Lesson
from gateway.workbench.recorded import PastError
from gateway.workbench.trial import pulse
from rules import Bound, Rule, Transition, bind
from rules.condition import Test
from rules.replay import by_the_clock, replay, rows, ticked
from rules.tradeoff import Outcome, judge, variant

Values = NDArray[np.float64]
Table = tuple[NDArray[np.int64], Values]


@dataclass(frozen=True, slots=True)
class Question:
    """Which number of which rule, on which asset; alarms from ``severity`` on count. ``own``: the asset has its own."""

    rule: Rule
    asset: str
    number: str
    severity: int
    present: float
    own: bool = False


def compared(number: str, rule: Rule, expr: str) -> bool:
    """Whether ``number`` is a parameter that a comparison of ``expr`` holds a signal against, alone."""
    return number in rule.settings.params and re.search(rf"[<>]=? *{number}\b", expr) is not None


def bound_with(site: Site, asked: Question, value: float) -> Bound:
    """The rule with that number on the asset."""
    own = {k: v for k, v in overrides(site, asked.asset, asked.rule.id).items() if k != asked.number}
    rule = variant(asked.rule, asked.number, value, asked.severity)
    return bind(rule, asked.asset, spans(site, asked.asset), own)


class Played:
    """One lesson with its columns made once, for every value that is tried; raises StoreError, PastError."""

    def __init__(self, site: Site, asked: Question, lesson: Lesson) -> None:
        self.site, self.asked, self.lesson = site, asked, lesson
        self._bound = partial(bound_with, site, asked)
        present = self._bound(asked.present)
        self._tracks = [lesson.past.track(signal, lesson.start, lesson.end) for signal in present.inputs]
        for signal, track in zip(present.inputs, self._tracks, strict=True):
            if not len(track):
                raise PastError(f"{lesson.name} has no samples of {signal}")
        self._tables: dict[tuple[object, ...], Table] = {}

    def outcome(self, value: float) -> Outcome:
        """How the rule does with ``value``."""
        lesson = self.lesson
        span = lesson.start, lesson.end
        return judge(self.said(value), lesson.faults, *span, self.asked.severity, unknown=lesson.unknown)

    def known(self, said: Transition) -> bool:
        """Whether the alarm is not simply a needless one: a fault was there, or nobody knows."""
        faults = ((fault.onset, fault.end) for fault in self.lesson.faults)
        return any(a <= said.since <= b for a, b in (*faults, *self.lesson.unknown))

    def said(self, value: float) -> list[Transition]:
        """What the rule says with ``value``."""
        bound = self._bound(value)
        series = [(track.times, track.values) for track in self._tracks]
        if by_the_clock(bound):
            return ticked(bound, series, np.unique(np.concatenate([pulse(times) for times, _ in series])))
        if bound.windows not in self._tables:
            self._tables[bound.windows] = rows(bound, series)
        return replay(bound, *self._tables[bound.windows])[1]

    @property
    def tests(self) -> Sequence[Test]:
        """The comparisons of the rule as it is."""
        return self._bound(self.asked.present).program.tests

    def limited(self) -> Test | None:
        """The comparison whose limit the number is."""
        wanted = re.compile(rf"[<>]=? *{self.asked.number}$")
        return next((test for test in self.tests if wanted.search(test.text)), None)

    def looked_at(self) -> tuple[str, Values, Values] | None:
        """Of the comparison that the number limits: its operator, and the values in health and while a fault grew."""
        bound, test = self._bound(self.asked.present), self.limited()
        if test is None or by_the_clock(bound):
            return None
        times, values = rows(bound, [(track.times, track.values) for track in self._tracks])
        feature = bound.program.features[test.feature]
        columns = [values[:, i] for i in range(values.shape[1])]
        x = columns[feature.input] if feature.compute is None else feature.compute(columns)
        well, growing = np.isfinite(x), np.zeros(times.size, np.bool_)
        for fault in self.lesson.faults:
            well &= (times < fault.onset) | (times > fault.end)
            growing |= (times >= fault.onset) & (times <= fault.lost)
        return test.operator, x[well], x[growing & np.isfinite(x)]


def outcome_of(played: Sequence[Played], value: float) -> Outcome:
    """How the rule does with ``value`` over all of them."""
    return _sum(each.outcome(value) for each in played)


def _sum(outcomes: Iterable[Outcome]) -> Outcome:
    total = Outcome()
    for outcome in outcomes:
        total += outcome
    return total
