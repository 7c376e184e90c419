"""What could move a state next: the intervals inside which ``step`` need not be called."""

from __future__ import annotations

import math
from collections.abc import Sequence

from rules.condition import TRUE, UNKNOWN, Band, Interval, Test, keepers
from rules.episode import State, fired, look
from rules.rule import Bound, Program

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
    seen = look(program, 0, values, ease=state.severity > 0)
    found = _Intervals(seen.features)
    timers = state.levels or (None,) * len(program.levels)
    for level, timer in zip(program.levels, timers, strict=True):
        if not fired(level, timer):
            for i in keepers(level.tree, seen.now, holds=False):
                found.narrow(program.tests[i], program.tests[i].band, holds=False)
        if timer is not None:
            for i in keepers(level.tree, seen.eased, holds=True):
                found.narrow(program.tests[i], program.tests[i].relaxed, holds=True)
    found.keep_peak(program, state)
    return found.all()


def steady(bound: Bound, state: State, values: Sequence[float]) -> Watch | None:
    """(feature, low, high): while all stay inside and known, ``step`` only lets timers run on. None: one is unknown."""
    program = bound.program
    seen = look(program, 0, values, ease=True)
    if UNKNOWN in seen.now:
        return None
    found = _Intervals(seen.features)
    for test, now, eased in zip(program.tests, seen.now, seen.eased, strict=True):
        found.narrow(test, test.band, holds=now == TRUE)
        found.narrow(test, test.relaxed, holds=eased == TRUE)
    found.keep_peak(program, state)
    return found.all()


class _Intervals:
    """Gathers one interval per feature."""

    def __init__(self, features: Sequence[float]) -> None:
        self._features = features
        self._found: dict[int, Interval] = {}

    def narrow(self, test: Test, band: Band, holds: bool) -> None:
        """Stay where ``test``, within ``band``, cannot become false (``holds``) or true."""
        self._cut(test.feature, band.quiet(self._features[test.feature], holds))

    def keep_peak(self, program: Program, state: State) -> None:
        """Stay where the peak of an episode stays what it is."""
        if state.cause is None or state.peak is None:
            return
        test = program.tests[state.cause]
        if test.operator in {">", ">="}:
            self._cut(test.feature, (-math.inf, state.peak))
        elif test.operator in {"<", "<="}:
            self._cut(test.feature, (state.peak, math.inf))

    def _cut(self, feature: int, interval: Interval) -> None:
        low, high = self._found.get(feature, (-math.inf, math.inf))
        self._found[feature] = max(low, interval[0]), min(high, interval[1])

    def all(self) -> Watch:
        return tuple((feature, *interval) for feature, interval in self._found.items())
