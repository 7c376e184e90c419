"""Which way of reading the registers is right, and who is there."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devices.batch import DeviceError
from devices.modbus_pdu import IDENTIFY, RefusedError
from devices.probe import Guess, guesses, read_around, read_range, scan_registers, scan_units
from devices.wire import SilentError

Pack = Callable[[float], bytes]
WAYS: dict[tuple[str, str], Pack] = {
    ("f32", "ABCD"): lambda x: struct.pack(">f", x),
    ("f32", "CDAB"): lambda x: struct.pack(">f", x)[2:] + struct.pack(">f", x)[:2],
    ("f32", "BADC"): lambda x: bytes(struct.pack(">f", x)[i] for i in (1, 0, 3, 2)),
    ("f32", "DCBA"): lambda x: struct.pack("<f", x),
    ("i16", "ABCD"): lambda x: struct.pack(">h", round(x * 10)),
    ("i32", "ABCD"): lambda x: struct.pack(">i", round(x * 100)),
    ("f64", "ABCD"): lambda x: struct.pack(">d", x),
}


def raw(data: bytes, at: int) -> dict[int, bytes]:
    """A device whose other registers hold a counter that says nothing."""
    words = {at - 1: b"\x00\x07", **{at + n: data[2 * n : 2 * n + 2] for n in range(len(data) // 2)}}
    return {at + 4: b"\x00\x01", at + 3: b"\x12\x34", at + 2: b"\x00\x09", **words}


@pytest.mark.parametrize("way", WAYS)
def test_what_the_display_shows_finds_type_order_and_scale(way: tuple[str, str]) -> None:
    best = guesses("holding", 100, [raw(WAYS[way](51.37), 100)], expect=51.4)[0]
    assert (best.register.type, best.register.order, best.register.address) == (*way, 100)
    assert best.mark == "matches"
    assert best.value == pytest.approx(51.37, abs=0.1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("told", [99, 101])  # manuals count from 0 or from 1
def test_it_is_found_beside_the_address_that_was_told(way: tuple[str, str], told: int) -> None:
    found = guesses("holding", told, [raw(WAYS[way](51.37), 100)], expect=51.4)
    right = next(g for g in found if (g.register.type, g.register.order, g.register.address) == (*way, 100))
    assert right.mark == "matches"
    assert sum(g.mark == "matches" for g in found) <= 8, "few enough to look at"


def test_the_plausible_stand_first_and_what_jumps_is_not(  # a wrong order turns small changes into large ones
) -> None:
    readings = [raw(WAYS["f32", "CDAB"](value), 10) for value in (48.71, 48.74, 48.69)]
    found = guesses("input", 10, readings)
    assert (found[0].register.type, found[0].register.order, found[0].mark) == ("f32", "CDAB", "plausible")
    wrong = _of(found, "f32", "ABCD")
    assert wrong.mark == ""


def test_values_outside_of_what_can_be_are_not_marked() -> None:
    found = guesses("input", 10, [raw(WAYS["f32", "ABCD"](480.0), 10)], within=(0, 50))
    assert _of(found, "f32", "ABCD").mark == ""


def _of(found: list[Guess], type_: str, order: str) -> Guess:
    return next(
        g for g in found if (g.register.type, g.register.order, g.register.address) == (type_, order, 10)
    )


@given(st.binary(min_size=12, max_size=12), st.floats(allow_nan=False, allow_infinity=False) | st.none())
def test_no_bytes_are_too_strange(data: bytes, expect: float | None) -> None:
    words = {9 + n: data[2 * n : 2 * n + 2] for n in range(6)}
    found = guesses("holding", 10, [words, words], expect=expect)
    assert len(found) == 3 * (2 * 3 + 4 * 7)  # addresses × (orders of one word × types + of several × types)


class Device:
    """Registers 0 to 20 without 7, and unit 3 only; it does not read across a hole."""

    async def ask(self, unit_id: int, pdu: bytes) -> bytes:
        if unit_id == 9:
            return bytes((pdu[0] | 0x80, 11))
        if unit_id != 3:
            raise SilentError("timeout")
        if pdu == IDENTIFY:
            return b"\x2b\x0e\x01\x01\x00\x00\x02\x00\x04ACME\x01\x02P7"
        start, count = struct.unpack(">HH", pdu[1:])
        asked = range(start, start + count)
        if 7 in asked or asked[-1] > 20:
            return bytes((pdu[0] | 0x80, 2))
        return bytes((pdu[0], 2 * count)) + b"".join(at.to_bytes(2) for at in asked)


def test_a_hole_is_read_around() -> None:
    device = Device()
    found = asyncio.run(read_range(device.ask, 3, "holding", 0, 15))
    assert sorted(found) == [at for at in range(16) if at != 7]
    assert all(int.from_bytes(word) == at for at, word in found.items())
    assert sorted(asyncio.run(read_around(device.ask, 3, "holding", 6))) == [5, 6, 8, 9, 10]
    with pytest.raises(RefusedError, match="illegal address"):
        asyncio.run(read_around(device.ask, 3, "holding", 500))


def test_a_scan_tells_who_answers_and_what_can_be_read() -> None:
    async def story() -> None:
        device = Device()
        units = [found async for found in scan_units(device.ask, [2, 3, 9])]
        assert units == [(2, None), (3, "ACME P7"), (9, None)]
        parts = [part async for part in scan_registers(device.ask, 3, "holding", 0, 40)]
        assert [upto for upto, _ in parts] == [15, 31, 40]
        assert sorted(at for _, found in parts for at in found) == [at for at in range(21) if at != 7]

    asyncio.run(story())


def test_silence_in_a_probe_is_said() -> None:
    with pytest.raises(DeviceError, match="timeout"):
        asyncio.run(read_around(Device().ask, 1, "holding", 5))
