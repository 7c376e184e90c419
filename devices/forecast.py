"""What a line will do, told before anything runs: its requests, its load, and a rehearsal in virtual time.

The rehearsal is the line's own scheduler with understudies that take the predicted time; so what it says of a
period is what will happen, as far as the prediction is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from devices.batch import Batch
from devices.line import Line, Time
from devices.source import Source, Tally
from devices.unit import Poll, Reading, Request

_LOST = 0.01  # share of slots that may go by before a period counts as not met
_SCENES, _SECONDS = 20, 60.0  # that a rehearsal lasts: readings of the slowest poll, or longer
_READINGS = 5000  # but no more than so many, of all polls
_NOTHING, _NO_QUALITY = np.empty(0), np.empty(0, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class PollForecast:
    """Points of one device that are read together: asked for every ``period``, in s; it takes ``seconds``.

    ``lost`` is the share of readings that the line will skip, ``late`` how much later than asked the worst one comes.
    """

    device: str
    period: float
    points: int
    requests: tuple[Request, ...]
    measured: bool
    lost: float
    late: float

    @property
    def seconds(self) -> float:
        """Predicted line time of one reading."""
        return sum(request.seconds for request in self.requests)

    @property
    def registers(self) -> int:
        """On the wire, holes that are read through included."""
        return sum(request.registers for request in self.requests)

    @property
    def load(self) -> float:
        """Share of the line's time."""
        return self.seconds / self.period

    @property
    def is_met(self) -> bool:
        """Will it be read as often as asked?"""
        return self.lost <= _LOST


@dataclass(frozen=True, slots=True)
class LineForecast:
    """One line; without polls its devices speak by themselves."""

    name: str
    kind: str
    polls: tuple[PollForecast, ...]

    @property
    def load(self) -> float:
        """Share of the line's time; above 1 it is asked for more than it has."""
        return sum(poll.load for poll in self.polls)


def forecast(sources: Sequence[Source]) -> list[LineForecast]:
    """What each source will do; opens nothing."""
    return [_of(source) for source in sources]


def _of(source: Source) -> LineForecast:
    if not isinstance(source, Line):
        return LineForecast(source.name, source.status().kind, ())
    polls = [(unit.name, poll, unit.is_measured) for unit in source.units for poll in unit.polls]
    tallies = _rehearse([poll for _, poll, _ in polls])
    found = [
        PollForecast(
            device,
            poll.period,
            len(poll.signals.names) - 1,
            tuple(poll.requests),
            measured,
            sum(tally.skipped.values()) / max(tally.expected, 1),
            tally.worst_lateness,
        )
        for (device, poll, measured), tally in zip(polls, tallies, strict=True)
    ]
    return LineForecast(source.name, source.kind, tuple(found))


class _OverError(Exception):
    """The rehearsal has lasted long enough."""


class _Stage:
    """Time that only sleeping and reading move; a wire that is always open."""

    is_open = True

    def __init__(self, end: float) -> None:
        self.counts: dict[str, int] = {}
        self.time = 0.0
        self._end = end

    def spend(self, seconds: float) -> None:
        self.time += seconds
        if self.time >= self._end:
            raise _OverError

    async def sleep(self, seconds: float) -> None:
        self.spend(max(seconds, 1e-6))

    async def open(self) -> None:
        """It is open."""

    def close(self) -> None:
        """It stays open."""


class _Understudy:
    """A unit with one poll that takes as long as predicted, and says nothing."""

    is_measured = True
    changes = None

    def __init__(self, poll: Poll, stage: _Stage) -> None:
        self.signals, self.period, self.cost, self.requests = (
            poll.signals, poll.period, poll.cost, tuple(poll.requests),
        )  # fmt: skip
        self.name = self.signals.source
        self.patience = 1.0
        self._stage = stage

    @property
    def polls(self) -> tuple[_Understudy, ...]:
        return (self,)

    async def read(self, retry: bool) -> Reading:  # noqa: ARG002 - it never fails
        began = self._stage.time
        self._stage.spend(self.cost)
        return Reading(began, self._stage.time, _NOTHING, _NO_QUALITY)

    async def probe(self) -> None:
        """It always answers."""

    def notes(self) -> tuple[str, ...]:
        return ()

    def texts(self) -> dict[str, str]:
        return {}


def _rehearse(polls: Sequence[Poll]) -> list[Tally]:
    """The ledger of each poll after a while of the line's work in virtual time."""
    longest = max(poll.period for poll in polls if len(poll.signals.names) > 1)  # texts may be read once
    rate = sum(1 / poll.period for poll in polls)
    stage = _Stage(max(min(max(_SCENES * longest, _SECONDS), _READINGS / rate), 3 * longest))
    understudies = [_Understudy(poll, stage) for poll in polls]
    clock = Time(lambda: stage.time, lambda: round(stage.time * 1e9), stage.sleep)
    line = Line("rehearsal", "", stage, understudies, clock=clock)

    def applaud(batch: Batch, done: object = None) -> bool:  # noqa: ARG001 - an Emit's form
        return True

    with suppress(_OverError):
        line.run(applaud).send(None)  # nothing in it ever waits, so it needs no event loop
    return [device.tally for device in line.status().devices]
