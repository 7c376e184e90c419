"""Which way time went between two rows: on, not at all, back, or over a gap."""

from __future__ import annotations

from enum import Enum


class Step(Enum):
    """How a row stands to the last one."""

    NEXT = "next"
    AGAIN = "again"  # the same time: what is remembered has already moved
    LATE = "late"  # a little older than the last: too late to be remembered
    JUMP = "jump"  # the first row, a long gap, or a clock set back: what is remembered says nothing now


class Pace:
    """Keeps the last time. ``gap`` (ns) is the longest silence, or step back, that is still the same run."""

    __slots__ = ("gap", "last")

    def __init__(self, gap: int) -> None:
        self.gap = gap
        self.last: int | None = None

    def step(self, time: int) -> Step:
        """Move to ``time`` and say how; a late row does not move it."""
        last, self.last = self.last, time
        if last is None or abs(time - last) > self.gap:
            return Step.JUMP
        if time > last:
            return Step.NEXT
        self.last = last
        return Step.AGAIN if time == last else Step.LATE
