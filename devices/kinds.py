"""Every kind of line: its settings, its devices' settings, and who opens it. A new kind is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from devices import instrument, modbus, mqtt
from devices.line import Time
from devices.settings import DeviceSettings, LineSettings
from devices.source import Source

__all__ = ["KINDS", "DeviceSettings", "Kind", "LineSettings", "open_sources"]

_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Kind:
    """``open(name, line, devices, clock, start)`` makes the source; it opens nothing yet."""

    line: type[LineSettings]
    device: type[DeviceSettings]
    open: Callable[..., Source]


KINDS: dict[str, Kind] = {
    "modbus-tcp": Kind(modbus.ModbusTcpLine, modbus.ModbusDevice, modbus.open_tcp),
    "modbus-rtu": Kind(modbus.ModbusSerialLine, modbus.ModbusDevice, modbus.open_serial),
    "modbus-ascii": Kind(modbus.ModbusSerialLine, modbus.ModbusDevice, modbus.open_serial),
    "modbus-rtu-tcp": Kind(modbus.ModbusRtuTcpLine, modbus.ModbusDevice, modbus.open_rtu_tcp),
    "serial-ascii": Kind(instrument.SerialAsciiLine, instrument.InstrumentDevice, instrument.open_line),
    "mqtt": Kind(mqtt.MqttLine, mqtt.MqttDevice, mqtt.open_broker),
    "tcp-ascii": Kind(instrument.TcpAsciiLine, instrument.InstrumentDevice, instrument.open_line),
}


def open_sources(
    lines: Mapping[str, LineSettings], devices: Mapping[str, DeviceSettings], clock: Time | None = None
) -> list[Source]:
    """One source per line that has devices; their first readings are spread evenly over time."""
    clock = clock or Time()
    sources: list[Source] = []
    for number, (name, line) in enumerate(lines.items()):
        here = {device: settings for device, settings in devices.items() if settings.line == name}
        if here:
            sources.append(KINDS[line.kind].open(name, line, here, clock, number * _GOLDEN % 1.0))
    return sources
