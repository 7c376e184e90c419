"""The life of one alarm: ``step`` moves its state one sample on.

Phases follow ISA-18.2 and OPC UA Part 9: normal → pending → active → clearing → normal. Times are UTC ns of
the samples, so live running, backtest and test are one code. An input that is not good is NaN, and freezes
timers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

from rules.condition import FALSE, TRUE, UNKNOWN, Test, cause, truth
from rules.rule import Bound, Level, Program


class Phase(StrEnum):
    """Where an alarm stands."""

    NORMAL = "normal"
    PENDING = "pending"  # violated, the on-delay runs
    ACTIVE = "active"
    CLEARING = "clearing"  # back inside, the off-delay runs


class Timer(NamedTuple):
    """``held`` ns so far; ``mark`` is the last sample that counted, None while nothing is being timed."""

    held: int
    mark: int | None


class State(NamedTuple):
    """What is remembered between samples; ``State()`` is normal. A tuple, since each sample under a timer makes one.

    ``levels`` has one timer per limit: None while it is not violated; an episode keeps it until the value is
    back by the deadband. ``cause`` is the test that decided, ``peak`` its furthest value since then.
    """

    phase: Phase = Phase.NORMAL
    since: int | None = None
    severity: int = 0
    active_since: int | None = None
    reactivations: int = 0
    cause: int | None = None
    peak: float | None = None
    levels: tuple[Timer | None, ...] = ()
    leaving: Timer | None = None
    last: int | None = None


def step(bound: Bound, state: State, time: int, values: Sequence[float]) -> State:
    """The state after the sample at ``time`` (UTC ns).

    ``values`` stand as ``bound.inputs`` and then ``bound.windows`` do, NaN where not good or not known. A sample
    before the last one is ignored. A change of phase or severity is the event; nothing else happens.
    """
    if state.last is not None and time < state.last:
        return state
    program = bound.program
    seen = look(program, time, values, ease=state.severity > 0)
    timers = state.levels or (None,) * len(program.levels)
    levels = tuple(
        [_level(level, timer, state, seen) for level, timer in zip(program.levels, timers, strict=True)]
    )
    over = [i for i, timer in enumerate(levels) if fired(program.levels[i], timer)]
    if state.severity:
        return _episode(program, state._replace(levels=levels, last=time), over, state.last, seen)
    if over:
        raised = State(Phase.ACTIVE, time, active_since=time, levels=levels, last=time)
        return _severity(program, raised, over, seen)
    if any(levels):
        since = state.since if state.phase is Phase.PENDING else time
        return State(Phase.PENDING, since, levels=levels, last=time)
    return State(last=time)


class Seen(NamedTuple):
    """One look at the inputs: features, the truth of every test, and its truth at the eased limit (if asked)."""

    time: int
    max_gap: int
    features: list[float]
    now: list[int]
    eased: list[int]


def look(program: Program, time: int, values: Sequence[float], ease: bool) -> Seen:
    """What the rule sees in these values; ``ease``: at the eased limits too."""
    features = program.look(values)
    now = [test.band.truth(features[test.feature]) for test in program.tests]
    eased = [test.relaxed.truth(features[test.feature]) for test in program.tests] if ease else []
    return Seen(time, program.max_gap, features, now, eased)


def _level(level: Level, timer: Timer | None, state: State, seen: Seen) -> Timer | None:
    """The limit's timer after this sample; ``state`` is that before it."""
    now = truth(level.tree, seen.now)
    if now == UNKNOWN or (now == TRUE and fired(level, timer)):
        return timer
    if now == TRUE:
        running = _count(timer, state.last, seen)
        return Timer(level.on_delay, None) if running.held >= level.on_delay else running
    if timer is None or not state.severity or truth(level.tree, seen.eased) == FALSE:
        return None
    return timer if fired(level, timer) else Timer(0, None)


def fired(level: Level, timer: Timer | None) -> bool:
    """Its on-delay is over; it stays so until the value is back by the deadband."""
    return timer is not None and timer.mark is None and timer.held >= level.on_delay


def _count(timer: Timer | None, last: int | None, seen: Seen) -> Timer:
    """The timer one sample on; time since a sample that was not good or beyond ``max_gap`` does not count."""
    if timer is None:
        return Timer(0, seen.time)
    if timer.mark is None or timer.mark != last or seen.time - timer.mark > seen.max_gap:
        return Timer(timer.held, seen.time)
    return Timer(timer.held + seen.time - timer.mark, seen.time)


def _episode(program: Program, state: State, over: list[int], last: int | None, seen: Seen) -> State:
    """An active or clearing alarm one sample on; ``state`` has the new timers, ``last`` is the one before."""
    time = state.last
    assert time is not None
    state = _severity(program, state, over, seen)
    if any(state.levels):
        if state.phase is Phase.ACTIVE:
            return state
        return state._replace(
            phase=Phase.ACTIVE, since=time, leaving=None, reactivations=state.reactivations + 1
        )
    inside = all(truth(level.tree, seen.now) == FALSE for level in program.levels)
    leaving = _count(state.leaving, last, seen) if inside else state.leaving or Timer(0, None)
    if inside and leaving.held >= program.off_delay:
        return State(last=time)
    since = state.since if state.phase is Phase.CLEARING else time
    return state._replace(phase=Phase.CLEARING, since=since, leaving=leaving)


def _severity(program: Program, state: State, over: list[int], seen: Seen) -> State:
    """Severity goes up with the limits that fired, never down; the peak follows the feature that decided."""
    if over:
        worst = max(over, key=lambda i: program.levels[i].severity)
        if program.levels[worst].severity > state.severity:
            decided = cause(program.levels[worst].tree, seen.now)
            same = (
                state.cause is not None
                and program.tests[state.cause].feature == program.tests[decided].feature
            )
            peak = state.peak if same else None
            state = state._replace(severity=program.levels[worst].severity, cause=decided, peak=peak)
    assert state.cause is not None
    test = program.tests[state.cause]
    x = seen.features[test.feature]
    if math.isfinite(x) and (state.peak is None or _further(test, x, state.peak)):
        return state._replace(peak=x)
    return state


def _further(test: Test, x: float, peak: float) -> bool:
    return (test.operator in {">", ">="} and x > peak) or (test.operator in {"<", "<="} and x < peak)
