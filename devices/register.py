"""A device's map as data, and the compiled decoder of whole blocks. Pure: no wire, no clock."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from devices.batch import Reason, bad
from devices.conditioning import Conditioner

Table: TypeAlias = Literal["coil", "discrete", "input", "holding"]
Type: TypeAlias = Literal["i16", "u16", "i32", "u32", "i64", "u64", "f32", "f64", "bit", "bcd", "bcd32"]
Order: TypeAlias = Literal[
    "AB", "BA", "ABCD", "CDAB", "BADC", "DCBA", "ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA"
]
Span: TypeAlias = tuple[Table, int, int]  # a table, the first address, the one after the last
BIT_TABLES = ("coil", "discrete")
# (registers in reverse, bytes within each register in reverse); a name of four letters suits every size.
_ORDERS = {
    "AB": (False, False),
    "BA": (False, True),
    "ABCD": (False, False),
    "CDAB": (True, False),
    "BADC": (False, True),
    "DCBA": (True, True),
    "ABCDEFGH": (False, False),
    "GHEFCDAB": (True, False),
    "BADCFEHG": (False, True),
    "HGFEDCBA": (True, True),
}
_DTYPES = {
    "i16": ">i2",
    "u16": ">u2",
    "i32": ">i4",
    "u32": ">u4",
    "i64": ">i8",
    "u64": ">u8",
    "f32": ">f4",
    "f64": ">f8",
    "bcd": ">u2",
    "bcd32": ">u4",
}
_WHOLE = ("bit", "i16", "u16", "i32", "u32", "i64", "u64")
_LARGEST = sys.float_info.max
_REFUSED = bad(Reason.REFUSED)


def words(type_: Type) -> int:
    """How many registers a number of this type takes."""
    return 1 if type_ == "bit" else np.dtype(_DTYPES[type_]).itemsize // 2


def orders(type_: Type) -> tuple[str, ...]:
    """The names of byte orders that make sense for ``type_``, the usual one first."""
    letters = {1: ("AB", "BA"), 2: (), 4: tuple(o for o in get_args(Order) if len(o) == 8)}[words(type_)]
    return ("ABCD", "CDAB", "BADC", "DCBA", *letters)


@dataclass(frozen=True, slots=True)
class Register:
    """One number in a device's map.

    ``address`` is zero-based (the manual's 40001 is 0). ``bcd`` is four decimal digits in one register,
    ``bcd32`` eight in two; ``bit`` counts from the least significant. ``sentinels`` are raw numbers, or
    their bit pattern (0x8000 for an i16). ``range`` is in engineering units: ``raw * scale + offset``.
    """

    address: int
    type: Type = "u16"
    table: Table = "holding"
    order: Order = "ABCD"
    bit: int = 0
    scale: float = 1.0
    offset: float = 0.0
    sentinel: tuple[float, ...] = ()
    range: tuple[float, float] | None = None

    @property
    def size(self) -> int:
        """Addresses it takes: registers, or one coil."""
        return 1 if self.table in BIT_TABLES else words(self.type)

    @property
    def end(self) -> int:
        """The first address after it."""
        return self.address + self.size

    @property
    def span(self) -> Span:
        """Where it stands, whatever its number means."""
        return self.table, self.address, self.end

    @property
    def sentinels(self) -> tuple[float, ...]:
        """``sentinel`` as the numbers that decoding yields before scaling."""
        return tuple(_as_decoded(self.type, number) for number in self.sentinel)

    @property
    def is_certain(self) -> bool:
        """Is whatever it holds a plausible number? Integers without sentinels are, if their range has room for all."""
        if self.sentinel or self.type not in _WHOLE:
            return False
        low, high = self.range or (-_LARGEST, _LARGEST)
        return all(low <= raw * self.scale + self.offset <= high for raw in _extremes(self.type))

    def bytes_at(self, start: int) -> list[int]:
        """Where its bytes stand, most significant first, counted from the register ``start``."""
        reverse, swap = _ORDERS[self.order]
        first = (self.address - start) * 2
        places = list(range(first, first + 2 * self.size, 2))
        if reverse:
            places.reverse()
        return [place + byte for place in places for byte in ((1, 0) if swap else (0, 1))]


def _extremes(type_: Type) -> tuple[float, float]:
    if type_ == "bit":
        return 0.0, 1.0
    limits = np.iinfo(_DTYPES[type_])
    return float(limits.min), float(limits.max)


def _as_decoded(type_: Type, number: float) -> float:
    if type_ == "f32":
        with np.errstate(over="ignore"):
            rounded: float = np.float32(number).item()
            return rounded
    bits = 8 * np.dtype(_DTYPES.get(type_, ">u2")).itemsize
    if type_.startswith("i") and 1 << (bits - 1) <= number < 1 << bits:
        return number - (1 << bits)
    return number


@dataclass(frozen=True, slots=True)
class Block:
    """Neighbouring addresses of one table that are read by one request."""

    table: Table
    start: int
    count: int

    @property
    def size(self) -> int:
        """Bytes of its answer."""
        return (self.count + 7) // 8 if self.table in BIT_TABLES else 2 * self.count

    def holds(self, register: Register) -> bool:
        """Is all of ``register`` in here?"""
        return (
            register.table == self.table
            and self.start <= register.address
            and register.end <= self.start + self.count
        )

    def __str__(self) -> str:
        last = self.start + self.count - 1
        return f"{self.table} {self.start}..{last}" if last > self.start else f"{self.table} {self.start}"


class Decoder:
    """Registers out of the joined answers to ``blocks``: a gather of bytes per type, then one conversion.

    64-bit integers above 2**53 are rounded to the next float64.
    """

    def __init__(self, registers: Sequence[Register], blocks: Sequence[Block]) -> None:
        self._size = sum(block.size for block in blocks)
        self._conditioner = Conditioner(registers)
        places: dict[str, list[int]] = {}
        bytes_: dict[str, list[list[int]]] = {}
        shifts: list[int] = []
        in_block: list[list[int]] = [[] for _ in blocks]
        offsets = np.cumsum([0, *(block.size for block in blocks)]).tolist()
        unread: list[int] = []
        for i, register in enumerate(registers):
            home = next((b for b, block in enumerate(blocks) if block.holds(register)), None)
            if home is None:
                unread.append(i)
                continue
            in_block[home].append(i)
            at, shift = _locate(register, blocks[home])
            kind = "bit" if register.type == "bit" or register.table in BIT_TABLES else register.type
            places.setdefault(kind, []).append(i)
            bytes_.setdefault(kind, []).append([offsets[home] + byte for byte in at])
            if kind == "bit":
                shifts.append(shift)
        self._groups = [
            _Group(kind, np.array(at), np.array(bytes_[kind]), np.array(shifts if kind == "bit" else ()))
            for kind, at in places.items()
        ]
        self._in_block = [np.array(at, dtype=np.intp) for at in in_block]
        self._unread = np.array(unread, dtype=np.intp)
        self._certain = not unread and all(register.is_certain for register in registers)

    def decode(
        self,
        data: bytes,
        values: NDArray[np.float64],
        quality: NDArray[np.uint8],
        refused: Sequence[int] = (),
    ) -> None:
        """Fill ``values`` and ``quality`` (zeros come in) from the answers, joined in the blocks' order.

        ``refused`` are the numbers of blocks that the device would not read; ``data`` has zeros for them.
        """
        if len(data) != self._size:
            raise ValueError(f"{len(data)} bytes where the blocks have {self._size}")
        if self._certain:
            self._take(data, values)
            self._conditioner.scale(values)
        else:
            with np.errstate(over="ignore", invalid="ignore"):  # what overflows is found out of range
                self._take(data, values)
                self._conditioner.apply(values, quality)
        if refused or self._unread.size:
            lost = np.concatenate([self._unread, *(self._in_block[block] for block in refused)])
            values[lost] = np.nan
            quality[lost] = _REFUSED

    def _take(self, data: bytes, values: NDArray[np.float64]) -> None:
        for group in self._groups:
            values[group.into] = group.numbers(data)


@lru_cache(maxsize=1024)
def compile_decoder(registers: tuple[Register, ...], blocks: tuple[Block, ...]) -> Decoder:
    """The decoder of this map read by these blocks; devices of one type share it."""
    return Decoder(registers, blocks)


def _locate(register: Register, block: Block) -> tuple[list[int], int]:
    """Bytes within the block's answer, and for a single bit its place in that byte."""
    if block.table in BIT_TABLES:  # the first coil is the lowest bit of the first byte
        byte, bit = divmod(register.address - block.start, 8)
        return [byte], bit
    high, low = register.bytes_at(block.start)[:2]
    if register.type == "bit":
        return [low if register.bit < 8 else high], register.bit % 8
    return register.bytes_at(block.start), 0


class _Group:
    """All registers of one type: where they go, and the numbers that their bytes are."""

    __slots__ = ("_convert", "_shift", "_start", "_take", "dtype", "into")

    def __init__(
        self, kind: str, into: NDArray[np.intp], take: NDArray[np.intp], shift: NDArray[np.uint8]
    ) -> None:
        count, width = take.shape
        self.into: slice | NDArray[np.intp] = _as_slice(into)
        self.dtype = np.dtype(_DTYPES.get(kind, "u1"))
        flat = take.ravel()
        self._take = flat.astype(np.intp)
        neighbours = bool((np.diff(flat) == 1).all()) and width == self.dtype.itemsize
        self._start = int(flat[0]) if neighbours and count else None
        self._shift = shift.astype(np.uint8)
        self._convert: Callable[[NDArray[np.generic]], NDArray[np.generic]] | None = {
            "bit": self._bits,
            "bcd": _from_bcd,
            "bcd32": _from_bcd,
        }.get(kind)

    def numbers(self, data: bytes) -> NDArray[np.generic]:
        found: NDArray[np.generic]
        if self._start is not None:
            found = np.frombuffer(data, self.dtype, len(self._take) // self.dtype.itemsize, self._start)
        else:
            found = np.frombuffer(data, np.uint8)[self._take].view(self.dtype)
        return found if self._convert is None else self._convert(found)

    def _bits(self, found: NDArray[np.generic]) -> NDArray[np.generic]:
        return (found.astype(np.uint8) >> self._shift) & 1


def _from_bcd(found: NDArray[np.generic]) -> NDArray[np.generic]:
    """Decimal digits, four bits each; NaN where one of them is above 9."""
    digits = 2 * found.dtype.itemsize
    places = np.arange(digits, dtype=np.uint32)
    nibbles = (found.astype(np.uint32)[:, None] >> (4 * places)) & 0xF
    numbers: NDArray[np.float64] = (nibbles * 10.0**places).sum(axis=1)
    numbers[(nibbles > 9).any(axis=1)] = np.nan
    return numbers


def _as_slice(at: NDArray[np.intp]) -> slice | NDArray[np.intp]:
    if (np.diff(at) == 1).all():
        return slice(int(at[0]), int(at[-1]) + 1)
    return at
