"""Modbus TCP against pymodbus' own server, over loopback."""

from __future__ import annotations

import struct
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from pymodbus.simulator import DataType, SimData, SimDevice

from devices.batch import Reason, bad
from devices.kinds import open_sources
from devices.modbus import ModbusDevice, ModbusTcpLine
from devices.source import Source

pytestmark = pytest.mark.anyio


def a_source(port: int, **device: Any) -> Source:
    line = ModbusTcpLine.model_validate({"kind": "modbus-tcp", "host": "127.0.0.1", "port": port})
    defaults = {"line": "plc", "period": timedelta(milliseconds=50), "timeout": timedelta(milliseconds=200)}
    settings = ModbusDevice.model_validate(defaults | device)
    [source] = open_sources({"plc": line}, {"dev": settings})
    return source


def floats(*numbers: float) -> list[int]:
    return list(struct.unpack(f">{2 * len(numbers)}H", struct.pack(f">{len(numbers)}f", *numbers)))


def unit(number: int, *numbers: float) -> SimDevice:
    return SimDevice(id=number, simdata=[SimData(0, values=floats(*numbers), datatype=DataType.REGISTERS)])


POINTS = {
    "pump-1/a": {"address": 0, "table": "input", "type": "f32"},
    "pump-1/b": {"address": 2, "table": "input", "type": "f32", "scale": 10, "offset": 1},
}


async def test_a_device_is_read_with_its_online_signal_last(plc: Any, inbox: Any, running: Any) -> None:
    async with plc(unit(1, 1.5, -2.25)) as port, running(a_source(port, points=POINTS), inbox):
        batch = (await inbox.wait(1))[0]
    assert batch.signals.names == ("pump-1/a", "pump-1/b", "dev/online")
    assert batch.values.tolist() == [1.5, -21.5, 1.0]
    assert batch.quality.tolist() == [0, 0, 0]
    assert 0 <= batch.arrival - batch.time < 1_000_000_000


async def test_a_server_that_goes_and_comes_back_is_one_gap(plc: Any, inbox: Any, running: Any) -> None:
    async with plc(unit(1, 1.0, 2.0)) as port:
        source = a_source(port, points=POINTS)
        async with running(source, inbox):
            await inbox.wait(2)
    lost = [bad(Reason.COMM_LOST), bad(Reason.COMM_LOST), 0]
    async with running(source, inbox):
        await inbox.until(lambda batches: batches[-1].quality.tolist() == lost)
        assert np.isnan(inbox.batches[-1].values[:2]).all()
        assert inbox.batches[-1].values[2] == 0.0
        assert not source.status().up
        assert "connection refused" in source.status().detail
        async with plc(unit(1, 1.0, 2.0), port=port):
            await inbox.until(lambda batches: batches[-1].quality.tolist() == [0, 0, 0])
            assert source.status().up
