"""A Modbus device that holds given numbers: whatever map it should have, on Modbus TCP and on a serial line."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simulators.modbus import (
    ILLEGAL_ADDRESS,
    ILLEGAL_FUNCTION,
    ILLEGAL_VALUE,
    WRITES,
    RtuSlaves,
    refusal,
    serve_tcp,
)
from simulators.process import opening, say, until_stopped
from simulators.terminal import Terminal

_TABLES = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
_FORMS = {
    "i16": ">h", "u16": ">H", "i32": ">i", "u32": ">I", "i64": ">q", "u64": ">Q", "f32": ">f", "f64": ">d",
}  # fmt: skip


class Image:
    """The registers and coils of one device; addresses that hold nothing are read as zero.

    Each of ``points`` is ``{table, address, type, order, bit, raw}``: a number before scaling, and where it stands.
    """

    def __init__(self, points: Sequence[Mapping[str, Any]]) -> None:
        self.requests = self.writes = 0
        self._words: dict[str, dict[int, int]] = {table: {} for table in _TABLES.values()}
        for point in points:
            words = self._words[point["table"]]
            if point["table"] in {"coil", "discrete"}:
                words[point["address"]] = int(point["raw"])
            elif point["type"] == "bit":
                old = words.get(point["address"], 0)
                words[point["address"]] = old | int(point["raw"]) << point["bit"]
            else:
                words.update(enumerate(encode(point["type"], point["order"], point["raw"]), point["address"]))

    def answer(self, request: bytes) -> bytes:
        """The PDU that answers a request's."""
        self.requests += 1
        self.writes += request[0] in WRITES
        table = _TABLES.get(request[0])
        if table is None or len(request) != 5:
            return refusal(request[0], ILLEGAL_FUNCTION)
        start, count = struct.unpack(">HH", request[1:])
        bits = table in {"coil", "discrete"}
        if not 1 <= count <= (2000 if bits else 125):
            return refusal(request[0], ILLEGAL_VALUE)
        if start + count > 65_536:
            return refusal(request[0], ILLEGAL_ADDRESS)
        held = [self._words[table].get(address, 0) for address in range(start, start + count)]
        data = _packed(held) if bits else struct.pack(f">{count}H", *held)
        return bytes((request[0], len(data))) + data


def encode(type_: str, order: str, raw: float) -> tuple[int, ...]:
    """The registers of a number: ``order`` is ABCD, CDAB (words swapped), BADC (bytes swapped) or DCBA."""
    if type_ in {"bcd", "bcd32"}:
        data = bytes.fromhex(f"{int(raw):0{4 if type_ == 'bcd' else 8}d}")
    else:
        form = _FORMS[type_]
        data = struct.pack(form, raw if form[1] in "fd" else int(raw))
    words = list(struct.unpack(f">{len(data) // 2}H", data))
    if order in {"BADC", "DCBA"}:
        words = [word >> 8 | (word & 0xFF) << 8 for word in words]
    return tuple(reversed(words) if order in {"CDAB", "DCBA"} else words)


def _packed(bits: Sequence[int]) -> bytes:
    data = bytearray((len(bits) + 7) // 8)
    for n, bit in enumerate(bits):
        data[n // 8] |= bool(bit) << n % 8
    return bytes(data)


class ImageStation:
    """The devices of one wire, by unit id (see ``simulators.modbus.Station``)."""

    def __init__(self, units: Mapping[int, Image]) -> None:
        self.units = units

    def answer(self, unit_id: int, request: bytes) -> tuple[float, bytes] | None:
        """At once, if there is such a unit."""
        unit = self.units.get(unit_id)
        return (0.0, unit.answer(request)) if unit else None


async def serve(units: Mapping[int, Image], port: int, link: Path | None) -> dict[str, object]:
    """Serve until told to stop, on Modbus TCP and, with ``link``, on a serial line; what was asked."""
    station = ImageStation(units)
    with opening(port):
        port, stop = await serve_tcp(station, port, "127.0.0.1")
    terminal = Terminal(link) if link else None
    if terminal:
        RtuSlaves(station, terminal)
    say(
        {
            "ready": True,
            "tcp": {"host": "127.0.0.1", "port": port},
            "rtu": {"port": str(link)} if link else None,
        }
    )
    try:
        await until_stopped()
    finally:
        stop()
        if terminal:
            terminal.close()
    asked = [(unit.requests, unit.writes) for unit in units.values()]
    return {"requests": sum(n for n, _ in asked), "writes": sum(n for _, n in asked)}
