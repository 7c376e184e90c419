"""Random rules and random traces, and the plain reading of the specification that panel and replay must equal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from rules import Bound, Panel, Rule, RuleSettings, State, Transition, View, bind, report, step
from rules.settings import MOST_WINDOWS
from rules.windows import Ages, Ring, Window

SECOND = 1_000_000_000
QUANTITIES = {"v": (0.0, 10.0), "n": (0.0, 20.0), "w": (0.0, 10.0)}
PLAIN = [
    "v > 3", "v >= 5", "v < 2", "v <= 1", "v == 4", "v != 4", "3 < v", "n > 2", "not n > 2", "n <= 5", "1 < v < 3",
    "v > w", "v - w > high", "abs(v - n) >= 3", "v / n > 1", "max(v, w, n) > 6", "min(v, w) < 1", "v * 2 + w > 9",
    "w > high", "-v < -4",
]  # fmt: skip
WINDOWS = [
    "mean(v, '4s') > 3", "max(v, '3s') - min(v, '3s') > 2", "share(v > high, '5s') >= 0.6", "frozen(v, '4s')",
    "not frozen(w, '4s')", "rate(v, '4s') > 0.5", "mean(v, '4s') > w", "count(w, '5s') > 3", "increase(n, '5s') >= 4",
    "median(v, '4s') > 3", "p90(w, '5s') >= 6", "hours(v > high, '5s') > 0.0005", "not hours(v > 3, '3s') > 0.0003",
]  # fmt: skip
BY_THE_CLOCK = ["stale(v, '4s')", "not stale(w, '5s')", "stale(n, '2s')"]


def form(*kinds: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Rules of one to three limits, whose comparisons are of these kinds."""
    part = st.one_of(*map(st.sampled_from, kinds))
    expression = st.one_of(
        part,
        st.tuples(part, st.sampled_from(["and", "or"]), part).map(" ".join),
        st.tuples(part, part, part).map(lambda p: f"({p[0]} and {p[1]}) or {p[2]}"),
        st.tuples(part, part, part).map(lambda p: f"not ({p[0]} or {p[1]}) and {p[2]}"),
    )
    seconds = st.sampled_from(["0s", "1s", "3s", "7s"])
    deadband = st.sampled_from([0, 1, 2.5, "10%", {"v": 1, "n": "10%"}])
    when = st.fixed_dictionaries({"severity": st.integers(1, 4), "expr": expression, "on_delay": seconds})
    return st.fixed_dictionaries(
        {
            "failure_mode": st.just("VIB"),
            "scope": st.just({"class": "pump"}),
            "signals": st.just({"v": "v", "n": "n", "w": "w"}),
            "params": st.just({"high": 4.0}),
            "when": st.lists(when, min_size=1, max_size=3).filter(_few_windows),
            "clear": st.fixed_dictionaries({"deadband": deadband, "off_delay": seconds}),
            "quality": st.just({"max_gap": "3s"}),
        }
    )


def _few_windows(whens: list[dict[str, Any]]) -> bool:
    return "".join(when["expr"] for when in whens).count("'") <= 2 * MOST_WINDOWS


Trace = list[tuple[int, int, list[float]]]  # which set, seconds since the last batch, values
value = st.sampled_from([1.0, 2.0, 4.0, 6.0, 6.0, 8.0, 0.0, math.nan])
moment = st.tuples(st.integers(0, 4), st.sampled_from([1, 1, 1, 1, 2, 5, 0, -2]))
stretch = st.tuples(st.lists(value, min_size=4, max_size=4), st.lists(moment, min_size=1, max_size=8))


def trace(longest: int) -> st.SearchStrategy[Trace]:
    """Stretches of constant values, since delays must get the time to run out."""
    return st.lists(stretch, min_size=1, max_size=longest).map(
        lambda found: [(which, forward, values) for values, moments in found for which, forward in moments]
    )


SETS = (
    ("a/v", "a/n", "other/x", "a/w"),  # all of an asset in one batch
    ("b/v",),  # asset b comes in two batches
    ("b/w", "b/n"),
    ("a/w", "b/v"),  # and some signals come on two ways
)


class OneByOne:
    """The plain reading of the specification: every rule is stepped for every sample of its inputs."""

    def __init__(self, bounds: Sequence[Bound]) -> None:
        self.bounds = bounds
        self.states = [State() for _ in bounds]
        self.last: dict[str | Window, tuple[int, float]] = {}
        windows = dict.fromkeys(window for bound in bounds for window in bound.windows)
        self.rings = {window: Ring([window]) for window in windows if window.function != "age"}
        self.ages = Ages([window for window in windows if window.function == "age"])

    def judge(self, names: Sequence[str], time: int, values: Sequence[float]) -> list[Transition]:
        fresh = [name for name in names if name not in self.last or self.last[name][0] < time]
        self.last |= {name: (time, x) for name, x in zip(names, values, strict=False) if name in fresh}
        for window, ring in self.rings.items():
            if window.signal in fresh:
                x = np.array([self.last[window.signal][1]])
                self.last[window] = time, ring.push(np.array([0]), time, x).item()
        for row, window in enumerate(self.ages.windows):
            if window.signal in fresh:
                x = np.array([self.last[window.signal][1]])
                age = self.ages.push(np.array([row]), time, x).item()
                self.last[window] = self.ages.clock, age
        return self.step(fresh)

    def tick(self, time: int) -> list[Transition]:
        ages = self.ages.at(time).tolist()
        self.last |= {w: (self.ages.clock, age) for w, age in zip(self.ages.windows, ages, strict=True)}
        return self.step(self.ages.windows)

    def step(self, fresh: Sequence[str | Window]) -> list[Transition]:
        found = []
        for i, bound in enumerate(self.bounds):
            keys: list[str | Window] = [*bound.inputs, *bound.windows]
            if not set(keys) & set(fresh):
                continue
            seen = [self.last.get(key, (-(2**62), math.nan)) for key in keys]
            now = max(t for t, _ in seen)
            inputs = [math.nan if now - t > bound.program.max_gap else x for t, x in seen]
            before = self.states[i]
            self.states[i] = step(bound, before, now, inputs)
            found += report(bound, before, self.states[i], now, inputs)
        return found


def columns(values: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    x = np.array(values)
    return x, np.where(np.isnan(x), 0x81, 0).astype(np.uint8)


def judge(
    panel: Panel, views: dict[int, View], which: int, time: int, values: Sequence[float]
) -> list[Transition]:
    """Batch ``which`` of ``SETS``; one beyond them is a tick of the clock."""
    if which == len(SETS):
        return panel.tick(time)
    if which not in views:
        views[which] = panel.view(SETS[which])
    return panel.judge(views[which], time, *columns(values[: len(SETS[which])]))


def settled(state: State) -> tuple[object, ...]:
    """All of a state but the time of its last step, which a screen is there to save."""
    return (
        state.phase, state.since, state.severity, state.active_since, state.reactivations, state.cause, state.peak,
        state.levels if any(state.levels) else (), state.leaving,
    )  # fmt: skip


def rules_of(forms: Sequence[dict[str, Any]]) -> list[Bound]:
    rules = [Rule(f"r{i}", RuleSettings.model_validate(form)) for i, form in enumerate(forms)]
    return [
        bind(rule, asset, QUANTITIES, {"high": 2.0} if asset == "b" else None)
        for rule in rules
        for asset in ("a", "b")
    ]
