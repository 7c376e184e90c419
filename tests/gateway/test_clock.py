"""Sample times never run backwards, whatever somebody does to the wall clock."""

from __future__ import annotations

from gateway.clock import Clock

S = 1_000_000_000
NOON = 1_800_000_000 * S


class Time:
    """A wall clock that can be set, and a monotonic one that cannot."""

    def __init__(self) -> None:
        self.passed = 5 * S
        self.shift = NOON - self.passed

    def go(self, seconds: float) -> None:
        self.passed += round(seconds * S)

    def clock(self, floor: int = 0) -> Clock:
        return Clock(floor, wall=lambda: self.passed + self.shift, monotonic=lambda: self.passed)


def test_it_goes_with_the_wall() -> None:
    time = Time()
    clock = time.clock()
    assert clock.now() == NOON
    time.go(3)
    assert clock.now() == NOON + 3 * S
    assert clock.behind == 0


def test_a_backward_step_moves_nothing_and_is_reported_until_the_wall_has_caught_up() -> None:
    time = Time()
    clock = time.clock()
    time.shift -= 3 * 3600 * S
    time.go(1)
    assert clock.now() == NOON + S
    assert round(clock.behind) == 3 * 3600
    time.shift += 3 * 3600 * S
    time.go(1)
    clock.now()
    time.go(1)
    assert clock.now() == NOON + 3 * S
    assert clock.behind == 0


def test_a_forward_step_is_taken_at_once() -> None:
    time = Time()
    clock = time.clock()
    time.shift += 3600 * S
    assert clock.now() == NOON + 3600 * S


def test_a_boot_without_a_clock_goes_on_after_the_newest_stored_sample() -> None:
    time = Time()
    time.shift = 0  # 1970
    clock = time.clock(floor=NOON)
    assert clock.now() == NOON + S
    time.go(10)
    assert clock.now() == NOON + 11 * S
    time.shift = NOON + 20 * S  # the network brought the time
    assert clock.now() == time.passed + time.shift
