"""History in one go against ``step`` sample by sample, and against the panel that runs live."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules import Panel, Rule, RuleError, RuleSettings, State, Transition, bind, report, step
from rules.replay import by_the_clock, replay, rows, ticked
from tests.rules.traces import BY_THE_CLOCK, PLAIN, QUANTITIES, SECOND, WINDOWS, columns, form, settled, value

forwards = st.lists(st.sampled_from([1, 1, 1, 1, 2, 5]), min_size=1, max_size=9)
stretch = st.tuples(forwards, st.lists(value, min_size=3, max_size=3))
sample = st.tuples(st.sampled_from([1, 1, 2, 3, 9]), st.integers(1, 4), value)


@settings(max_examples=120, deadline=None)
@given(form(PLAIN), st.lists(stretch, max_size=8), st.integers(0, 30))
def test_replay_says_what_step_says(
    one: dict[str, Any], trace: list[tuple[list[int], list[float]]], cut: int
) -> None:
    bound = bind(Rule("r", RuleSettings.model_validate(one)), "a", QUANTITIES)
    table = [(forward, values) for forwards, values in trace for forward in forwards]
    times = np.cumsum([forward for forward, _ in table], dtype=np.int64) * SECOND
    values = np.array([values for _, values in table], np.float64).reshape(-1, 3)
    state, wanted = State(), list[Transition]()
    for time, found in zip(times.tolist(), values.tolist(), strict=True):
        before, state = state, step(bound, state, time, found)
        wanted += report(bound, before, state, time, found)
    for worth in (0, 4, 1_000):  # skipping, both, walking
        after, said = replay(bound, times, values, worth=worth)
        assert said == wanted
        assert settled(after) == settled(state)
        half, first = replay(bound, times[:cut], values[:cut], worth=worth)  # in two stretches
        _, second = replay(bound, times[cut:], values[cut:], half, worth=worth)
        assert first + second == wanted


@settings(max_examples=100, deadline=None)
@given(form(PLAIN, WINDOWS), st.tuples(*(st.lists(sample, max_size=6) for _ in range(3))))
def test_history_says_what_the_panel_said_live(
    one: dict[str, Any], series: tuple[list[tuple[int, int, float]], ...]
) -> None:
    bound = bind(Rule("r", RuleSettings.model_validate(one)), "a", QUANTITIES)
    recorded = [
        (
            np.cumsum([f for f, repeat, _ in samples for _ in range(repeat)], dtype=np.int64) * SECOND,
            np.array([x for _, repeat, x in samples for _ in range(repeat)], np.float64),
        )
        for samples in series
    ]
    panel = Panel([bound])
    live: list[Transition] = []
    for time in sorted({int(t) for times, _ in recorded for t in times}):
        now = {
            name: float(values[times == time][0])
            for name, (times, values) in zip(bound.inputs, recorded, strict=True)
            if (times == time).any()
        }
        live += panel.judge(panel.view(list(now)), time, *columns(list(now.values())))
    assert replay(bound, *rows(bound, recorded), worth=0)[1] == live


def test_rows_keep_an_input_for_max_gap_and_no_longer() -> None:
    settings = {
        "failure_mode": "VIB",
        "scope": {"class": "pump"},
        "signals": {"v": "v", "n": "n"},
        "quality": {"max_gap": "3s"},
    }
    rule = Rule(
        "r", RuleSettings.model_validate(settings | {"when": [{"severity": 3, "expr": "v > 1 and n > 1"}]})
    )
    bound = bind(rule, "a", QUANTITIES)
    v = np.array([1, 2, 3, 4, 5, 6], np.int64) * SECOND, np.array([1.0, 2, 3, 4, 5, 6])
    n = np.array([2], np.int64) * SECOND, np.array([7.0])
    times, values = rows(bound, [v, n])
    assert (times // SECOND).tolist() == [1, 2, 3, 4, 5, 6]
    assert [None if math.isnan(x) else x for x in values[:, 1]] == [None, 7, 7, 7, 7, None]


CLOCKED = RuleSettings.model_validate(
    {
        "failure_mode": "AIR",
        "scope": {"class": "pump"},
        "signals": {"v": "v"},
        "when": [{"severity": 3, "expr": BY_THE_CLOCK[0]}],
    }
)


def test_what_the_clock_decides_is_not_replayed_from_samples() -> None:
    bound = bind(Rule("r", CLOCKED), "a", QUANTITIES)
    assert by_the_clock(bound)
    with pytest.raises(RuleError, match="judged by the clock"):
        rows(bound, [(np.array([1]), np.array([1.0]))])


def test_what_the_clock_decides_is_played_tick_by_tick() -> None:
    rule = CLOCKED.model_copy(
        update={"when": (CLOCKED.when[0].model_copy(update={"expr": "stale(v, '3m')"}),)}
    )
    bound = bind(Rule("r", rule), "a", QUANTITIES)
    heard = np.r_[0:600, 1200:1800].astype(np.int64) * SECOND  # a hole of ten minutes
    series = [(heard, np.ones(heard.size))]
    everything = np.arange(0, 1800, 5, dtype=np.int64) * SECOND
    said = ticked(bound, series, everything)
    assert [(t.kind, t.time // SECOND) for t in said] == [("raised", 780), ("cleared", 1200)]
    assert (
        ticked(bound, series, np.unique(heard // (5 * SECOND)) * 5 * SECOND) == []
    )  # then it was we who were away


@settings(max_examples=50, deadline=None)
@given(form(PLAIN, WINDOWS), st.tuples(*(st.lists(sample, max_size=6) for _ in range(3))))
def test_ticks_change_nothing_for_rules_that_do_not_ask_the_clock(
    one: dict[str, Any], series: tuple[list[tuple[int, int, float]], ...]
) -> None:
    bound = bind(Rule("r", RuleSettings.model_validate(one)), "a", QUANTITIES)
    recorded = [
        (
            np.cumsum([f for f, repeat, _ in samples for _ in range(repeat)], dtype=np.int64) * SECOND,
            np.array([x for _, repeat, x in samples for _ in range(repeat)], np.float64),
        )
        for samples in series
    ]
    every = np.arange(0, 60, 5, dtype=np.int64) * SECOND
    assert ticked(bound, recorded, every) == replay(bound, *rows(bound, recorded), worth=0)[1]
