"""Decoding against pymodbus' own converter, sentinels, ranges, and every bit pattern that a wire can bring."""

from __future__ import annotations

import math
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.client.mixin import ModbusClientMixin

from devices.batch import Reason, bad
from devices.register import Block, Decoder, Register, orders, words

ORACLE = {
    "i16": ModbusClientMixin.DATATYPE.INT16,
    "u16": ModbusClientMixin.DATATYPE.UINT16,
    "i32": ModbusClientMixin.DATATYPE.INT32,
    "u32": ModbusClientMixin.DATATYPE.UINT32,
    "i64": ModbusClientMixin.DATATYPE.INT64,
    "u64": ModbusClientMixin.DATATYPE.UINT64,
    "f32": ModbusClientMixin.DATATYPE.FLOAT32,
    "f64": ModbusClientMixin.DATATYPE.FLOAT64,
}
registers16 = st.lists(st.integers(0, 0xFFFF), min_size=8, max_size=8)


def data(numbers: list[int]) -> bytes:
    return struct.pack(f">{len(numbers)}H", *numbers)


def decode(
    registers: list[Register], blocks: list[Block], raw: bytes, **kwargs: Any
) -> tuple[list[float], list[int]]:
    values, quality = np.empty(len(registers)), np.zeros(len(registers), np.uint8)
    Decoder(registers, blocks).decode(raw, values, quality, **kwargs)
    assert np.array_equal(np.isnan(values), quality >= 0x80)  # a value is absent exactly where quality is bad
    return values.tolist(), quality.tolist()


def one(register: Register, numbers: list[int]) -> tuple[float, int]:
    start = register.address
    values, quality = decode([register], [Block(register.table, start, len(numbers))], data(numbers))
    return values[0], quality[0]


def arranged(numbers: list[int], order: str) -> list[int]:
    """What a device with this byte order puts into its registers, given them in the usual order."""
    swap = order in {"BA", "BADC", "DCBA", "BADCFEHG", "HGFEDCBA"}
    reverse = order in {"CDAB", "DCBA", "GHEFCDAB", "HGFEDCBA"}
    numbers = [(n >> 8 | n << 8) & 0xFFFF for n in numbers] if swap else list(numbers)
    return numbers[::-1] if reverse else numbers


@given(registers16, st.sampled_from(sorted(ORACLE)), st.data())
def test_every_type_and_order_decodes_as_pymodbus_does(
    numbers: list[int], kind: Any, draw: st.DataObject
) -> None:
    order: Any = draw.draw(st.sampled_from(orders(kind)))
    usual = numbers[: words(kind)]
    expected = float(ModbusClientMixin.convert_from_registers(usual, ORACLE[kind]))  # type: ignore[arg-type]
    value, quality = one(Register(3, kind, order=order), arranged(usual, order))
    if math.isfinite(expected):
        assert (value, quality) == (expected, 0)
    else:
        assert quality == bad(Reason.DECODE)


@pytest.mark.parametrize(
    ("order", "numbers"),
    [
        ("ABCD", [0x42F6, 0xE979]),
        ("CDAB", [0xE979, 0x42F6]),
        ("BADC", [0xF642, 0x79E9]),
        ("DCBA", [0x79E9, 0xF642]),
    ],
)
def test_the_four_orders_of_123_456(order: Any, numbers: list[int]) -> None:
    assert one(Register(0, "f32", order=order), numbers) == (pytest.approx(123.456, abs=1e-5), 0)


@given(
    st.lists(st.tuples(st.sampled_from(sorted(ORACLE)), st.integers(0, 9)), min_size=1, max_size=20),
    st.randoms(),
)
def test_a_whole_map_decodes_as_its_registers_one_by_one(kinds: list[tuple[Any, int]], random: Any) -> None:
    registers, at = [], 0
    for kind, hole in kinds:
        at += hole
        registers.append(Register(at, kind, table="input", order=random.choice(orders(kind))))
        at += words(kind)
    random.shuffle(registers)
    memory = [random.randrange(0x10000) for _ in range(at)]
    half = next((r.address for r in registers if r.address > at // 2), at)
    blocks = [Block("input", 0, half), *([Block("input", half, at - half)] if half < at else [])]
    values, quality = decode(registers, blocks, data(memory))
    for register, value, good in zip(registers, values, quality, strict=True):
        alone, alone_good = one(register, memory[register.address : register.end])
        assert (value, good) == (alone, alone_good) or (math.isnan(value) and good == alone_good)


def test_bits_of_registers_and_of_coils() -> None:
    registers = [Register(0, "bit", bit=n) for n in (0, 7, 8, 15)]
    assert decode(registers, [Block("holding", 0, 1)], data([0x8001]))[0] == [1.0, 0.0, 0.0, 1.0]
    swapped = [Register(0, "bit", order="BADC", bit=n) for n in (0, 7, 8, 15)]
    assert decode(swapped, [Block("holding", 0, 1)], data([0x8001]))[0] == [0.0, 1.0, 1.0, 0.0]
    coils = [Register(n, "bit", table="coil") for n in (20, 27, 28, 29)]
    assert decode(coils, [Block("coil", 20, 10)], b"\x81\x02")[0] == [1.0, 1.0, 0.0, 1.0]


def test_bcd_and_what_is_none() -> None:
    assert one(Register(0, "bcd"), [0x1234]) == (1234.0, 0)
    assert one(Register(0, "bcd32"), [0x1234, 0x5678]) == (12345678.0, 0)
    assert one(Register(0, "bcd32", order="CDAB"), [0x5678, 0x1234]) == (12345678.0, 0)
    assert one(Register(0, "bcd"), [0x12A4])[1] == bad(Reason.DECODE)


@pytest.mark.parametrize(
    ("register", "numbers"),
    [
        (Register(0, "i16", scale=0.1, sentinel=(0x8000,)), [0x8000]),
        (Register(0, "i16", sentinel=(-32768.0,)), [0x8000]),
        (Register(0, "u32", sentinel=(0xFFFFFFFF,)), [0xFFFF, 0xFFFF]),
        (Register(0, "i64", sentinel=(0x8000000000000000,)), [0x8000, 0, 0, 0]),
        (Register(0, "f32", sentinel=(-3.4e38,)), list(struct.unpack(">2H", struct.pack(">f", -3.4e38)))),
        (Register(0, "u16", sentinel=(1.0, 65535.0)), [0xFFFF]),
    ],
)
def test_a_sentinel_is_no_value(register: Register, numbers: list[int]) -> None:
    assert one(register, numbers)[1] == bad(Reason.SENTINEL)


def test_scale_comes_before_offset_and_the_range_is_in_engineering_units() -> None:
    register = Register(0, "i16", scale=0.1, offset=-40.0, range=(-40.0, 60.0))
    assert one(register, [123]) == (pytest.approx(-27.7), 0)
    assert one(register, [1000]) == (60.0, 0)
    assert one(register, [1001])[1] == bad(Reason.OUT_OF_RANGE)
    assert one(register, [0xFFFF])[1] == bad(Reason.OUT_OF_RANGE)


def test_one_bad_value_leaves_its_neighbours_alone() -> None:
    registers = [Register(n, "u16", sentinel=(7.0,), range=(0, 100)) for n in range(4)]
    values, quality = decode(registers, [Block("holding", 0, 4)], data([5, 7, 500, 100]))
    assert values[0] == 5.0
    assert values[3] == 100.0
    assert quality == [0, bad(Reason.SENTINEL), bad(Reason.OUT_OF_RANGE), 0]


def test_a_refused_block_and_an_unread_register_are_bad_and_alone() -> None:
    registers = [Register(0), Register(9), Register(50)]
    raw = data([5]) + bytes(2)
    blocks = [Block("holding", 0, 1), Block("holding", 9, 1)]
    values, quality = decode(registers, blocks, raw, refused=(1,))
    assert values[0] == 5.0
    assert quality == [0, bad(Reason.REFUSED), bad(Reason.REFUSED)]


@pytest.mark.parametrize("pattern", [0x7F800001, 0x7FC00000, 0xFF800000, 0x7F800000, 0x7F7FFFFF])
def test_odd_floats_never_reach_anybody_as_numbers(pattern: int) -> None:
    value, quality = one(Register(0, "f32", scale=1e300), [pattern >> 16, pattern & 0xFFFF])
    assert math.isnan(value)
    assert quality == bad(Reason.DECODE)


def test_too_short_an_answer_is_our_bug_and_is_not_decoded() -> None:
    with pytest.raises(ValueError, match="3 bytes where the blocks have 4"):
        decode([Register(0, "f32")], [Block("holding", 0, 2)], b"abc")


@given(
    registers16,
    st.sampled_from(("bit", *sorted(ORACLE))),
    st.sampled_from((1.0, -0.5, 1e300)),
    st.sampled_from((None, (-70_000.0, 70_000.0), (0.0, 1.0))),
)
def test_what_is_certain_is_good_whatever_the_wire_brings(
    numbers: list[int], kind: Any, scale: float, span: tuple[float, float] | None
) -> None:
    register = Register(0, type=kind, scale=scale, range=span)
    _, quality = one(register, numbers[: words(kind)])
    assert quality == 0 or not register.is_certain


def test_integers_are_certain_where_their_range_has_room_for_all() -> None:
    assert Register(0, type="u16").is_certain
    assert Register(0, type="u16", scale=0.01, range=(0, 655.35)).is_certain
    assert not Register(0, type="u16", scale=0.01, range=(0, 655)).is_certain
    assert not Register(0, type="i16", sentinel=(0x8000,)).is_certain
    assert not Register(0, type="f32").is_certain
