"""The running plant: the wall clock, the faults under way, and devices that may misbehave."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal, get_args

from simulators import faults, plant
from simulators.faults import Fault
from simulators.machines import machine_of

Mood = Literal["well", "dead", "slow", "late", "frozen", "rebooting", "swapped"]
"""How a device behaves, beside what its machine does:

dead: silent; slow: answers after a while; late: after the client has given up; frozen: repeats old
values; rebooting: silent, then zeros, then well; swapped: byte order turned round (Modbus only).
"""

USUAL_SECONDS: dict[str, float] = {"slow": 0.2, "late": 1.2, "rebooting": 5.0}
MOODS: tuple[Mood, ...] = get_args(Mood)


class Stand:
    """The plant on the wall clock. Plant time starts now and runs ``speed`` times as fast.

    Readings change every 0.1 s of wall time, so whoever reads can say what the plant was showing.
    """

    def __init__(
        self,
        seed: int = 0,
        speed: float = 1.0,
        clock: Callable[[], int] = time.time_ns,
    ) -> None:
        self.seed = seed
        self.speed = speed
        self._clock = clock
        self.start = clock() // 100_000_000 * 100_000_000
        """UTC ns when plant time and wall time were the same, on a tenth of a second."""
        self.faults: list[Fault] = []

    def wall(self) -> int:
        """UTC in ns."""
        return self._clock()

    def tick(self) -> int:
        """UTC in ns of the tenth of a second we are in."""
        return self._clock() // 100_000_000 * 100_000_000

    def plant_time(self, wall: int) -> float:
        """Plant seconds since the epoch at a wall time in ns."""
        return self.start / 1e9 + (wall - self.start) / 1e9 * self.speed

    def wall_time(self, plant_time: float) -> int:
        """UTC in ns at which plant time is, or was, ``plant_time``."""
        return self.start + round((plant_time - self.start / 1e9) / self.speed * 1e9)

    def add(self, fault: Fault) -> Fault:
        self.faults.append(fault)
        return fault

    def strike(self, asset: str, scenario: str, ramp: float | None = None) -> Fault:
        """A fault that begins now. ValueError says what does not fit."""
        return self.add(faults.fault(asset, scenario, self.plant_time(self.tick()), ramp))

    def heal(self, asset: str) -> int:
        """End every fault of ``asset`` now, those to come as well; how many there were."""
        machine_of(asset)
        now = self.plant_time(self.tick())
        ended = [fault for fault in self.faults if fault.asset == asset and fault.end > now]
        self.faults = [
            replace(fault, end=min(fault.end, now)) if fault.asset == asset else fault
            for fault in self.faults
        ]
        return len(ended)

    def reading(self, asset: str, tick: int) -> dict[str, float]:
        """What the sensors of ``asset`` say at a tick (UTC ns); NaN where one says nothing."""
        values = plant.signals(asset, self.plant_time(tick), self.faults, self.seed)
        return {quantity: float(value[0]) for quantity, value in values.items()}

    def cut(self, asset: str, tick: int) -> bool:
        """Whether the cable of ``asset`` is cut at a tick."""
        now = self.plant_time(tick)
        return any(
            fault.asset == asset and fault.scenario == "cable_cut" and fault.onset <= now < fault.end
            for fault in self.faults
        )


class Device:
    """One asset's transmitter on its wire: readings of the plant, a mood, and the refusal of writes."""

    def __init__(self, stand: Stand, asset: str) -> None:
        self.stand = stand
        self.asset = asset
        self.quantities = machine_of(asset).quantities
        self.mood: Mood = "well"
        self.requests = 0
        self.writes = 0
        self._seconds = 0.0
        self._since = 0
        self._tick = -1
        self._values: dict[str, float] = {}

    def behave(self, mood: Mood, seconds: float | None = None) -> None:
        """Take on a mood; ``seconds`` is how slow, how late, or how long the reboot is silent."""
        self._refresh()  # what "frozen" will repeat
        self.mood = mood
        self._seconds = USUAL_SECONDS.get(mood, 0.0) if seconds is None else seconds
        self._since = self.stand.wall()

    def delay(self) -> float | None:
        """Seconds until this device answers a request that came now; None is never."""
        awake = self._awake()
        if self.mood == "dead" or awake < 0 or self.stand.cut(self.asset, self.stand.tick()):
            return None
        return self._seconds if self.mood in {"slow", "late"} else 0.0

    @property
    def swapped(self) -> bool:
        return self.mood == "swapped"

    def values(self) -> dict[str, float]:
        """What it shows now, by quantity; NaN where a sensor says nothing."""
        if self.mood != "frozen":
            self._refresh()
        if 0 <= self._awake() < self._seconds:
            return dict.fromkeys(self._values, 0.0)
        return self._values

    def _awake(self) -> float:
        """Seconds since a reboot was over, negative while it lasts; without one, longer than any matters."""
        if self.mood != "rebooting":
            return float("inf")
        return (self.stand.wall() - self._since) / 1e9 - self._seconds

    def _refresh(self) -> None:
        tick = self.stand.tick()
        if tick != self._tick:
            self._values = self.stand.reading(self.asset, tick)
            self._tick = tick
