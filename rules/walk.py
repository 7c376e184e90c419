"""Row by row through a stretch where the state changes too often to be skipped, on truths computed for all its rows.

``Walk.on`` is ``step`` without its reports: it stops before the first row at which anything is to be said, and leaves
that row to ``step``. A property test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rules.condition import FALSE, TRUE, UNKNOWN, Band, Tree
from rules.episode import Phase, State, Timer
from rules.rule import Program

Times = NDArray[np.int64]
Values = NDArray[np.float64]
Truths = NDArray[np.int8]
Row = tuple[int, tuple[int, ...], tuple[int, ...]]  # time; the truth of each limit, and where it is eased
Held = tuple[int, int | None]  # a ``Timer`` without its name, which costs time to make
_BLOCK = 2048  # rows whose truths are computed together


class Walk:
    """One rule over the columns of its features."""

    def __init__(self, program: Program, times: Times, features: Sequence[Values]) -> None:
        self._program, self._times, self._features = program, times, features
        self._levels = [(level.severity, level.on_delay) for level in program.levels]
        self._start = self._end = 0  # the block of rows whose truths are known
        self._rows: list[Row] = []
        self._x: list[list[float]] = []

    def on(self, state: State, i: int, end: int) -> tuple[State, int]:
        """The state before the first row in [i, end) at which something is to be said, and that row; or ``end``."""
        while i < end:
            if not self._start <= i < self._end:
                self._look(i)
            stop = min(end, self._end)
            state, i = self._through(state, i, stop)
            if i < stop:
                break
        return state, i

    def _look(self, i: int) -> None:
        program = self._program
        self._start, self._end = i, min(i + _BLOCK, self._times.size)
        block = [feature[i : self._end] for feature in self._features]
        now = [_truth(test.band, block[test.feature]) for test in program.tests]
        eased = [_truth(test.relaxed, block[test.feature]) for test in program.tests]
        of_level = [
            zip(*(_of_tree(level.tree, truths).tolist() for level in program.levels), strict=True)
            for truths in (now, eased)
        ]
        self._rows = list(zip(self._times[i : self._end].tolist(), *of_level, strict=True))
        self._x = [column.tolist() for column in block]

    def _through(self, state: State, i: int, end: int) -> tuple[State, int]:
        """Within the block."""
        return self._during(state, i, end) if state.severity else self._before(state, i, end)

    def _before(self, state: State, i: int, end: int) -> tuple[State, int]:
        """No alarm: until a limit has held for its delay."""
        timers, since, last = self._timers_of(state), state.since, state.last
        pending = state.phase is Phase.PENDING
        for row in range(i, end):
            seen = self._rows[row - self._start]
            after, time = self._held(timers, seen, 0, last), seen[0]
            if after is None:
                break
            if any(after) is not pending:
                pending = not pending
                since = time if pending else None
            timers, last = after, time
        else:
            row = end
        if not pending:
            return State(last=last), row
        return State(Phase.PENDING, since, levels=_named(timers), last=last), row

    def _during(self, state: State, i: int, end: int) -> tuple[State, int]:
        """An alarm: until it comes back from clearing, clears or gets worse."""
        timers, last, peak = self._timers_of(state), state.last, state.peak
        leaving: Held | None = state.leaving
        active, since = state.phase is Phase.ACTIVE, state.since
        assert state.cause is not None
        decided = self._program.tests[state.cause]
        x, up, down = (
            self._x[decided.feature],
            decided.operator in {">", ">="},
            decided.operator in {"<", "<="},
        )
        for row in range(i, end):
            seen = self._rows[row - self._start]
            after, time = self._held(timers, seen, state.severity, last), seen[0]
            if after is None or (any(after) and not active):
                break
            if not any(after):
                out = self._left(leaving, seen, last)
                if out is None:
                    break
                since = time if active else since
                active, leaving = False, out
            value = x[row - self._start]
            if math.isfinite(value) and (peak is None or (up and value > peak) or (down and value < peak)):
                peak = value
            timers, last = after, time
        else:
            row = end
        phase, away = Phase.ACTIVE if active else Phase.CLEARING, Timer(*leaving) if leaving else None
        moved = state._replace(phase=phase, since=since, levels=_named(timers), leaving=away)
        return moved._replace(last=last, peak=peak), row

    def _timers_of(self, state: State) -> Sequence[Held | None]:
        return state.levels or (None,) * len(self._levels)

    def _held(
        self, timers: Sequence[Held | None], row: Row, severity: int, last: int | None
    ) -> list[Held | None] | None:
        """The timers after a row; None where a limit worse than the alarm has held for its delay."""
        after: list[Held | None] = []
        time, now, eased = row
        for (worse, delay), timer, true, still in zip(self._levels, timers, now, eased, strict=True):
            found = timer
            if true == TRUE:
                if timer is None or timer[1] is not None or timer[0] < delay:  # not fired
                    held = _counted(timer, time, last, self._program.max_gap)
                    found = (delay, None) if held >= delay else (held, time)
                    if held >= delay and worse > severity:
                        return None
            elif true == FALSE and timer is not None:
                if not severity or still == FALSE:
                    found = None
                elif timer[1] is not None or timer[0] < delay:
                    found = (0, None)
            after.append(found)
        return after

    def _left(self, leaving: Held | None, row: Row, last: int | None) -> Held | None:
        """The off-delay's timer after a row; None where it is over."""
        time, now, _ = row
        if max(now) > FALSE:
            return leaving or (0, None)
        held = _counted(leaving, time, last, self._program.max_gap)
        return None if held >= self._program.off_delay else (held, time)


def _counted(timer: Held | None, time: int, last: int | None, max_gap: int) -> int:
    """For how long the timer has run; time since a sample that did not count, or beyond ``max_gap``, does not."""
    if timer is None:
        return 0
    held, mark = timer
    return held if mark is None or mark != last or time - mark > max_gap else held + time - mark


def _named(timers: Sequence[Held | None]) -> tuple[Timer | None, ...]:
    return tuple(None if timer is None else Timer(*timer) for timer in timers)


def _truth(band: Band, x: Values) -> Truths:
    """``Band.truth`` of each."""
    inside = (band.low <= x) & (x <= band.high)
    found: Truths = np.where(inside != band.outside, TRUE, FALSE).astype(np.int8)
    found[~np.isfinite(x)] = UNKNOWN
    return found


def _of_tree(tree: Tree, truths: Sequence[Truths]) -> Truths:
    """``condition.truth`` of each."""
    if isinstance(tree, int):
        return truths[tree]
    found = [_of_tree(part, truths) for part in tree.parts]
    joined: Truths = (np.minimum if tree.every else np.maximum).reduce(found)
    return joined
