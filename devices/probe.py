"""What do these registers mean? Every type and byte order side by side, and who is on a line at all.

``guesses`` is pure. The rest asks questions through ``ask``, which puts one at a time on the line, between its polls:
``ask(unit_id, pdu)`` is the answer PDU, or raises DeviceError.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from devices.batch import DeviceError
from devices.modbus_pdu import IDENTIFY, Question, RefusedError, identification
from devices.register import BIT_TABLES, Block, Order, Register, Table, Type, compile_decoder, words

Ask: TypeAlias = Callable[[int, bytes], Awaitable[bytes]]
Raw: TypeAlias = Mapping[int, bytes]  # what could be read, by address: two bytes a register, one a coil

_TYPES: Final[tuple[Type, ...]] = (  # the most usual first
    "f32",
    "i16",
    "u16",
    "i32",
    "u32",
    "f64",
    "i64",
    "u64",
    "bcd",
    "bcd32",
)
_ORDERS: Final[dict[int, tuple[Order, ...]]] = {
    1: ("ABCD", "BADC"),
    2: ("ABCD", "CDAB", "BADC", "DCBA"),
    4: ("ABCD", "CDAB", "BADC", "DCBA"),
}
_SCALES: Final = (1.0, 0.1, 0.01, 0.001, 10.0, 100.0)
_NEAR: Final = 0.05  # of what a display shows, which may have changed meanwhile
_JUMP: Final = 0.5  # a value that changes by this share between two readings is hardly a measurement
_SMALLEST, _LARGEST = 1e-3, 1e7  # of what people measure, in the units in which they do
ABSENT: Final = (
    10,
    11,
)  # exceptions by which a bridge says that the unit is not there; any other is an answer
_STEP: Final = 16  # registers a request when a range is scanned


@dataclass(frozen=True, slots=True)
class Guess:
    """One way of reading the registers. ``value`` is the newest, already times ``scale``; ``mark`` says how it looks.

    ``matches``: what was expected; ``plausible``; or nothing. ``steady``: it did not jump between the readings.
    """

    register: Register
    value: float
    mark: str
    steady: bool


def guesses(
    table: Table,
    address: int,
    readings: Sequence[Raw],
    *,
    expect: float | None = None,
    within: tuple[float, float] | None = None,
) -> list[Guess]:
    """Every type and order at ``address`` and its neighbours, the likeliest first.

    ``readings`` are several, some moments apart. ``expect`` is what the device's display shows; ``within`` are the
    plausible values.
    """
    found = []
    for register in _candidates(table, address):
        values = [value for raw in readings if (value := _decoded(register, raw)) is not None]
        if values:
            found.append(_judged(register, values, expect, within))
    return sorted(found, key=lambda guess: _rank(guess, address))


def _candidates(table: Table, address: int) -> list[Register]:
    places = [at for at in (address, address - 1, address + 1) if 0 <= at <= 65535]
    if table in BIT_TABLES:
        return [Register(at, "bit", table) for at in places]
    return [
        Register(at, type_, table, order)
        for at in places
        for type_ in _TYPES
        for order in _ORDERS[words(type_)]
        if at + words(type_) <= 65536
    ]


def _decoded(register: Register, raw: Raw) -> float | None:
    """The number, NaN where these bits are none; None where not all of it could be read."""
    place = range(register.address, register.end)
    if any(at not in raw for at in place):
        return None
    block = Block(register.table, register.address, register.size)
    values, quality = np.zeros(1), np.zeros(1, np.uint8)
    compile_decoder((register,), (block,)).decode(b"".join(raw[at] for at in place), values, quality)
    return float(values[0])


def _judged(
    register: Register, values: list[float], expect: float | None, within: tuple[float, float] | None
) -> Guess:
    value, swing = values[-1], max(values) - min(values)
    steady = all(map(math.isfinite, values)) and swing <= _JUMP * max(map(abs, values))
    if math.isnan(value):
        return Guess(register, value, "", steady)
    if expect is not None:
        for scale in _SCALES:
            if abs(value * scale - expect) <= _NEAR * abs(expect):
                scaled = Register(
                    register.address, register.type, register.table, register.order, scale=scale
                )
                return Guess(scaled, value * scale, "matches", steady)
        return Guess(register, value, "", steady)
    if within is not None:
        plausible = within[0] <= value <= within[1]
    else:
        plausible = value == 0 or _SMALLEST <= abs(value) <= _LARGEST
    return Guess(register, value, "plausible" if plausible and steady else "", steady)


def _rank(guess: Guess, address: int) -> tuple[object, ...]:
    """Marked before unmarked, then where we were told to look, then what devices usually do."""
    register = guess.register
    return (
        ("matches", "plausible", "").index(guess.mark),
        not guess.steady,
        register.address != address,
        abs(math.log10(register.scale)),
        guess.value == 0,  # says nothing
        (*_TYPES, "bit").index(register.type),
        ("ABCD", "CDAB", "BADC", "DCBA").index(register.order),
        register.address,
    )


async def read_around(ask: Ask, unit_id: int, table: Table, address: int) -> Raw:
    """The registers that ``guesses`` wants, as far as the device gives them; raises DeviceError when it gives none."""
    first, last = max(0, address - 1), min(65535, address + (1 if table in BIT_TABLES else 4))
    return await read_range(ask, unit_id, table, first, last)


async def read_range(ask: Ask, unit_id: int, table: Table, first: int, last: int) -> Raw:
    """What can be read from ``first`` to ``last``, both included; where a request is refused, in halves."""
    block = Block(table, first, last - first + 1)
    question = Question(block)
    try:
        data = question.data(await ask(unit_id, question.pdu))
    except RefusedError:
        if first == last:
            raise
        middle = (first + last) // 2
        found: dict[int, bytes] = {}
        refusal: RefusedError | None = None
        for half in ((first, middle), (middle + 1, last)):
            try:
                found |= await read_range(ask, unit_id, table, *half)
            except RefusedError as error:
                refusal = error
        if refusal is not None and not found:
            raise refusal from None
        return found
    if table in BIT_TABLES:
        return {first + n: bytes(((data[n // 8] >> n % 8) & 1,)) for n in range(block.count)}
    return {first + n: data[2 * n : 2 * n + 2] for n in range(block.count)}


async def scan_units(ask: Ask, unit_ids: Sequence[int]) -> AsyncIterator[tuple[int, str | None]]:
    """For each unit id None if nobody answers, or what the device says of itself ("" if nothing)."""
    question = Question(Block("holding", 0, 1))
    for unit_id in unit_ids:
        try:
            question.data(await ask(unit_id, question.pdu))
        except DeviceError as error:
            if not isinstance(error, RefusedError) or error.code in ABSENT:
                yield unit_id, None
                continue
        named: dict[int, str] = {}
        with suppress(DeviceError):  # few devices can say it
            named = identification(await ask(unit_id, IDENTIFY))
        yield unit_id, " ".join(named[number] for number in sorted(named) if named[number])


async def scan_registers(
    ask: Ask, unit_id: int, table: Table, first: int, last: int
) -> AsyncIterator[tuple[int, Raw]]:
    """What can be read, a few registers at a time: up to which address was asked, and what was found on the way."""
    for start in range(first, last + 1, _STEP):
        end = min(start + _STEP - 1, last)
        found: Raw = {}
        with suppress(RefusedError):
            found = await read_range(ask, unit_id, table, start, end)
        yield end, found
