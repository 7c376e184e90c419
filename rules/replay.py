"""A rule over recorded history: the same decisions as ``step`` sample by sample, a month of seconds in one go.

Between two events nothing happens but that timers run on. The next event is found by comparing whole columns, so the
cost is that of the events, not of the samples; where they come too often for that, ``walk`` goes row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rules.episode import State, Timer, step
from rules.panel import Panel, View
from rules.past import history
from rules.rule import Bound, Program, RuleError
from rules.transition import Transition, report
from rules.walk import Walk
from rules.watch import Watch, steady, watch
from rules.windows import Window

Times = NDArray[np.int64]
Values = NDArray[np.float64]
_FIRST_LOOK = 256
_LONGEST_LOOK = 1 << 18
_WALK = 512  # rows to walk before looking ahead again


def rows(bound: Bound, series: Sequence[tuple[Times, Values]]) -> tuple[Times, Values]:
    """The moments at which one of the rule's inputs has a sample, and all inputs at these.

    ``series`` holds (times, values) of each of ``bound.inputs``: UTC ns, strictly increasing, NaN where not good.
    An input keeps its last value for the rule's ``max_gap``. Returns (n,) and (n, inputs and windows). A rule that
    asks ``stale`` is judged by the clock and not by samples alone: RuleError, ``ticked`` plays it.
    """
    moments = _merged([times for times, _ in series])
    signals = dict(zip(bound.inputs, series, strict=True))
    every = [*series, *(_over(window, *signals[window.signal]) for window in bound.windows)]
    columns = np.full((moments.size, len(every)), math.nan)
    for column, (times, values) in zip(columns.T, every, strict=True):
        if np.array_equal(times, moments):
            column[:] = values
            continue
        place = np.searchsorted(times, moments, side="right") - 1
        known = place >= 0
        known[known] = moments[known] - times[place[known]] <= bound.program.max_gap
        column[known] = values[place[known]]
    return moments, columns


def _merged(series: Sequence[Times]) -> Times:
    """All times once, in order."""
    first = series[0]
    if all(np.array_equal(first, times) for times in series[1:]):
        return first
    every = np.sort(np.concatenate(series), kind="stable")  # merges what is in order already
    return every[np.concatenate(([True], np.diff(every) > 0))] if every.size else every


def _over(window: Window, times: Times, values: Values) -> tuple[Times, Values]:
    """The window after each sample of its signal."""
    if window.function == "age":
        raise RuleError("a rule that asks stale() is judged by the clock; play it with ticked()")
    return times, history(window, times, values)


def replay(
    bound: Bound, times: Times, values: Values, state: State | None = None, *, worth: int = 8
) -> tuple[State, list[Transition]]:
    """The state after all rows, and what happened on the way; ``state`` is where an earlier stretch left off.

    ``times`` (n,) UTC ns, strictly increasing; ``values`` as ``rows`` returns them. Where looking ahead
    skips fewer than ``worth`` rows, walking is cheaper for a while; the answer is the same.
    """
    run = _Run(bound, times, values)
    state = state or State()
    said: list[Transition] = []
    i = 0
    while i < times.size:
        time, row = int(times[i]), values[i].tolist()
        before, state = state, step(bound, state, time, row)
        said += report(bound, before, state, time, row)
        state, i = run.on(state, i + 1, worth)
    return state, said


def by_the_clock(bound: Bound) -> bool:
    """Whether the rule asks ``stale``: then it is judged by ``ticked``, and not by samples alone."""
    return any(window.function == "age" for window in bound.windows)


def ticked(bound: Bound, series: Sequence[tuple[Times, Values]], ticks: Times) -> list[Transition]:
    """What happens on the way as a panel says it live, sample by sample, with a tick at each of ``ticks`` (UTC ns).

    ``series`` as for ``rows``. Ticks are to come only while anything at all was heard, from whichever signal.
    """
    panel = Panel([bound])
    moments = _merged([*(times for times, _ in series), ticks])
    present = np.array([np.isin(moments, times) for times, _ in series])
    tick = np.isin(moments, ticks)
    places = np.zeros(len(series), np.intp)
    views: dict[tuple[int, ...], View] = {}
    said: list[Transition] = []
    for i, time in enumerate(moments.tolist()):
        here = tuple(np.flatnonzero(present[:, i]).tolist())
        if here:
            if here not in views:
                views[here] = panel.view([bound.inputs[column] for column in here])
            values = np.array([series[column][1][places[column]] for column in here])
            places[list(here)] += 1
            said += panel.judge(
                views[here], time, values, np.where(np.isnan(values), 0x80, 0).astype(np.uint8)
            )
        if tick[i]:
            said += panel.tick(time)
    return said


class _Run:
    """The columns that decide, and where nothing can happen in them."""

    def __init__(self, bound: Bound, times: Times, values: Values) -> None:
        self._bound = bound
        self._times, self._values = times, values
        self._features = _features(bound.program, values)
        self._gap_after = np.flatnonzero(np.diff(times) > bound.program.max_gap)
        self._walk = Walk(bound.program, times, self._features)
        self._look_from = 0

    def on(self, state: State, i: int, worth: int) -> tuple[State, int]:
        """The state just before the next row that must be stepped, and that row."""
        while i < self._times.size:
            if i >= self._look_from:
                state, found = self._skip(state, i, self._values[i - 1].tolist())
                if found - i >= worth:
                    return state, found
                i, self._look_from = found, found + _WALK
            end = min(self._look_from, self._times.size)
            state, i = self._walk.on(state, i, end)
            if i < end:
                break
        return state, i

    def _skip(self, state: State, i: int, row: Sequence[float]) -> tuple[State, int]:
        """As ``on``, as far as columns can tell; ``row`` is the one before ``i``."""
        intervals = watch(self._bound, state, row)
        if intervals is not None:
            return state, self._first_outside(intervals, i, self._times.size, unknown=False)
        intervals = steady(self._bound, state, row)
        if intervals is None or not _timing(state):
            return state, i
        end = self._first_outside(intervals, i, self._end_of_counting(state, i), unknown=True)
        return (state, i) if end == i else (_later(state, int(self._times[end - 1])), end)

    def _end_of_counting(self, state: State, i: int) -> int:
        """The row at which a timer is over, or the first after a gap; in between timers only run on."""
        program = self._bound.program
        due = [
            timer.mark + level.on_delay - timer.held
            for level, timer in zip(program.levels, state.levels, strict=True)
            if timer is not None and timer.mark is not None
        ]
        if state.leaving is not None and state.leaving.mark is not None:
            due.append(state.leaving.mark + program.off_delay - state.leaving.held)
        over = int(np.searchsorted(self._times, min(due)))
        gap = int(np.searchsorted(self._gap_after, i - 1))
        after_gap = int(self._gap_after[gap]) + 1 if gap < self._gap_after.size else self._times.size
        return max(i, min(over, after_gap))

    def _first_outside(self, intervals: Watch, start: int, end: int, unknown: bool) -> int:
        """The first row in [start, end) with a feature outside its interval (or ``unknown``), or ``end``."""
        length = _FIRST_LOOK
        while start < end:
            stop = min(start + length, end)
            out = np.zeros(stop - start, np.bool_)
            for feature, low, high in intervals:
                x = self._features[feature][start:stop]
                out |= (x < low) | (x > high)
                if unknown:
                    out |= np.isnan(x)
            if out.any():
                return start + int(out.argmax())
            start, length = stop, min(4 * length, _LONGEST_LOOK)
        return end


def _features(program: Program, values: Values) -> list[Values]:
    """One contiguous column per feature."""
    columns = [np.ascontiguousarray(column) for column in values.T]
    with np.errstate(all="ignore"):
        return [
            columns[feature.input] if feature.compute is None else feature.compute(columns)
            for feature in program.features
        ]


def _timing(state: State) -> bool:
    """Whether a timer runs. Where every test is known, it has then counted the last sample."""
    return any(timer is not None and timer.mark is not None for timer in (*state.levels, state.leaving))


def _later(state: State, time: int) -> State:
    """``state`` at ``time``, with all samples in between alike."""

    def on(timer: Timer | None) -> Timer | None:
        if timer is None or timer.mark is None:
            return timer
        return Timer(timer.held + time - timer.mark, time)

    return state._replace(
        levels=tuple(on(timer) for timer in state.levels), leaving=on(state.leaving), last=time
    )
