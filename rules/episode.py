"""The life of one alarm: ``step`` moves it a sample on, ``report`` says what happened, ``watch`` what could.

Phases follow ISA-18.2 and OPC UA Part 9: normal → pending → active → clearing → normal. Times are UTC ns of
the samples, so live running, backtest and test are one code. An input that is not good is NaN, and freezes
timers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from rules.condition import FALSE, TRUE, UNKNOWN, Interval, Test, cause, contains, keepers, truth
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
    """The state after the sample at ``time``; ``values`` stand as ``bound.inputs``, NaN where not good.

    A sample before the last one is ignored. A change of phase or severity is the event; nothing else happens.
    """
    if state.last is not None and time < state.last:
        return state
    program = bound.program
    seen = _look(program, time, values, ease=state.severity > 0)
    timers = state.levels or (None,) * len(program.levels)
    levels = tuple(
        [_level(level, timer, state, seen) for level, timer in zip(program.levels, timers, strict=True)]
    )
    fired = [i for i, timer in enumerate(levels) if _fired(program.levels[i], timer)]
    if state.severity:
        return _episode(program, state._replace(levels=levels, last=time), fired, state.last, seen)
    if fired:
        raised = State(Phase.ACTIVE, time, active_since=time, levels=levels, last=time)
        return _severity(program, raised, fired, seen)
    if any(levels):
        since = state.since if state.phase is Phase.PENDING else time
        return State(Phase.PENDING, since, levels=levels, last=time)
    return State(last=time)


class _Seen(NamedTuple):
    """One look at the inputs: features, the truth of every test, and its truth at the eased limit (if asked)."""

    time: int
    max_gap: int
    features: list[float]
    now: list[int]
    eased: list[int]


def _look(program: Program, time: int, values: Sequence[float], ease: bool) -> _Seen:
    features = program.look(values)
    now = [test.band.truth(features[test.feature]) for test in program.tests]
    eased = [test.relaxed.truth(features[test.feature]) for test in program.tests] if ease else []
    return _Seen(time, program.max_gap, features, now, eased)


def _level(level: Level, timer: Timer | None, state: State, seen: _Seen) -> Timer | None:
    """The limit's timer after this sample; ``state`` is that before it."""
    now = truth(level.tree, seen.now)
    if now == UNKNOWN or (now == TRUE and _fired(level, timer)):
        return timer
    if now == TRUE:
        running = _count(timer, state.last, seen)
        return Timer(level.on_delay, None) if running.held >= level.on_delay else running
    if timer is None or not state.severity or truth(level.tree, seen.eased) == FALSE:
        return None
    return timer if _fired(level, timer) else Timer(0, None)


def _fired(level: Level, timer: Timer | None) -> bool:
    """Its on-delay is over; it stays so until the value is back by the deadband."""
    return timer is not None and timer.mark is None and timer.held >= level.on_delay


def _count(timer: Timer | None, last: int | None, seen: _Seen) -> Timer:
    """The timer one sample on; time since a sample that was not good or beyond ``max_gap`` does not count."""
    if timer is None:
        return Timer(0, seen.time)
    if timer.mark is None or timer.mark != last or seen.time - timer.mark > seen.max_gap:
        return Timer(timer.held, seen.time)
    return Timer(timer.held + seen.time - timer.mark, seen.time)


def _episode(program: Program, state: State, fired: list[int], last: int | None, seen: _Seen) -> State:
    """An active or clearing alarm one sample on; ``state`` has the new timers, ``last`` is the one before."""
    time = state.last
    assert time is not None
    state = _severity(program, state, fired, seen)
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


def _severity(program: Program, state: State, fired: list[int], seen: _Seen) -> State:
    """Severity goes up with the limits that fired, never down; the peak follows the feature that decided."""
    if fired:
        worst = max(fired, key=lambda i: program.levels[i].severity)
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


# -------------------------------------------------------------------------------------- what happened


@dataclass(frozen=True, slots=True)
class Decision:
    """The comparison that decided, for the evidence and the sentence; values in the units of the signals."""

    expression: str
    signal: str
    operator: str
    value: float | None
    limit: float | None
    margin: float | None  # how far beyond the limit; negative: inside
    deadband: float
    on_delay: int
    peak: float | None


@dataclass(frozen=True, slots=True)
class Transition:
    """What became of an alarm: ``kind`` is raised, severity_raised, reactivated, cleared or withdrawn.

    ``episode`` names the episode for good: the same input gives the same name. ``since`` is when it became
    active; ``inputs`` holds the signals at ``time`` (None: not good). ``withdrawn`` ends an episode whose
    rule was changed or retired; it has no decision.
    """

    kind: str
    episode: str
    rule: str
    rule_hash: str
    mode: str
    asset: str
    failure_mode: str
    severity: int
    time: int
    since: int
    reactivations: int
    inputs: Mapping[str, float | None]
    params: Mapping[str, float]
    decision: Decision | None


def episode_name(rule: str, rule_hash: str, asset: str, active_since: int) -> str:
    """The name of an episode, equal in every run over the same samples."""
    return f"{rule}/{rule_hash[:8]}/{asset}/{active_since}"


def report(bound: Bound, before: State, after: State, time: int, values: Sequence[float]) -> list[Transition]:
    """The transitions between two states that ``step`` led from one to the other."""
    kinds = []
    if after.severity > before.severity:
        kinds.append("severity_raised" if before.severity else "raised")
    if before.phase is Phase.CLEARING and after.phase is Phase.ACTIVE:
        kinds.append("reactivated")
    if before.severity and not after.severity:
        kinds.append("cleared")
    told = after if after.severity else before
    return [_transition(bound, kind, told, time, values) for kind in kinds]


def _transition(bound: Bound, kind: str, told: State, time: int, values: Sequence[float]) -> Transition:
    rule = bound.rule
    assert told.active_since is not None
    return Transition(
        kind,
        episode_name(rule.id, rule.hash, bound.asset, told.active_since),
        rule.id,
        rule.hash,
        rule.settings.mode,
        bound.asset,
        rule.settings.failure_mode,
        told.severity,
        time,
        told.active_since,
        told.reactivations,
        {signal: _known(value) for signal, value in zip(bound.inputs, values, strict=True)},
        bound.program.params,
        _decision(bound, told, values),
    )


def _decision(bound: Bound, told: State, values: Sequence[float]) -> Decision:
    program = bound.program
    assert told.cause is not None
    test = program.tests[told.cause]
    value, limit = (_known(side) for side in test.sides(values))
    margin = (
        None
        if value is None or limit is None
        else limit - value
        if test.operator in {"<", "<="}
        else value - limit
    )
    delay = next(
        x.on_delay for x in program.levels if x.severity == told.severity and contains(x.tree, told.cause)
    )
    signal = bound.inputs[test.signal]
    return Decision(test.text, signal, test.operator, value, limit, margin, test.deadband, delay, told.peak)


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


# -------------------------------------------------------------------------------------- what could happen

Watch = tuple[tuple[int, float, float], ...]


def watch(bound: Bound, state: State, values: Sequence[float]) -> Watch | None:
    """(feature, low, high): while all stay inside or unknown, ``step`` changes nothing. None: a timer runs.

    ``values`` are those of the last step; NaN for a state that has seen none.
    """
    if state.leaving is not None or any(
        timer is not None and timer.mark is not None for timer in state.levels
    ):
        return None
    program = bound.program
    seen = _look(program, 0, values, ease=state.severity > 0)
    intervals: dict[int, Interval] = {}

    def narrow(feature: int, interval: Interval) -> None:
        low, high = intervals.get(feature, (-math.inf, math.inf))
        intervals[feature] = max(low, interval[0]), min(high, interval[1])

    timers = state.levels or (None,) * len(program.levels)
    for level, timer in zip(program.levels, timers, strict=True):
        if not _fired(level, timer):
            for i in keepers(level.tree, seen.now, holds=False):
                test = program.tests[i]
                narrow(test.feature, test.band.quiet(seen.features[test.feature], holds=False))
        if timer is not None:
            for i in keepers(level.tree, seen.eased, holds=True):
                test = program.tests[i]
                narrow(test.feature, test.relaxed.quiet(seen.features[test.feature], holds=True))
    if state.cause is not None and state.peak is not None:
        test = program.tests[state.cause]
        if test.operator in {">", ">="}:
            narrow(test.feature, (-math.inf, state.peak))
        elif test.operator in {"<", "<="}:
            narrow(test.feature, (state.peak, math.inf))
    return tuple((feature, *interval) for feature, interval in intervals.items())
