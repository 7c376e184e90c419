"""Modbus slaves of the stand: register maps of devices, and the TCP and RTU servers that show them.

Own and small, so that the tests' pymodbus clients check it from outside and it may misbehave at will
(MODBUS Application Protocol 1.1b3; MODBUS over Serial Line 1.02; Messaging on TCP/IP 1.0b).
Functions 3 and 4 read the same registers; every function that writes is counted and refused.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, cast

from simulators.stand import Device
from simulators.terminal import Terminal

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, NO_TARGET = 1, 2, 3, 11
WRITES = frozenset({5, 6, 15, 16, 21, 22, 23})


@dataclass(frozen=True, slots=True)
class Point:
    """One quantity in the register map: value = raw × scale."""

    quantity: str
    type: Literal["f32", "i16"]
    scale: float = 1.0


PUMP_MAP = tuple(
    Point(quantity, "f32")
    for quantity in ("vib_rms", "bearing_temp", "discharge_pressure", "flow", "speed", "current")
)
MOTOR_MAP = (
    Point("vib_rms", "i16", 0.01),
    Point("winding_temp", "i16", 0.1),
    Point("bearing_temp", "i16", 0.1),
    Point("current", "i16", 0.1),
    Point("speed", "i16", 1),
)


class Unit:
    """A device behind a unit id, its points laid out from address 0."""

    def __init__(self, device: Device, points: Sequence[Point]) -> None:
        self.device = device
        self._points = points

    def registers(self) -> bytes:
        """The whole map as it goes over the wire, big end first (ABCD), or last when swapped."""
        order = "<" if self.device.swapped else ">"
        values = self.device.values()
        return b"".join(_encode(point, values[point.quantity], order) for point in self._points)


def _encode(point: Point, value: float, order: str) -> bytes:
    if point.type == "f32":
        return struct.pack(order + "f", value)
    raw = -32768 if math.isnan(value) else max(-32767, min(32767, round(value / point.scale)))
    return struct.pack(order + "h", raw)


class Answering(Protocol):
    """Devices on one wire that can be asked."""

    @property
    def units(self) -> Mapping[int, object]:
        """The devices by their unit ids."""
        ...

    def answer(self, unit_id: int, request: bytes) -> tuple[float, bytes] | None:
        """(seconds to wait, answer) to a request's PDU; None is silence."""
        ...


class Station:
    """The units that share one wire."""

    def __init__(self, units: Mapping[int, Unit]) -> None:
        self.units = units

    def answer(self, unit_id: int, request: bytes) -> tuple[float, bytes] | None:
        """(seconds to wait, answer) to a request's PDU; None is silence."""
        unit = self.units.get(unit_id)
        if unit is None:
            return None
        unit.device.requests += 1
        unit.device.writes += request[0] in WRITES
        delay = unit.device.delay()
        return None if delay is None else (delay, _read(unit, request))


def _read(unit: Unit, request: bytes) -> bytes:
    function = request[0]
    if function not in {3, 4}:
        return refusal(function, ILLEGAL_FUNCTION)
    address, count = struct.unpack(">HH", request[1:]) if len(request) == 5 else (0, 0)
    if not 1 <= count <= 125:
        return refusal(function, ILLEGAL_VALUE)
    part = unit.registers()[2 * address : 2 * (address + count)]
    if len(part) < 2 * count:
        return refusal(function, ILLEGAL_ADDRESS)
    return bytes((function, len(part))) + part


def refusal(function: int, code: int) -> bytes:
    return bytes((function | 0x80, code))


class TcpConnection(asyncio.Protocol):
    """One client of a Modbus TCP server."""

    def __init__(self, station: Answering, connections: set[asyncio.Transport]) -> None:
        self._station = station
        self._connections = connections
        self._buffer = bytearray()
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance
        self._connections.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._connections.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while len(self._buffer) >= 8:
            transaction, protocol, length, unit_id = struct.unpack_from(">HHHB", self._buffer)
            if protocol != 0 or not 2 <= length <= 254:
                self._transport.close()
                return
            if len(self._buffer) < 6 + length:
                return
            request = bytes(self._buffer[7 : 6 + length])
            del self._buffer[: 6 + length]
            self._answer(transaction, unit_id, request)

    def _answer(self, transaction: int, unit_id: int, request: bytes) -> None:
        if unit_id not in self._station.units:
            delay, pdu = 0.0, refusal(request[0], NO_TARGET)
        else:
            answered = self._station.answer(unit_id, request)
            if answered is None:
                return
            delay, pdu = answered
        frame = struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit_id) + pdu
        if delay:
            asyncio.get_running_loop().call_later(delay, self._send, frame)
        else:
            self._transport.write(frame)

    def _send(self, frame: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(frame)


async def serve_tcp(station: Answering, port: int, host: str) -> tuple[int, Callable[[], None]]:
    """Listen; the port (a free one for 0) and what stops it. OSError when the port is taken."""
    connections: set[asyncio.Transport] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: TcpConnection(station, connections), host, port)

    def stop() -> None:
        server.close()
        for transport in list(connections):
            transport.abort()

    return server.sockets[0].getsockname()[1], stop


class RtuSlaves:
    """The units on a serial line: takes bytes from a terminal and answers what is meant for them."""

    FUNCTION_LENGTHS = dict.fromkeys((1, 2, 3, 4, 5, 6), 8) | {7: 4, 8: 8, 11: 4, 12: 4, 17: 4, 22: 10}

    def __init__(self, station: Answering, terminal: Terminal) -> None:
        self._station = station
        self._terminal = terminal
        self._buffer = bytearray()
        self._heard = 0.0
        terminal.listen(self.received)

    def received(self, data: bytes) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._heard > 0.05:  # a frame has no such pause inside: what was begun is over
            self._buffer.clear()
        self._heard = now
        self._buffer += data
        while length := self._frame_length():
            if len(self._buffer) < length:
                return
            frame = bytes(self._buffer[:length])
            if crc16(frame[:-2]) != struct.unpack("<H", frame[-2:])[0]:
                del self._buffer[0]  # noise before a frame
                continue
            del self._buffer[:length]
            answered = self._station.answer(frame[0], frame[1:-2])
            if answered is not None:
                delay, pdu = answered
                body = bytes((frame[0],)) + pdu
                self._terminal.reply(body + struct.pack("<H", crc16(body)), len(frame), delay)

    def _frame_length(self) -> int:
        """Length of the request the buffer begins with; 0 until that can be said."""
        if len(self._buffer) < 2:
            return 0
        function = self._buffer[1]
        if function in {15, 16}:
            return 9 + self._buffer[6] if len(self._buffer) > 6 else 0
        if function == 23:
            return 13 + self._buffer[10] if len(self._buffer) > 10 else 0
        if function == 43:
            return 7
        return self.FUNCTION_LENGTHS.get(function, 4)


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xA001 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_CRC = _crc_table()


def crc16(data: bytes) -> int:
    """CRC-16/MODBUS; on the wire its low byte comes first."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    return crc
