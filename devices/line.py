"""The owner of one wire: when each unit is read, how often, and what if it fails. One task per line."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from devices.batch import Batch, DeviceError, Emit, Reason, bad
from devices.circuit import Budget, Outage, State
from devices.slots import Member, Slots, lay_out, next_slot
from devices.source import DeviceStatus, SourceStatus
from devices.unit import OwnedWire, Poll, Reading, Unit
from devices.wire import LineDownError

log = logging.getLogger(__name__)
T = TypeVar("T")

_COMM_LOST = bad(Reason.COMM_LOST)
_REOPEN_FIRST, _REOPEN_LONGEST = 0.5, 5.0


def _sleep(seconds: float) -> Awaitable[None]:
    """As asyncio.sleep, for a third of its cost: it needs no coroutine, and no care for its timer when cancelled."""
    loop = asyncio.get_running_loop()
    awake = loop.create_future()
    loop.call_later(seconds, _wake, awake)
    return awake


def _wake(awake: asyncio.Future[None]) -> None:
    if not awake.done():
        awake.set_result(None)


@dataclass(frozen=True, slots=True)
class Time:
    """Clocks and a sleep: ``now`` in monotonic seconds, ``wall`` in UTC ns."""

    now: Callable[[], float] = time.monotonic
    wall: Callable[[], int] = time.time_ns
    sleep: Callable[[float], Awaitable[None]] = _sleep


class Line:
    """All devices on one wire, read in turn on fixed grids.

    A slot that has passed its successor's due time is skipped and counted, never queued. ``start`` (0 to 1)
    spreads lines over time; within a line polls follow each other as predicted, which leaves the rest of
    the period free for probes of units that do not answer.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        wire: OwnedWire,
        units: Sequence[Unit],
        *,
        start: float = 0.0,
        clock: Time | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.name, self.kind = name, kind
        self._wire = wire
        self._members = [Member(unit) for unit in units]
        self._start = start
        self._clock = clock or Time()
        self._draw = draw
        self._budget = Budget(most=6 * max((unit.patience for unit in units), default=1.0))
        self._after_failure = False
        self._guests = asyncio.Lock()  # guests ask one at a time, and we wait for the one who asks
        self._spare = asyncio.Event()  # we ask nothing now
        self._spare.set()
        self._outage = Outage()
        self._detail = ""
        self._reopen_at = float("-inf")
        self._reopen_delay = _REOPEN_FIRST

    @property
    def units(self) -> tuple[Unit, ...]:
        """The devices on it."""
        return tuple(member.unit for member in self._members)

    async def run(self, emit: Emit) -> None:
        """Read until cancelled; no fault of equipment ends it."""
        started = self._clock.wall()
        for member in self._members:
            member.since = started
        try:
            await self._serve(emit)
        finally:
            self.close()

    def close(self) -> None:
        """Close the wire; never raises."""
        self._wire.close()

    async def lend(self, ask: Callable[[OwnedWire], Awaitable[T]]) -> T:
        """Let a guest ask one question of the wire, between two of ours; raises DeviceError."""
        async with self._guests:
            await self._spare.wait()
            if not self._wire.is_open:
                await self._wire.open()
            return await ask(self._wire)

    def status(self) -> SourceStatus:
        """How the line and its devices do now."""
        silent = f"none of its {len(self._members)} devices answers" if self._silent() else ""
        return SourceStatus(
            name=self.name,
            kind=self.kind,
            up=not (self._detail or silent),
            detail=self._detail or silent,
            counts=dict(self._wire.counts),
            devices=tuple(
                DeviceStatus(
                    name=member.unit.name,
                    state=member.circuit.state.value,
                    since=member.since,
                    detail=member.detail,
                    period=min(poll.period for poll in member.unit.polls),
                    tally=member.tally,
                    notes=member.unit.notes(),
                    texts=member.unit.texts(),
                )
                for member in self._members
            ),
        )

    def _silent(self) -> bool:
        """Is it the line itself, and not one device? Several share it, and none of them can be talked to."""
        return len(self._members) > 1 and (
            bool(self._detail) or all(member.circuit.state is State.PARKED for member in self._members)
        )

    async def _serve(self, emit: Emit) -> None:
        grids = lay_out(self._members, self._clock.now(), self._start)
        while True:
            now = self._clock.now()
            slots = next_slot(grids, now, self._after_failure)
            if slots.due > now:
                await self._idle(grids, now, slots.due)
                continue
            slots.take(now)
            if self._guests.locked():
                async with self._guests:  # between two of our questions comes one of theirs
                    now = self._clock.now()
            self._spare.clear()
            try:
                reading = await self._attempt(slots.member, slots.poll, now)
            finally:
                self._spare.set()
            self._hand_over(slots, reading, emit)
            slots.advance()

    def _hand_over(self, slots: Slots, reading: Reading | None, emit: Emit) -> None:
        """Account for the slot, and let the hall have its batch if it is worth a report."""
        tally, poll = slots.member.tally, slots.poll
        now, wall = self._clock.now(), self._clock.wall()
        tally.expected += 1  # only now: a slot that is cut short when we stop was never accounted for
        if reading is None:
            time, values, quality = wall, *self._lost(len(poll.signals.names))
        else:
            middle = (reading.started + reading.ended) / 2
            slots.measure(reading, middle)
            time, values, quality = wall - round((now - middle) * 1e9), reading.values, reading.quality
        changes = poll.changes
        if changes is not None and not changes.worth(now, values, quality):
            tally.skip("unchanged")
            return
        if reading is None:
            tally.failed += 1
        else:
            tally.read += 1
        if not emit(Batch(poll.signals, time, wall, values, quality)):
            tally.refused += 1
            if changes is not None:
                changes.forget()

    def _lost(self, size: int) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """What stands for a reading that failed: nothing but the device's "online", which is 0."""
        values, quality = np.full(size, np.nan), np.full(size, _COMM_LOST, dtype=np.uint8)
        if not self._silent():  # else nobody knows: it is the line that is reported, and not each device
            values[-1], quality[-1] = 0.0, 0
        return values, quality

    async def _attempt(self, member: Member, poll: Poll, now: float) -> Reading | None:
        """One poll of one unit; None if it gave nothing, which is then accounted for."""
        if member.circuit.state is State.PARKED and not (
            member.circuit.is_overdue(now) and self._may_waste(now)
        ):
            return None
        if not (self._wire.is_open or await self._reopened()):
            return None
        try:
            reading = await poll.read(member.trusted and self._may_waste(now))
        except DeviceError as error:
            self._unit_failed(member, error, now)
            return None
        if member.in_order and not self._outage.attempts:
            self._after_failure = False
        else:
            self._unit_answered(member)
        return reading

    async def _reopened(self) -> bool:
        """Open the wire, unless it is too early to try again; is it open now?"""
        if self._clock.now() < self._reopen_at:
            return False
        try:
            await self._wire.open()
        except LineDownError as error:
            self._reopen_at = self._clock.now() + self._reopen_delay * (0.75 + 0.5 * self._draw())
            self._reopen_delay = min(_REOPEN_LONGEST, 2 * self._reopen_delay)
            self._detail = str(error)
            if self._outage.failed():
                names = ", ".join(member.unit.name for member in self._members)
                log.warning("line %s is down (%s): %s", self.name, names, error)
            return False
        self._reopen_delay = _REOPEN_FIRST
        return True

    def _unit_failed(self, member: Member, error: DeviceError, began: float) -> None:
        now = self._clock.now()
        self._budget.spend(max(now - began, member.unit.patience))
        self._after_failure = True
        member.detail = str(error)
        before = member.circuit.state
        member.circuit.failed(now, self._may_waste(now), self._draw())
        if member.circuit.state is not before:
            member.since = self._clock.wall()
        if member.outage.failed():
            log.warning("%s stopped answering: %s", member.unit.name, error)
        if all(other.circuit.state is State.PARKED for other in self._members):
            self._wire.close()  # nobody is disturbed, and a hung connection gets a fresh start

    def _unit_answered(self, member: Member) -> None:
        member.known = True
        self._after_failure = False
        self._detail = ""
        if member.circuit.state is not State.HEALTHY:
            member.since = self._clock.wall()
            member.detail = ""
        member.circuit.succeeded()
        if attempts := member.outage.succeeded():
            log.info("%s is back after %d failed attempts", member.unit.name, attempts)
        if attempts := self._outage.succeeded():
            log.info("line %s is back after %d failed attempts", self.name, attempts)

    async def _idle(self, grids: Sequence[Slots], now: float, until: float) -> None:
        """Let the time pass ``until`` the next slot, and use it for one parked unit whose time has come."""
        parked = [member for member in self._members if member.circuit.state is State.PARKED]
        if parked and self._may_waste(now):
            waits = (slots.due for slots in grids if slots.member.circuit.state is not State.PARKED)
            free = min(waits, default=math.inf) - now  # a parked unit's own slots take no time
            for member in parked:
                if member.circuit.wants_probe(now) and member.unit.patience <= free:
                    async with self._guests:  # we are our own guest
                        if self._wire.is_open or await self._reopened():
                            await self._probe(member)
                            return
        for member in parked:  # wake up in time for the next probe, when polls are far apart
            if now < member.circuit.probe_at < until:
                until = member.circuit.probe_at
        await self._clock.sleep(until - now)

    def _may_waste(self, now: float) -> bool:
        """May line time go to a unit that fails? Freely while there is no other to be kept waiting."""
        return self._budget.left(now) or not any(member.trusted for member in self._members)

    async def _probe(self, member: Member) -> None:
        began = self._clock.now()
        try:
            await member.unit.probe()
        except DeviceError as error:
            self._unit_failed(member, error, began)
        else:
            self._unit_answered(member)
