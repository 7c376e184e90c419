"""Every kind of line: its settings, its devices' settings, and who opens it. A new kind is one line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from devices import instrument, modbus, mqtt, sparkplug
from devices.line import Time
from devices.memory import Memory
from devices.modbus_map import ModbusDevice
from devices.mqtt_reception import DeadLetter
from devices.mqtt_waveform import Features
from devices.serial_line import SerialLine
from devices.settings import DeviceSettings, LineSettings
from devices.source import Source

__all__ = ["KINDS", "Clash", "DeviceSettings", "Kind", "LineSettings", "clashes", "open_sources", "overloads"]

_GOLDEN = 0.6180339887498949


@dataclass(frozen=True, slots=True)
class Kind:
    """``open(name, line, devices, clock, start, …)`` makes the source; it opens nothing yet. ``wants`` more."""

    line: type[LineSettings]
    device: type[DeviceSettings]
    open: Callable[..., Source]
    wants: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    "modbus-tcp": Kind(modbus.ModbusTcpLine, ModbusDevice, modbus.open_tcp, ("memory",)),
    "modbus-rtu": Kind(modbus.ModbusSerialLine, ModbusDevice, modbus.open_serial, ("memory",)),
    "modbus-ascii": Kind(modbus.ModbusSerialLine, ModbusDevice, modbus.open_serial, ("memory",)),
    "modbus-rtu-tcp": Kind(modbus.ModbusRtuTcpLine, ModbusDevice, modbus.open_rtu_tcp, ("memory",)),
    "serial-ascii": Kind(instrument.SerialAsciiLine, instrument.InstrumentDevice, instrument.open_line),
    "tcp-ascii": Kind(instrument.TcpAsciiLine, instrument.InstrumentDevice, instrument.open_line),
    "mqtt": Kind(mqtt.MqttLine, mqtt.MqttDevice, mqtt.open_broker, ("dead_letter", "features")),
    "sparkplug": Kind(
        sparkplug.SparkplugLine, sparkplug.SparkplugDevice, sparkplug.open_nodes, ("dead_letter",)
    ),
}


class Clash(NamedTuple):
    """Settings that are right one by one and cannot live together."""

    key: str
    found: str
    wanted: str


def clashes(lines: Mapping[str, LineSettings], devices: Mapping[str, DeviceSettings]) -> list[Clash]:
    """What cannot work on these lines, told before anything opens."""
    found: list[Clash] = []
    ports: dict[str, str] = {}
    for name, line in lines.items():
        here = {device: settings for device, settings in devices.items() if settings.line == name}
        if isinstance(line, SerialLine):
            first = ports.setdefault(line.port, name)
            if first != name:
                found.append(
                    Clash(f"line.{name}.port", f"{line.port}, which is line {first}", "one line per port")
                )
        found += _listeners(here)
        found += _shared_topics(here)
    return found


def overloads(lines: Mapping[str, LineSettings], devices: Mapping[str, DeviceSettings]) -> list[Clash]:
    """Lines that are asked for more time than there is."""
    return [
        clash
        for name, line in lines.items()
        for clash in _overload(name, line, {d: s for d, s in devices.items() if s.line == name})
    ]


def _overload(name: str, line: LineSettings, devices: Mapping[str, DeviceSettings]) -> list[Clash]:
    units = {device: s for device, s in devices.items() if isinstance(s, ModbusDevice)}
    load = modbus.line_load(line, units)
    total = sum(load.values())
    if total <= 1:
        return []
    most = max(load, key=load.__getitem__)
    return [
        Clash(
            f"line.{name}",
            f"{total:.0%} of the line's time is asked for, most by {most} ({load[most]:.0%})",
            "longer periods, a higher baud rate or fewer points would do (`watchkeeper plan` shows more)",
        )
    ]


def _listeners(devices: Mapping[str, DeviceSettings]) -> list[Clash]:
    silent = [
        n for n, s in devices.items() if isinstance(s, instrument.InstrumentDevice) and s.request is None
    ]
    if not silent or len(devices) == 1:
        return []
    found = f"no request, and the line has {len(devices)} devices"
    return [
        Clash(f"device.{name}.request", found, "give each a request, or this one a line") for name in silent
    ]


def _shared_topics(devices: Mapping[str, DeviceSettings]) -> list[Clash]:
    found: list[Clash] = []
    reader: dict[str, str] = {}
    for name, device in devices.items():
        if isinstance(device, mqtt.MqttDevice | sparkplug.SparkplugDevice):
            first = reader.setdefault(device.topic, name)
            if first != name:
                found.append(
                    Clash(
                        f"device.{name}.topic",
                        f"{device.topic}, which is {first}'s",
                        f"its points in {first}",
                    )
                )
    return found


def open_sources(
    lines: Mapping[str, LineSettings],
    devices: Mapping[str, DeviceSettings],
    clock: Time | None = None,
    dead_letter: DeadLetter | None = None,
    memory: Memory | None = None,
    *,
    features: Features | None = None,
) -> list[Source]:
    """One source per line that has devices; their first readings are spread evenly over time.

    ``dead_letter(topic, payload, reason)`` takes messages that cannot be read, before they are acknowledged.
    ``memory`` keeps what devices taught us over restarts. ``features`` says what a block of samples tells of a machine.
    """
    clock = clock or Time()
    services = {"dead_letter": dead_letter, "memory": memory or Memory(), "features": features}
    sources: list[Source] = []
    for number, (name, line) in enumerate(lines.items()):
        here = {device: settings for device, settings in devices.items() if settings.line == name}
        if here:
            start = number * _GOLDEN % 1.0
            kind = KINDS[line.kind]
            more = {service: services[service] for service in kind.wants}
            sources.append(kind.open(name, line, here, clock, start, **more))
    return sources
