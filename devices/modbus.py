"""Modbus lines: their settings, and how they open."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from pydantic import Field

from devices.line import Line, Time
from devices.memory import Memory
from devices.modbus_frame import AsciiFraming, RtuFraming
from devices.modbus_map import ModbusDevice
from devices.modbus_unit import ModbusUnit
from devices.modbus_wire import SharedWire, TcpWire
from devices.plan import Cost, plan, silence
from devices.serial_line import SerialLine, serial_opener
from devices.settings import LineSettings, NotNegative, Positive
from devices.wire import Opener, tcp_opener


class ModbusTcpLine(LineSettings):
    """One Modbus TCP endpoint; the units behind a bridge share it."""

    kind: Literal["modbus-tcp"]
    host: str = Field(min_length=1)
    port: int = Field(default=502, ge=1, le=65535)
    connect_timeout: Positive = timedelta(seconds=3)
    connect_delay: NotNegative = timedelta()


class ModbusSerialLine(SerialLine):
    """A serial line with Modbus units. ``latency`` is the longest that any of them may take to answer."""

    kind: Literal["modbus-rtu", "modbus-ascii"]
    latency: Positive | None = None


class ModbusRtuTcpLine(LineSettings):
    """RTU frames through a TCP connection: a serial server that passes bytes on as they are."""

    kind: Literal["modbus-rtu-tcp"]
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    connect_timeout: Positive = timedelta(seconds=3)
    connect_delay: NotNegative = timedelta()
    latency: Positive | None = None


def open_tcp(
    name: str,
    line: ModbusTcpLine,
    devices: Mapping[str, ModbusDevice],
    clock: Time,
    start: float,
    *,
    memory: Memory,
) -> Line:
    """The line of one endpoint with its units; nothing is connected yet."""
    wire = TcpWire(f"{line.host}:{line.port}", _connection(line))
    cost = Cost.network()
    units = [ModbusUnit(device, settings, wire, cost, memory=memory) for device, settings in devices.items()]
    return Line(name, line.kind, wire, units, start=start, clock=clock)


def open_serial(
    name: str,
    line: ModbusSerialLine,
    devices: Mapping[str, ModbusDevice],
    clock: Time,
    start: float,
    *,
    memory: Memory,
) -> Line:
    """An RTU or ASCII line with its units; the port is not opened yet."""
    quarantine = _longest(line.latency, devices)
    wire = SharedWire(
        line.port,
        serial_opener(line),
        RtuFraming() if line.kind == "modbus-rtu" else AsciiFraming(),
        gap=silence(line.baud, line.char_bits) if line.kind == "modbus-rtu" else 0.0,
        char=line.char_bits / line.baud,
        quarantine=quarantine,
    )
    cost = serial_cost(line)
    units = [
        ModbusUnit(device, settings, wire, cost, quiet=quarantine, memory=memory)
        for device, settings in devices.items()
    ]
    return Line(name, line.kind, wire, units, start=start, clock=clock)


def open_rtu_tcp(
    name: str,
    line: ModbusRtuTcpLine,
    devices: Mapping[str, ModbusDevice],
    clock: Time,
    start: float,
    *,
    memory: Memory,
) -> Line:
    """RTU units behind a serial server; nothing is connected yet."""
    quarantine = _longest(line.latency, devices)
    wire = SharedWire(
        f"{line.host}:{line.port}", _connection(line), RtuFraming(), gap=0.0, char=0.0, quarantine=quarantine
    )
    cost = Cost.network(latency=0.02)
    units = [
        ModbusUnit(device, settings, wire, cost, quiet=quarantine, memory=memory)
        for device, settings in devices.items()
    ]
    return Line(name, line.kind, wire, units, start=start, clock=clock)


def serial_cost(line: ModbusSerialLine) -> Cost:
    """What a request costs on this line."""
    if line.kind == "modbus-rtu":
        return Cost.rtu(line.baud, line.char_bits)
    return Cost.ascii(line.baud, line.char_bits)


def line_load(line: LineSettings, devices: Mapping[str, ModbusDevice]) -> dict[str, float]:
    """Predicted share of line time per device: 1 is all of it. TCP endpoints are not limited by their wire."""
    if not isinstance(line, ModbusSerialLine):
        return {}
    cost = serial_cost(line)
    return {
        name: sum(
            cost.of(block) / period.total_seconds()
            for period, points in device.groups().items()
            for block in plan([p.register() for p in points.values()], cost, device.max_registers)
        )
        for name, device in devices.items()
    }


def _connection(line: ModbusTcpLine | ModbusRtuTcpLine) -> Opener:
    return tcp_opener(
        line.host, line.port, line.connect_timeout.total_seconds(), line.connect_delay.total_seconds()
    )


def _longest(latency: timedelta | None, devices: Mapping[str, ModbusDevice]) -> float:
    usual = max((device.timeout for device in devices.values()), default=timedelta(seconds=1))
    return (latency or usual).total_seconds()
