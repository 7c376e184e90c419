"""Texts of a device: read from a real Modbus server, shown, remembered, and a change is noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pymodbus.simulator import DataType, SimData, SimDevice

from devices.kinds import open_sources
from devices.memory import Memory
from devices.modbus import ModbusTcpLine
from devices.modbus_map import ModbusDevice
from devices.modbus_text import letters
from devices.source import DeviceStatus, Source

POINTS = {"pump-1/a": {"address": 0, "type": "f32"}}
TEXTS = {"serial": {"address": 100, "length": 6}, "firmware": {"address": 110, "length": 2, "order": "BA"}}


def meter(serial: bytes) -> SimDevice:
    def registers(text: bytes) -> list[int]:
        return [int.from_bytes(text[at : at + 2]) for at in range(0, len(text), 2)]

    return SimDevice(
        id=1,
        simdata=[
            SimData(0, values=registers(b"\x3f\xc0\0\0"), datatype=DataType.REGISTERS),
            SimData(100, values=registers(serial.ljust(12, b"\0")), datatype=DataType.REGISTERS),
            SimData(110, values=registers(b".1 2"), datatype=DataType.REGISTERS),
        ],
    )


def a_source(port: int, memory: Memory, **device: Any) -> Source:
    line = ModbusTcpLine.model_validate({"kind": "modbus-tcp", "host": "127.0.0.1", "port": port})
    settings = ModbusDevice.model_validate({"line": "plc", "period": "PT0.05S", "points": POINTS} | device)
    [source] = open_sources({"plc": line}, {"dev": settings}, memory=memory)
    return source


@pytest.mark.parametrize(
    ("data", "order", "text"),
    [
        (b"SN-12345", "AB", "SN-12345"),
        (b"NS1-32", "BA", "SN-123"),
        (b"PM5110\0\0junk", "AB", "PM5110"),
        (b"  V1.2 \xff\xff", "AB", "V1.2"),
        ("泵站".encode(), "AB", "泵站"),
        (b"A\x07B", "AB", "A?B"),
        (b"\0\0", "AB", ""),
    ],
)
def test_letters(data: bytes, order: str, text: str) -> None:
    assert letters(data, order) == text


async def told(source: Source, inbox: Any, running: Any) -> DeviceStatus:
    """The device's status once its texts and its numbers were read."""
    inbox.batches.clear()
    async with running(source, inbox):
        await inbox.until(lambda batches: {len(batch.signals.names) for batch in batches} == {1, 2})
        [status] = source.status().devices
    return status


@pytest.mark.anyio
async def test_texts_are_read_and_a_replaced_device_is_noticed(
    plc: Any, inbox: Any, running: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "devices.json"
    async with plc(meter(b"SN-12345")) as port:
        status = await told(a_source(port, Memory(path), texts=TEXTS), inbox, running)
    assert status.texts == {"serial": "SN-12345", "firmware": "1.2"}
    assert (status.state, status.notes) == ("healthy", ())
    async with plc(meter(b"SN-99"), port=port):
        status = await told(a_source(port, Memory(path), texts=TEXTS), inbox, running)
    assert status.texts == {"serial": "SN-99", "firmware": "1.2"}
    assert len(status.notes) == 1
    assert status.notes[0].startswith("its serial was 'SN-12345' until 20")
    assert "dev: its serial is 'SN-99' now and was 'SN-12345': was it replaced?" in caplog.text


@pytest.mark.anyio
async def test_a_text_that_is_refused_is_noted_and_the_rest_is_read(
    plc: Any, inbox: Any, running: Any
) -> None:
    texts = TEXTS | {"model": {"address": 500, "length": 4}}
    async with plc(meter(b"SN-1")) as port:
        status = await told(a_source(port, Memory(), texts=texts), inbox, running)
    assert status.texts == {"serial": "SN-1", "firmware": "1.2"}
    assert status.notes == ("does not tell its model (holding 500..503): exception 2 (illegal address)",)


def test_a_text_of_coils_or_beyond_the_map_is_a_mistake() -> None:
    for wrong in ({"address": 1, "length": 2, "table": "coil"}, {"address": 65535, "length": 2}):
        with pytest.raises(ValidationError):
            ModbusDevice.model_validate({"line": "l", "points": POINTS, "texts": {"serial": wrong}})


def test_a_profile_gives_its_texts() -> None:
    device = ModbusDevice.model_validate({"line": "l", "profile": "schneider-pm5000", "asset": "m"})
    assert device.texts["manufacturer"].address == 69
