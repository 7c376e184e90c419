"""Rule tests as data: series in a short notation, then what must be true at which time.

Written by engineers as TOML and run without a plant; every mistake found at a site becomes one. Notation, as in
promtool: ``1.8`` one sample, ``1.8x60`` that sample and 60 more, ``1.8+0.1x20`` then rising by 0.1 twenty times,
``_`` no sample at all, ``_x12`` twelve of these; and ours: ``?`` a sample that is not good, ``?x12`` twelve.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from rules.duration import Duration, LastingDuration, nanoseconds, write_duration
from rules.episode import Phase, State
from rules.panel import Panel, View
from rules.rule import Bound, Rule, bind
from rules.settings import RuleSettings
from rules.transition import Transition

START = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z, the time of the first sample
MOST_SAMPLES = 1_000_000
NOT_GOOD = 0x80
_ABSENT = {"_": None, "?": math.nan}
_ITEM = re.compile(r"(?P<first>_|\?|-?\d+(?:\.\d+)?)(?P<change>[+-]\d+(?:\.\d+)?)?(?:x(?P<more>\d{1,7}))?")


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Expect(_Form):
    """What must be true once all samples up to ``at`` have been judged; what is not named is not looked at."""

    at: Duration
    rule: str = ""
    phase: Phase | None = None
    severity: Annotated[int, Field(ge=0, le=4)] | None = None
    episodes: int | None = None
    reactivations: int | None = None
    work_orders: int | None = None
    occurrences: int | None = None
    priority: Literal["P1", "P2", "P3", "P4"] | None = None
    wo_state: str | None = None

    def of_orders(self) -> dict[str, object]:
        """The part that only a desk with work orders can answer."""
        asked = {name: getattr(self, name) for name in ("work_orders", "occurrences", "priority", "wo_state")}
        return {name: found for name, found in asked.items() if found is not None}


class Case(_Form):
    """One file: an asset's series and what its rules must make of them.

    The rules are written in the file (``[rule.<id>]``) or are the site's (``rules = ["pump-vib"]``).
    """

    title: str
    asset: str = "asset-1"
    interval: LastingDuration = timedelta(seconds=1)
    rules: tuple[str, ...] = ()
    rule: dict[str, RuleSettings] = Field(default_factory=dict)
    params: dict[str, dict[str, FiniteFloat]] = Field(default_factory=dict)
    ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)
    series: Annotated[dict[str, str], Field(min_length=1)]
    expect: Annotated[tuple[Expect, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _whole(self) -> Case:
        known = [*self.rules, *self.rule]
        if not known:
            raise ValueError(
                'a case names the site\'s rules (rules = ["pump-vib"]) or holds its own ([rule.<id>])'
            )
        for expect in self.expect:
            if expect.rule not in known and (expect.rule or len(known) > 1):
                raise ValueError(f"expect at {write_duration(expect.at)}: rule is one of {', '.join(known)}")
        for text in self.series.values():
            samples(text)
        return self


@dataclass(frozen=True, slots=True)
class Moment:
    """An expectation with what was there: the rule's state, and all transitions since the moment before."""

    expect: Expect
    state: State
    episodes: int
    transitions: list[Transition]
    time: int


Orders = Callable[[Moment], Mapping[str, object]]


def samples(text: str) -> list[float | None]:
    """The series in full: None where there is no sample, NaN where it is not good; raises ValueError."""
    found: list[float | None] = []
    for word in text.split():
        item = _ITEM.fullmatch(word)
        if item is None or (item["change"] and (item["first"] in _ABSENT or not item["more"])):
            raise ValueError(
                f'"{word}" is no item of a series; write for example 1.8x60, 1.8+0.1x20, _x12 or ?'
            )
        more = int(item["more"] or 0)
        if len(found) + more >= MOST_SAMPLES:
            raise ValueError(f"a series has at most {MOST_SAMPLES} samples")
        if item["first"] in _ABSENT:
            found += [_ABSENT[item["first"]]] * (more if item["more"] else 1)
        else:
            found += [float(item["first"]) + i * float(item["change"] or 0) for i in range(more + 1)]
    return found


def play(case: Case, site: Mapping[str, Rule]) -> Iterator[Moment]:
    """Judge the series and stop at each expectation, in the order of time; raises RuleError if a rule does not fit."""
    rules = [site[name] for name in case.rules] + [
        Rule(name, settings) for name, settings in case.rule.items()
    ]
    spans = {name: case.ranges.get(name) for name in case.series}
    bounds = {rule.id: bind(rule, case.asset, spans, case.params.get(rule.id)) for rule in rules}
    panel = Panel(bounds.values())
    bench = _Bench(panel, case)
    raised: Counter[str] = Counter()
    for expect in sorted(case.expect, key=lambda expect: expect.at):
        time = START + nanoseconds(expect.at)
        said = bench.run(until=time)
        raised.update(t.rule for t in said if t.kind == "raised")
        bound = bounds[expect.rule or rules[0].id]
        yield Moment(expect, _state(panel, bound), raised[bound.rule.id], said, time)


def check(case: Case, site: Mapping[str, Rule], orders: Orders | None = None) -> list[str]:
    """What is not as expected, one line each. ``orders`` answers for work orders, which this room does not know."""
    wrong = []
    for moment in play(case, site):
        expect, state = moment.expect, moment.state
        found: dict[str, object] = {
            "phase": state.phase,
            "severity": state.severity,
            "episodes": moment.episodes,
            "reactivations": state.reactivations,
            **(orders(moment) if orders else {}),
        }
        for name, wanted in expect.model_dump(exclude={"at", "rule"}, exclude_none=True).items():
            if name not in found:
                wrong.append(f"at {write_duration(expect.at)}: {name} needs a desk with work orders")
            elif found[name] != wanted:
                wrong.append(f"at {write_duration(expect.at)}: {name} is {found[name]}, expected {wanted}")
    return wrong


class _Bench:
    """Feeds the series to a panel; a batch holds the signals that have a sample at its time."""

    def __init__(self, panel: Panel, case: Case) -> None:
        self._panel = panel
        self._series = {f"{case.asset}/{name}": samples(text) for name, text in case.series.items()}
        self._interval = nanoseconds(case.interval)
        self._views: dict[tuple[str, ...], View] = {}
        self._next = 0

    def run(self, until: int) -> list[Transition]:
        """Judge every sample up to and at ``until`` (UTC ns) that has not been judged yet."""
        said: list[Transition] = []
        length = max(len(column) for column in self._series.values())
        while self._next < length and START + self._next * self._interval <= until:
            said += self._judge(self._next)
            said += self._panel.tick(START + self._next * self._interval)
            self._next += 1
        return said

    def _judge(self, i: int) -> list[Transition]:
        found = {name: column[i] for name, column in self._series.items() if i < len(column)}
        present = {name: value for name, value in found.items() if value is not None}
        names = tuple(present)
        if names not in self._views:
            self._views[names] = self._panel.view(names)
        values = np.array(list(present.values()), np.float64)
        quality = np.where(np.isnan(values), NOT_GOOD, 0).astype(np.uint8)
        return self._panel.judge(self._views[names], START + i * self._interval, values, quality)


def _state(panel: Panel, bound: Bound) -> State:
    return next((state for found, state in panel.states() if found is bound), State())
