"""The line owner in virtual time: grids, circuits, budget, ledger and log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from devices.batch import Batch, DeviceError, Reason, SignalSet, bad, signal_set
from devices.changes import Changes
from devices.line import Line, Time
from devices.source import DeviceStatus
from devices.unit import Reading
from devices.wire import LineDownError

LOST = bad(Reason.COMM_LOST)
EPOCH = 1_700_000_000_000_000_000


@dataclass
class World:
    """A clock that only sleeping and talking move; it ends at ``end``."""

    end: float
    t: float = 0.0

    def now(self) -> float:
        return self.t

    def wall(self) -> int:
        return EPOCH + round(self.t * 1e9)

    async def sleep(self, seconds: float) -> None:
        self.spend(seconds)
        await asyncio.sleep(0)

    def spend(self, seconds: float) -> None:
        assert seconds >= 0
        self.t += seconds
        if self.t >= self.end:
            raise asyncio.CancelledError

    @property
    def clock(self) -> Time:
        return Time(self.now, self.wall, self.sleep)


@dataclass
class FakeWire:
    counts: Counter[str] = field(default_factory=Counter)
    is_open: bool = False
    broken: bool = False

    async def open(self) -> None:
        self.counts["opened"] += 1
        if self.broken:
            raise LineDownError("cannot connect to nowhere:502: connection refused")
        self.is_open = True

    def close(self) -> None:
        self.is_open = False


class FakeUnit:
    """Answers after ``takes`` seconds, or fails after ``patience`` while ``dead(now)``."""

    changes: Changes | None = None

    def __init__(
        self, world: World, name: str, period: float = 1.0, takes: float = 0.01, patience: float = 0.5
    ) -> None:
        self.world, self.name, self.period, self.takes, self.patience = world, name, period, takes, patience
        self.signals: SignalSet = signal_set(name, (f"{name}/a", f"{name}/online"))
        self.dead: Callable[[float], bool] = lambda _: False
        self.attempts: list[float] = []
        self.cost = takes
        self.retried = 0

    @property
    def polls(self) -> Sequence[FakeUnit]:
        return [self]

    async def read(self, retry: bool) -> Reading:
        began = self.world.t
        await self.ask(retry)
        return Reading(began, self.world.t, np.array([self.world.t, 1.0]), np.zeros(2, np.uint8))

    async def probe(self) -> None:
        await self.ask(False)

    async def ask(self, retry: bool) -> None:
        self.attempts.append(self.world.t)
        if self.dead(self.world.t):
            self.retried += retry
            self.world.spend(self.patience * (1 + retry))
            raise DeviceError("timeout after 0.5 s (unit 1, holding 0..1)")
        self.world.spend(self.takes)

    def texts(self) -> dict[str, str]:
        return {}

    def notes(self) -> tuple[str, ...]:
        return ()


class Inbox(list[Batch]):
    room = True

    def __call__(self, batch: Batch, done: Callable[[], None] | None = None) -> bool:
        self.append(batch)
        return self.room

    def of(self, name: str) -> list[Batch]:
        return [batch for batch in self if batch.signals.source == name]


def run(
    world: World, units: Sequence[FakeUnit], wire: FakeWire | None = None, **kwargs: float
) -> tuple[Line, Inbox]:
    line = Line("bus", "fake", wire or FakeWire(), units, clock=world.clock, draw=lambda: 0.5, **kwargs)
    inbox = Inbox()
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(line.run(inbox))
    for device in line.status().devices:
        tally = device.tally
        assert tally.expected == tally.read + tally.failed + sum(tally.skipped.values())
        assert len(inbox.of(device.name)) == tally.read + tally.failed
    return line, inbox


def state_of(line: Line, name: str) -> DeviceStatus:
    return next(device for device in line.status().devices if device.name == name)


def test_the_grid_does_not_drift_and_time_is_the_middle_of_the_request() -> None:
    world = World(end=1000.5)
    _, inbox = run(world, [FakeUnit(world, "a", takes=0.2)])
    assert [batch.time - EPOCH for batch in inbox] == [round((n + 0.1) * 1e9) for n in range(1001)]
    assert inbox[0].arrival - EPOCH == 200_000_000


def test_polls_of_a_line_follow_each_other_and_never_queue() -> None:
    world = World(end=100.0)
    line, inbox = run(
        world, [FakeUnit(world, f"u{n}", takes=0.15) for n in range(10)]
    )  # 1.5 s of work a second
    for n in range(10):
        device = state_of(line, f"u{n}")
        assert device.tally.skipped["late"] > 20
        assert 60 <= device.tally.read <= 70  # everyone gets the same share
    assert len(inbox) == sum(device.tally.read for device in line.status().devices)


def test_one_dead_unit_of_ten_leaves_the_others_alone() -> None:
    world = World(end=600.0)
    units = [FakeUnit(world, f"u{n}", takes=0.03, patience=0.4) for n in range(10)]
    units[4].dead = lambda now: now > 20
    line, inbox = run(world, units)
    for unit in units[:4] + units[5:]:
        gaps = np.diff([batch.time / 1e9 for batch in inbox.of(unit.name)])
        assert len(gaps) >= 597
        assert np.quantile(np.abs(gaps - 1.0), 0.99) < 0.01
    lost = inbox.of("u4")
    assert len(lost) >= 598  # every slot has its batch, for no line time
    assert lost[-1].quality.tolist() == [LOST, 0]
    assert lost[-1].values[1] == 0.0
    assert np.isnan(lost[-1].values[0])
    wasted = 0.4 * sum(attempt > 20 for attempt in units[4].attempts)
    assert wasted < 0.1 * 580
    assert state_of(line, "u4").state == "parked"
    assert state_of(line, "u4").detail.startswith("timeout")


def test_a_busy_line_probes_a_dead_unit_only_once_a_minute() -> None:
    world = World(end=600.0)
    units = [FakeUnit(world, f"u{n}", takes=0.09, patience=0.4) for n in range(10)]
    units[4].dead = lambda now: now > 20
    run(world, units)
    late = [attempt for attempt in units[4].attempts if attempt > 60]
    assert 6 <= len(late) <= 10
    assert np.diff(late).min() > 59


def test_failing_units_together_stay_within_their_share() -> None:
    world = World(end=2000.0)
    units = [FakeUnit(world, f"u{n}", takes=0.01, patience=0.5) for n in range(30)]
    for unit in units[1:]:
        unit.dead = lambda _: True
    run(world, units)
    wasted = 0.5 * sum(len([at for at in unit.attempts if at > 60]) for unit in units[1:])
    assert wasted < 0.11 * 1940
    gaps = np.diff(units[0].attempts)
    assert len(gaps) > 1980  # also while the others were found dead, at the beginning
    assert gaps.max() < 2.1


def test_a_flapping_unit_does_not_eat_the_line() -> None:
    world = World(end=1000.0)
    units = [FakeUnit(world, "steady"), FakeUnit(world, "flapping", patience=0.5)]
    units[1].dead = lambda _: len(units[1].attempts) % 2 == 0
    run(world, units)
    wasted = 0.5 * len(units[1].attempts) / 2
    assert wasted < 0.15 * 1000
    assert np.quantile(np.abs(np.diff(units[0].attempts) - 1.0), 0.9) < 0.01


def test_a_unit_that_returns_is_read_again_within_seconds(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World(end=400.0)
    units = [FakeUnit(world, "a"), FakeUnit(world, "b")]
    units[1].dead = lambda now: 20 < now < 300
    line, inbox = run(world, units)
    good = [(batch.time - EPOCH) / 1e9 for batch in inbox.of("b") if batch.quality[0] == 0]
    assert min(at for at in good if at > 300) < 314
    assert state_of(line, "b").state == "healthy"
    lost, back = caplog.messages
    assert lost == "b stopped answering: timeout after 0.5 s (unit 1, holding 0..1)"
    assert back.startswith("b is back after ")


def test_a_healthy_unit_is_asked_again_and_a_suspect_is_not() -> None:
    world = World(end=10.0)
    units = [FakeUnit(world, "a"), FakeUnit(world, "b")]
    units[1].dead = lambda now: now > 5
    run(world, units)
    assert units[1].retried == 1


def test_a_wire_that_is_gone_is_two_lines_and_is_opened_with_back_off(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    world = World(end=300.0)
    wire = FakeWire(broken=True)
    units = [FakeUnit(world, "a"), FakeUnit(world, "b")]
    clock = world.clock

    async def sleep(seconds: float) -> None:
        await clock.sleep(seconds)
        wire.broken = world.t < 100

    line = Line("bus", "fake", wire, units, clock=Time(clock.now, clock.wall, sleep), draw=lambda: 0.5)
    inbox = Inbox()
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(line.run(inbox))
    assert 20 <= wire.counts["opened"] <= 30
    assert caplog.messages == [
        "line bus is down (a, b): cannot connect to nowhere:502: connection refused",
        f"line bus is back after {wire.counts['opened'] - 1} failed attempts",
    ]
    # Both are silent with their line: nobody knows whether they are online, and the line is reported.
    assert {tuple(batch.quality) for batch in inbox if batch.time < EPOCH + 100_000_000_000} == {(LOST, LOST)}
    assert {tuple(batch.quality) for batch in inbox if batch.time > EPOCH + 106_000_000_000} == {(0, 0)}
    assert line.status().up


def test_a_hall_without_room_is_counted() -> None:
    world = World(end=10.5)
    unit = FakeUnit(world, "a")
    line = Line("bus", "fake", FakeWire(), [unit], clock=world.clock)
    inbox = Inbox()
    inbox.room = False
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(line.run(inbox))
    assert state_of(line, "a").tally.refused == len(inbox) == 11


def test_lines_start_at_different_times() -> None:
    world = World(end=3.0)
    _, inbox = run(world, [FakeUnit(world, "a", takes=0.0, period=60.0)], start=0.5)
    assert inbox[0].time - EPOCH == 1_000_000_000  # spread over two seconds, not over the minute


def test_a_suspended_machine_counts_what_it_slept_through() -> None:
    world = World(end=3610.0)
    unit = FakeUnit(world, "a")
    unit.dead = lambda now: bool(unit.world.spend(3600.0)) if len(unit.attempts) == 3 else False
    line, inbox = run(world, [unit])
    assert state_of(line, "a").tally.skipped == {"late": 3599}
    assert len(inbox) < 15


def test_a_guest_asks_between_two_of_our_questions() -> None:
    world = World(end=math.inf)
    unit, talking, order = FakeUnit(world, "a", period=0.001), [], []

    async def talk(who: str) -> None:
        assert not talking
        talking.append(who)
        order.append(who)
        await asyncio.sleep(0)
        talking.remove(who)

    async def ask(_: bool) -> None:
        world.spend(0.001)
        await talk("line")

    async def scene() -> None:
        unit.ask = ask  # type: ignore[method-assign]
        line = Line("bus", "fake", FakeWire(), [unit], clock=world.clock)
        reading = asyncio.create_task(line.run(Inbox()))
        await asyncio.gather(*(line.lend(lambda _: talk("guest")) for _ in range(20)))
        while order.count("line") < 20:
            await asyncio.sleep(0)
        reading.cancel()

    asyncio.run(scene())
    assert order.count("guest") == 20
    assert "line" in order[:10]  # guests do not keep us from reading
