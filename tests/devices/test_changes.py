"""Slope limits and report by exception, on traces."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from devices.batch import Reason, bad, uncertain
from devices.changes import Changes, SlopeLimit
from devices.instrument import InstrumentDevice
from devices.modbus_map import ModbusDevice

SLOPE = uncertain(Reason.SLOPE)
LOST = bad(Reason.COMM_LOST)


def judged(trace: str, limit: float = 1.0) -> str:
    """A letter for each number, one second apart: g for good, s for too fast, - for a number that is not there."""
    slopes, letters = SlopeLimit([None, limit]), ""
    for second, word in enumerate(trace.split()):
        absent = word == "-"
        values = np.array([0.0, math.nan if absent else float(word)])
        quality = np.array([0, LOST if absent else 0], dtype=np.uint8)
        slopes.apply(float(second), values, quality)
        letters += "-" if absent else {0: "g", SLOPE: "s"}[int(quality[1])]
        assert quality[0] == 0
    return letters


@pytest.mark.parametrize(
    ("trace", "letters"),
    [
        ("5 5 6 7 6", "ggggg"),  # as fast as allowed
        ("5 5 90 5 5", "ggsgg"),  # a spike is one sample, and what was before it counts
        ("5 5 90 90 90", "ggsgg"),  # a true step too: the next one says the same
        ("5 5 90 12 70 5", "ggsssg"),  # noise: nothing agrees until the old level is back
        ("5 - - 9", "g--s"),  # four in three seconds
        ("5 - - - 9", "g---g"),  # four in four
        ("- 7 7", "-gg"),  # the first is believed
        ("5 90 - 90", "gs-g"),
    ],
)
def test_a_value_that_moves_too_fast_is_uncertain(trace: str, letters: str) -> None:
    assert judged(trace) == letters


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(0.1, 100))
def test_what_keeps_below_the_limit_is_never_doubted(steps: list[float], limit: float) -> None:
    slopes, value = SlopeLimit([limit]), 0.0
    for second, step in enumerate(steps):
        value += max(-0.99, min(0.99, step)) * limit
        quality = np.zeros(1, dtype=np.uint8)
        slopes.apply(float(second), np.array([value]), quality)
        assert quality[0] == 0


def told(trace: str, deadband: float = 1.0, silence: float = 10.0) -> str:
    """Which of these readings, one second apart, are told (t); - is a reading that failed."""
    changes, letters = Changes([deadband, 0.0], silence, 1.0), ""
    for second, word in enumerate(trace.split()):
        lost = word == "-"
        values = np.array([math.nan if lost else float(word), 0.0 if lost else 1.0])
        quality = np.array([LOST if lost else 0, 0], dtype=np.uint8)
        letters += "t" if changes.worth(float(second), values, quality) else "."
    return letters


@pytest.mark.parametrize(
    ("trace", "letters"),
    [
        ("5 5 5.9 6 6.1 6.1", "t...t."),  # beyond the deadband, and not at its edge
        ("5 5.6 6.2 6.8 7.4", "t.t.t"),  # a creep is seen: each is held against what was told
        ("5 - - - 5 5", "tt..t."),  # a loss and its end are told once
        ("5 5 5 5 5 5 5 5 5 5 5 5 5 5 5", "t.........t...."),  # ten seconds of silence at most
    ],
)
def test_only_changes_are_told_and_one_reading_now_and_then(trace: str, letters: str) -> None:
    assert told(trace) == letters


@given(st.lists(st.floats(-100, 100), max_size=60), st.floats(0, 5), st.floats(1, 20))
def test_the_last_told_value_is_never_further_off_than_the_deadband(
    numbers: list[float], deadband: float, silence: float
) -> None:
    changes, known, since = Changes([deadband], silence, 1.0), math.nan, 0
    for second, number in enumerate(numbers):
        if changes.worth(float(second), np.array([number]), np.zeros(1, dtype=np.uint8)):
            known, since = number, second
        assert abs(number - known) <= deadband
        assert second - since <= silence


def test_what_the_hall_had_no_room_for_is_told_again() -> None:
    changes = Changes([0.0], 60.0, 1.0)
    value, quality = np.array([5.0]), np.zeros(1, dtype=np.uint8)
    assert changes.worth(0.0, value, quality)
    changes.forget()
    assert changes.worth(1.0, value, quality)
    assert not changes.worth(2.0, value, quality)


def modbus(**more: Any) -> ModbusDevice:
    return ModbusDevice.model_validate({"line": "l", "points": {"p/a": {"address": 1, "deadband": 2}}} | more)


def test_a_deadband_without_a_longest_silence_is_a_mistake() -> None:
    with pytest.raises(ValidationError, match="p/a has a deadband: the device needs longest_silence"):
        modbus()
    with pytest.raises(ValidationError, match="shorter than period"):
        modbus(longest_silence=timedelta(seconds=5), period=timedelta(seconds=10))
    assert modbus(longest_silence=timedelta(seconds=60)).longest_silence == timedelta(seconds=60)
    instrument = {"line": "l", "pattern": "(?P<v>.*)", "points": {"p/a": {"field": "v", "deadband": 1}}}
    with pytest.raises(ValidationError, match="longest_silence"):
        InstrumentDevice.model_validate(instrument)


@pytest.mark.anyio
async def test_a_device_that_reports_by_exception_on_its_wire(bus: Any, inbox: Any, running: Any) -> None:
    from devices.kinds import KINDS, open_sources

    kind = KINDS["modbus-rtu"]
    held = {1: 100, 2: 7}
    bus.hold = lambda _unit, address: held[address]
    points = {"p/a": {"address": 1, "deadband": 5}, "p/b": {"address": 2, "slope": 1}}
    settings = {
        "line": "l",
        "period": timedelta(milliseconds=20),
        "timeout": timedelta(seconds=2),
        "longest_silence": timedelta(minutes=5),
        "points": points,
    }
    [source] = open_sources(
        {"l": kind.line.model_validate({"kind": "modbus-rtu", "port": bus.path, "baud": 115200})},
        {"dev": kind.device.model_validate(settings)},
    )
    async with running(source, inbox):
        await inbox.until(
            lambda _: source.status().devices[0].tally.skipped.get("unchanged", 0) > 5, within=30
        )
        assert [batch.values.tolist() for batch in inbox.batches] == [[100, 7, 1]]
        held[1] = 110
        await inbox.wait(2, within=30)
        held[2] = 60000
        await inbox.wait(3, within=30)
        tally = source.status().devices[0].tally
    assert inbox.batches[1].values.tolist() == [110, 7, 1]
    assert inbox.batches[2].quality.tolist() == [0, SLOPE, 0]
    assert tally.expected == tally.read + tally.failed + sum(tally.skipped.values())
