"""The fixed grids on which polls are due, and what a line remembers of each unit. Pure: time is an argument (s)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from devices.circuit import Circuit, Outage, State
from devices.source import Tally
from devices.unit import Poll, Reading, Unit

_SMOOTH = 0.1
_LONGEST_SPREAD = 2.0  # seconds: no device waits longer for its first reading


@dataclass(slots=True)
class Member:
    """A unit with all that the line remembers of it."""

    unit: Unit
    circuit: Circuit = field(default_factory=Circuit)
    outage: Outage = field(default_factory=Outage)
    tally: Tally = field(default_factory=Tally)
    since: int = 0
    detail: str = ""
    known: bool = False  # it has answered before

    @property
    def trusted(self) -> bool:
        """Will it answer, as far as we know?"""
        return self.known and self.circuit.state is State.HEALTHY

    @property
    def in_order(self) -> bool:
        """Nothing is to be made good: it has answered before, and no failure is remembered."""
        return self.known and self.circuit.is_calm and not self.outage.attempts


@dataclass(slots=True)
class Slots:
    """The fixed grid of one poll: ``origin + n * period``, by multiplication, so that nothing drifts."""

    member: Member
    poll: Poll
    origin: float
    due: float
    n: int = 0
    taken: float = -math.inf  # when a slot was last taken
    read: float | None = None  # when it was last read

    def advance(self, slots: int = 1) -> None:
        """On to a later slot."""
        self.n += slots
        self.due = self.origin + self.n * self.poll.period

    def take(self, now: float) -> None:
        """Take the slot that is due, and account for those that went by while the line was busy."""
        tally = self.member.tally
        self.taken = now
        late = now - self.due
        if late >= (period := self.poll.period):
            missed = int(late / period)
            self.advance(missed)
            tally.expected += missed
            tally.skip("late", missed)
            late = now - self.due
        tally.worst_lateness = max(tally.worst_lateness, late)

    def measure(self, reading: Reading, middle: float) -> None:
        """Take the figures of a reading whose middle was then."""
        tally = self.member.tally
        tally.latency = _smooth(tally.latency, reading.ended - reading.started)
        if self.read is not None:
            tally.achieved_period = _smooth(tally.achieved_period, middle - self.read)
        self.read = middle


def lay_out(members: Sequence[Member], now: float, start: float) -> list[Slots]:
    """Polls one after the other, each at the predicted end of the one before.

    Lines begin in step with 64 ticks of the fastest period: one wake of the loop then serves several lines,
    which costs a third of waking for each.
    """
    grids: list[Slots] = []
    spread = min(_LONGEST_SPREAD, *(poll.period for member in members for poll in member.unit.polls))
    tick = spread / 64
    at = math.ceil((now + start * spread) / tick) * tick
    for member in members:
        for poll in member.unit.polls:
            grids.append(Slots(member, poll, origin=at, due=at))
            at += poll.cost
    return grids


def next_slot(grids: list[Slots], now: float, after_failure: bool) -> Slots:
    """The slot to take next: of those due who waited longest, but after a failure a unit that will answer."""
    if len(grids) == 1:
        return grids[0]
    due = [slots for slots in grids if slots.due <= now]
    if not due:
        return min(grids, key=lambda slots: slots.due)
    if len(due) == 1:
        return due[0]
    return min(due, key=lambda slots: (after_failure and not slots.member.trusted, slots.taken))


def _smooth(old: float | None, new: float) -> float:
    return new if old is None else old + _SMOOTH * (new - old)
