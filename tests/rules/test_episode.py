"""An alarm's life, read as traces: a word per second, a letter per phase.

``_`` is a sample that is not good, ``+60`` lets a minute pass without samples; n p a c are the phases, and a
digit after a letter is the severity.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from rules import Bound, Phase, Rule, RuleSettings, State, Transition, bind, report, step

SECOND = 1_000_000_000


def bound(**changes: Any) -> Bound:
    """v above 7, two seconds on-delay, deadband 0.5, two seconds off-delay."""
    form = {
        "failure_mode": "VIB",
        "scope": {"class": "pump"},
        "signals": {"v": "vib_rms"},
        "params": {"high": 7},
        "when": [{"severity": 3, "expr": "v > high", "on_delay": "2s"}],
        "clear": {"deadband": 0.5, "off_delay": "2s"},
        "quality": {"max_gap": "5s"},
    }
    rule = Rule("vib", RuleSettings.model_validate(form | changes))
    return bind(rule, "pump-1", {"vib_rms": (0.0, 50.0), "speed": None})


def run(rule: Bound, trace: str) -> tuple[list[State], list[Transition]]:
    """Samples at 1, 2, 3 … s; several inputs of one sample are joined by ``:``."""
    states, said, time = [State()], [], 0
    for word in trace.split():
        if word.startswith("+"):
            time += int(word) * SECOND
            continue
        time += SECOND
        values = [math.nan if part == "_" else float(part) for part in word.split(":")]
        states.append(step(rule, states[-1], time, values))
        said += report(rule, states[-2], states[-1], time, values)
    return states[1:], said


def phases(rule: Bound, trace: str) -> str:
    return " ".join(state.phase[0] for state in run(rule, trace)[0])


@pytest.mark.parametrize(
    ("trace", "wanted"),
    [
        ("8 8 8", "p p a"),  # held for two seconds
        ("8 1 8", "p n p"),  # a dip restarts the wait
        ("8 6.8 8 8 8", "p n p p a"),  # before it is active there is no deadband
        ("7 7 7", "n n n"),  # at the limit is not above it
        ("8 8 8 6.8 6.6 8", "p p a a a a"),  # within the deadband it stays
        ("8 8 8 6.5 6 6", "p p a c c n"),  # inside by the deadband, for the off-delay
        ("8 8 8 6 6.8 6.8", "p p a c c n"),  # clearing goes on below the limit
        ("8 8 8 6 8 6 6 6", "p p a c a c c n"),  # violated again while clearing: the off-delay restarts
        ("8 8 8 6 6 6 8 8 8", "p p a c c n p p a"),  # a new episode waits again
        ("8 _ 8 8 8", "p p p p a"),  # a sample that is not good does not count, nor the time around it
        ("8 _ _ _ _ _ 8 8", "p p p p p p p p"),  # only the last second counted
        ("8 _ 1", "p p n"),
        ("8 8 8 _ _ _ 8", "p p a a a a a"),  # active is held while nothing is known
        ("8 8 8 6 _ 6 6 6", "p p a c c c c n"),  # clearing is held too
        ("8 +60 8 8 8", "p p p a"),  # a gap does not count
        ("8 +2 8", "p a"),  # slow samples are no gap
        ("8 8 8 +60 6 +60 6 6 6", "p p a c c c n"),
        ("_ _ 8 8 8", "n n p p a"),
    ],
)
def test_a_limit_with_delays_and_deadband(trace: str, wanted: str) -> None:
    assert phases(bound(), trace) == wanted


def test_without_delays_it_comes_and_goes_at_once() -> None:
    rule = bound(when=[{"severity": 3, "expr": "v > high"}], clear={})
    assert phases(rule, "8 7 7.1 _ 6") == "a n a a n"


def test_below_is_eased_upwards() -> None:
    rule = bound(when=[{"severity": 3, "expr": "v < 2"}], clear={"deadband": 0.5})
    assert phases(rule, "3 1 2.4 2.5 1") == "n a a n a"


@pytest.mark.parametrize(
    ("trace", "wanted"),
    [
        ("3 3 3", "00 00 a2"),
        ("5 5 5", "00 a4 a4"),  # the higher limit has the shorter delay
        ("3 3 3 5 5 3", "00 00 a2 a2 a4 a4"),  # up within an episode
        ("5 5 3 1 1 1", "00 a4 a4 c4 c4 00"),  # never down within it
        ("5 5 3 3 3 3", "00 a4 a4 a4 a4 a4"),  # above the lower limit it is not over
        ("5 5 1 3 3", "00 a4 c4 a4 a4"),
        ("3 3 3 5 4.4 5 4.4 5 5", "00 00 a2 a2 a2 a2 a2 a2 a4"),  # a dip restarts the wait for the higher one
        ("3 3 3 5 4 5 5", "00 00 a2 a2 a2 a2 a4"),
        ("3 3 3 5 _ 5 5", "00 00 a2 a2 a2 a2 a4"),
    ],
)
def test_severity_goes_up_and_never_down(trace: str, wanted: str) -> None:
    when = [
        {"severity": 2, "expr": "v > 2.8", "on_delay": "2s"},
        {"severity": 4, "expr": "v > 4.5", "on_delay": "1s"},
    ]
    rule = bound(when=when, clear={"deadband": 0.3, "off_delay": "2s"})
    states, _ = run(rule, trace)
    assert " ".join(f"{s.phase[0]}{s.severity}" if s.severity else "00" for s in states) == wanted


@pytest.mark.parametrize(
    ("trace", "wanted"),
    [
        ("8:1480 8:1480 8:1480", "p p a"),
        ("8:0 8:0 8:0", "n n n"),  # not while the machine stands
        ("8:1480 8:_ 8:1480 8:1480", "p p p p"),  # an unknown speed freezes the wait
        ("8:1480 _:0 8:1480", "p n p"),  # standing still ends it, whatever the vibration is
        ("8:1480 8:1480 8:1480 _:0 _:0 _:0", "p p a c c n"),
        ("8:1480 8:1480 8:1480 _:1480 1:_ 1:_ 1:_", "p p a a c c n"),
    ],
)
def test_a_condition_over_two_signals(trace: str, wanted: str) -> None:
    rule = bound(
        signals={"v": "vib_rms", "n": "speed"},
        when=[{"severity": 3, "expr": "v > high and n > 300", "on_delay": "2s"}],
    )
    assert phases(rule, trace) == wanted


@pytest.mark.parametrize(
    ("expr", "true", "false"),
    [
        ("v > 3 or n > 3", "1:4", "3:3"),
        ("not (v > 3 and n > 3)", "4:3", "4:4"),
        ("not v > 3", "3:1", "4:1"),
        ("1 < v < 3", "2:0", "3:0"),
        ("not 1 < v < 3", "3:0", "2:0"),
        ("v == 3", "3:0", "3.1:0"),
        ("v != 3", "2:0", "3:0"),
        ("v >= n", "2:2", "2:3"),
        ("abs(v - n) > 2", "1:4", "1:3"),
        ("v / n > 2", "5:2", "4:2"),
        ("v / n > 2", "5:2", "5:0"),  # divided by zero: unknown, so not violated
        ("max(v, n, 5) > 5", "1:6", "1:2"),
        ("min(v, n) < -v + 2", "0.5:9", "1:9"),
    ],
)
def test_what_expressions_mean(expr: str, true: str, false: str) -> None:
    rule = bound(signals={"v": "vib_rms", "n": "speed"}, when=[{"severity": 3, "expr": expr}], clear={})
    assert phases(rule, true) == "a"
    assert phases(rule, false) == "n"


def test_the_transitions_of_one_episode() -> None:
    _, said = run(bound(), "8 8 8 9.5 6 8 6 6 6")
    assert [(t.kind, t.time // SECOND) for t in said] == [("raised", 3), ("reactivated", 6), ("cleared", 9)]
    raised, reactivated, cleared = said
    assert len({t.episode for t in said}) == 1
    assert raised.episode.startswith("vib/")
    assert raised.episode.endswith("/pump-1/3000000000")
    assert (raised.severity, raised.failure_mode, raised.asset) == (3, "VIB", "pump-1")
    assert raised.inputs == {"pump-1/vib_rms": 8.0}
    decision = raised.decision
    assert decision is not None
    assert (decision.expression, decision.signal, decision.operator) == ("v > high", "pump-1/vib_rms", ">")
    assert (decision.value, decision.limit, decision.margin, decision.deadband) == (8, 7, 1, 0.5)
    assert (decision.on_delay, decision.peak) == (2 * SECOND, 8)
    assert reactivated.reactivations == cleared.reactivations == 1
    assert cleared.decision is not None
    assert (cleared.decision.peak, cleared.decision.margin) == (9.5, -1)


def test_the_comparison_that_decided_is_the_first_true_one() -> None:
    rule = bound(
        signals={"v": "vib_rms", "n": "speed"},
        when=[{"severity": 3, "expr": "v < 1 or v > high and n > 300"}],
        clear={},
    )
    _, said = run(rule, "8:1480")
    assert said[0].decision is not None
    assert said[0].decision.expression == "v > high"
    _, said = run(rule, "0.5:1480")
    assert said[0].decision is not None
    assert (said[0].decision.expression, said[0].decision.margin) == ("v < 1", 0.5)


@pytest.mark.parametrize(
    ("expr", "function", "seconds"),
    [
        ("v > 1", "", 0),
        ("1 < v", "", 0),
        ("mean(v, '5m') > 1", "mean", 300),
        ("abs(v) > 1", "arithmetic", 0),
        ("stale(v, '5m')", "age", 300),
        ("frozen(v, '5m')", "spread", 300),
    ],
)
def test_a_decision_says_what_was_compared(expr: str, function: str, seconds: int) -> None:
    (test,) = bound(when=[{"severity": 3, "expr": expr}]).program.tests
    assert (test.function, test.length) == (function, seconds * SECOND)


def test_an_earlier_sample_is_ignored() -> None:
    rule = bound(when=[{"severity": 3, "expr": "v > high"}])
    state = step(rule, State(), 10 * SECOND, [8.0])
    assert state.phase is Phase.ACTIVE
    assert step(rule, state, 9 * SECOND, [1.0]) is state
