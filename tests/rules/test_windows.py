"""Windows against the plain formula over the samples that they should hold, and what starts them anew."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.condition import Band
from rules.functions import FUNCTIONS
from rules.past import history
from rules.windows import PARTS, SILENCE, Ages, Ring, Window

SECOND = 1_000_000_000
LENGTH = 60 * SECOND  # a sixtieth is a second
GAP = 5 * SECOND

PLAIN: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "mean": lambda _, x: float(x.mean()),
    "rms": lambda _, x: math.sqrt((x * x).mean()),
    "std": lambda _, x: float(x.std()),
    "min": lambda _, x: float(x.min()),
    "max": lambda _, x: float(x.max()),
    "spread": lambda _, x: float(np.ptp(x)),
    "median": lambda t, x: float(np.median(newest(t, x))),
    "p5": lambda t, x: float(np.percentile(newest(t, x), 5)),
    "p10": lambda t, x: float(np.percentile(newest(t, x), 10)),
    "p90": lambda t, x: float(np.percentile(newest(t, x), 90)),
    "p95": lambda t, x: float(np.percentile(newest(t, x), 95)),
    "count": lambda _, x: float(x.size),
    "share": lambda _, x: float((x > 3).mean()),
    "rate": lambda t, x: float(np.polyfit(t, x, 1)[0]) if np.ptp(t) else math.nan,
    "increase": lambda _, x: float(sum(b if b < a else b - a for a, b in pairwise(x))),
    "hours": lambda t, x: float((np.diff(t) * (x[:-1] > 3)).sum() / 3600),
}


def newest(t: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The newest sample of each sixtieth."""
    part = np.floor(t)
    return x[np.append(part[1:] != part[:-1], True)]


def window(function: str, signal: str = "a/v") -> Window:
    return Window(function, signal, LENGTH, GAP, Band.of(">", 3) if function in {"share", "hours"} else None)


def test_every_function_has_a_plain_formula() -> None:
    assert PLAIN.keys() == FUNCTIONS.keys()


@pytest.mark.parametrize("function", FUNCTIONS)
@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([0.25, 0.5, 1, 1, 2, 5]), st.floats(-100, 100)), min_size=1, max_size=200
    ),
    st.integers(0, 10**12),
)
def test_a_window_is_the_plain_formula_over_its_sixtieths(
    function: str, steps: list[tuple[float, float]], start: int
) -> None:
    ring = Ring([window(function)])
    times = start + np.cumsum([int(step * SECOND) for step, _ in steps])
    x = np.array([value for _, value in steps])
    row = np.array([0])
    for i, time in enumerate(times.tolist()):
        found = ring.push(row, time, x[i : i + 1]).item()
        if time - times[0] < LENGTH - SECOND:
            assert math.isnan(found)
            continue
        held = times[: i + 1] // SECOND > time // SECOND - PARTS
        inside = np.flatnonzero(held)
        if function == "rate":
            continue  # exact only for one sample a sixtieth: below
        if function in {"increase", "hours"} and inside[0] > 0:
            inside = np.concatenate(([inside[0] - 1], inside))  # the step into the window was made within it
        wanted = PLAIN[function](times[inside] / 1e9, x[inside])
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@settings(max_examples=50, deadline=None)
@given(st.floats(-5, 5), st.floats(-1000, 1000), st.integers(0, 10**9))
def test_the_rate_of_a_straight_line_is_its_slope(slope: float, offset: float, start: int) -> None:
    ring, row = Ring([window("rate")]), np.array([0])
    found = math.nan
    for i in range(61):
        found = ring.push(row, (start + i) * SECOND, np.array([offset + slope * i])).item()
    assert found == pytest.approx(slope, abs=1e-9)


def test_many_rows_are_as_one() -> None:
    chance = np.random.default_rng(1)
    for function in FUNCTIONS:
        many = Ring([window(function, f"a{i}/v") for i in range(5)])
        ones = [Ring([window(function)]) for _ in range(5)]
        time = 0
        for _ in range(100):
            time += int(chance.choice([1, 1, 1, 2, 3, 9])) * SECOND
            rows = np.flatnonzero(chance.random(5) < 0.7)
            x = np.where(chance.random(rows.size) < 0.1, np.nan, chance.normal(size=rows.size))
            together = many.push(rows, time, x)
            alone = [
                ones[row].push(np.array([0]), time, x[i : i + 1]).item()
                for i, row in enumerate(rows.tolist())
            ]
            np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("function", FUNCTIONS)
@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.3, 1, 1, 1, 2, 5, 6, 90]), st.one_of(st.floats(-9, 9), st.just(math.nan))
        ),
        min_size=1,
        max_size=300,
    ),
)
def test_history_is_what_was_said_sample_by_sample(function: str, steps: list[tuple[float, float]]) -> None:
    times = np.cumsum([int(step * SECOND) for step, _ in steps])
    x = np.array([value for _, value in steps])
    ring, row = Ring([window(function)]), np.array([0])
    wanted = [ring.push(row, time, x[i : i + 1]).item() for i, time in enumerate(times.tolist())]
    np.testing.assert_array_equal(history(window(function), times, x), wanted)


def test_a_gap_starts_a_window_anew_and_a_bad_sample_makes_it_unknown() -> None:
    ring, row = Ring([window("mean")]), np.array([0])

    def push(second: float, x: float) -> float:
        return ring.push(row, int(second * SECOND), np.array([x])).item()

    for second in range(60):
        value = push(second, 2.0)
    assert value == 2.0
    assert math.isnan(push(60, math.nan))
    assert push(61, 2.0) == 2.0  # it was only left out
    assert math.isnan(push(61 + 6, 2.0))  # a gap: longer than max_gap
    assert math.isnan(push(61 + 7, 2.0))


def test_a_small_spread_on_a_large_value_is_not_drowned() -> None:
    ring, row = Ring([window("std")]), np.array([0])
    for second in range(61):
        found = ring.push(row, second * SECOND, np.array([1e9 + second % 2])).item()
    assert found == pytest.approx(0.5, rel=1e-3)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_window_goes_on_from_its_memory(function: str) -> None:
    chance = np.random.default_rng(2)
    one, row = Ring([window(function)]), np.array([0])
    for second in range(50):
        one.push(row, second * SECOND, chance.normal(size=1))
    other = Ring([window(function)])
    other.recall(0, one.memory(0))
    for second in range(50, 100):
        x = chance.normal(size=1)
        np.testing.assert_array_equal(one.push(row, second * SECOND, x), other.push(row, second * SECOND, x))


def ages_of(*seconds: int) -> Ages:
    return Ages([Window("age", f"a/{n}", length * SECOND, 0) for n, length in enumerate(seconds)])


def test_ages_count_from_the_last_good_sample_by_the_clock_of_the_ticks() -> None:
    ages, both = ages_of(5, 5), np.array([0, 1])
    ages.at(100 * SECOND)
    ages.push(both, 100 * SECOND, np.array([1.0, 1.0]))
    assert ages.at(110 * SECOND).tolist() == [10, 10]
    assert ages.push(both, 110 * SECOND, np.array([math.nan, 1.0])).tolist() == [10, 0]
    assert ages.at(115 * SECOND).tolist() == [15, 5]
    ages.push(both[:1], 400 * SECOND, np.array([1.0]))  # a device whose clock is ahead makes no other one old
    assert ages.at(116 * SECOND).tolist() == [0, 6]


def test_what_was_never_heard_is_unknown_for_a_minute_or_as_long_as_it_may_be_silent() -> None:
    ages = ages_of(5, 90)
    for second in range(100, 260, 20):
        short, long = ages.at(second * SECOND).tolist()
        assert (math.isnan(short), math.isnan(long)) == (second <= 160, second <= 190)
    assert (short, long) == (140, 140)


def test_our_own_start_is_no_fault_of_a_signal() -> None:
    ages, one = ages_of(5), np.array([0])
    ages.at(100 * SECOND)
    ages.push(one, 100 * SECOND, np.array([1.0]))
    assert math.isnan(ages.at(110 * SECOND, 108 * SECOND).item())  # we listen since 108
    assert ages.push(one, 111 * SECOND, np.array([1.0])).item() == 0
    assert ages.at(120 * SECOND, 108 * SECOND).item() == 9  # heard since: it counts


def test_after_a_long_silence_it_was_us_who_were_away() -> None:
    ages = ages_of(5)
    ages.at(100 * SECOND)
    ages.push(np.array([0]), 100 * SECOND, np.array([1.0]))
    assert ages.at(100 * SECOND + SILENCE).tolist() == [60]
    assert math.isnan(ages.at(100 * SECOND + 2 * SILENCE + SECOND).item())
    assert math.isnan(ages.at(100 * SECOND + 3 * SILENCE).item())
    # long enough now: it was silent all along
    assert ages.at(100 * SECOND + 3 * SILENCE + 2 * SECOND).item() == 182
