"""Modbus TCP against pymodbus' own server, over loopback."""

from __future__ import annotations

import contextlib
import struct
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from devices.batch import Reason, bad
from devices.kinds import open_sources
from devices.modbus import ModbusTcpLine
from devices.modbus_map import ModbusDevice
from devices.source import Source

pytestmark = pytest.mark.anyio


def a_source(port: int, **device: Any) -> Source:
    line = ModbusTcpLine.model_validate({"kind": "modbus-tcp", "host": "127.0.0.1", "port": port})
    defaults = {"line": "plc", "period": timedelta(milliseconds=50), "timeout": timedelta(seconds=2)}
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


async def test_bits_orders_and_tables_arrive_as_pymodbus_holds_them(
    plc: Any, inbox: Any, running: Any
) -> None:
    blocks = (
        [SimData(0, values=[True, False, True, True], datatype=DataType.BITS)],
        [SimData(8, values=[False, True], datatype=DataType.BITS)],
        [SimData(0, values=[0x8001, 7], datatype=DataType.REGISTERS)],
        [SimData(0, values=floats(3.5)[::-1], datatype=DataType.REGISTERS)],
    )
    points = {
        "p/coil0": {"address": 0, "table": "coil"},
        "p/coil3": {"address": 3, "table": "coil"},
        "p/discrete": {"address": 9, "table": "discrete"},
        "p/bit": {"address": 0, "type": "bit", "bit": 15},
        "p/word": {"address": 1},
        "p/float": {"address": 0, "table": "input", "type": "f32", "order": "CDAB"},
    }
    async with plc(SimDevice(id=1, simdata=blocks)) as port, running(a_source(port, points=points), inbox):
        batch = (await inbox.wait(1))[0]
    assert batch.values.tolist() == [1.0, 1.0, 1.0, 1.0, 7.0, 3.5, 1.0]
    assert not batch.quality.any()


async def test_what_a_device_refuses_is_bad_and_the_device_is_online(
    plc: Any, inbox: Any, running: Any
) -> None:
    code = [ExcCodes.DEVICE_BUSY]

    async def action(_fc: int, _start: int, address: int, *_: Any) -> ExcCodes | None:
        return code[0] if address >= 100 else None

    simdata = [
        SimData(0, values=[1, 2], datatype=DataType.REGISTERS),
        SimData(100, values=[3], datatype=DataType.REGISTERS),
    ]
    points = {"p/a": {"address": 0}, "p/b": {"address": 100}}
    refused = [0, bad(Reason.REFUSED), 0]
    source = None
    async with plc(SimDevice(id=1, simdata=simdata, action=action)) as port:
        source = a_source(port, points=points, max_registers=10)
        async with running(source, inbox):
            batch = (await inbox.wait(3))[-1]
            assert batch.quality.tolist() == refused
            assert source.status().devices[0].notes == ()  # busy is a passing matter
            code[0] = ExcCodes.ILLEGAL_FUNCTION
            await inbox.until(lambda _: source.status().devices[0].notes != ())
            assert source.status().devices[0].notes == (
                "refuses holding 100: exception 1 (illegal function)",
            )
            await inbox.wait(len(inbox.batches) + 2)
    assert inbox.batches[-1].quality.tolist() == refused
    assert inbox.batches[-1].values[2] == 1.0


async def test_a_device_that_refuses_everything_is_still_asked_whether_it_is_there(
    plc: Any, inbox: Any, running: Any
) -> None:
    silent: list[bool] = []

    async def action(*_: Any) -> ExcCodes:
        return ExcCodes.GATEWAY_NO_RESPONSE if silent else ExcCodes.ILLEGAL_ADDRESS

    simdata = [SimData(0, values=[1], datatype=DataType.REGISTERS)]
    async with contextlib.AsyncExitStack() as there:
        port = await there.enter_async_context(plc(SimDevice(id=1, simdata=simdata, action=action)))
        await there.enter_async_context(running(a_source(port, points={"p/a": {"address": 0}}), inbox))
        await inbox.until(lambda batches: len(batches) > 3)
        assert inbox.batches[-1].quality.tolist() == [bad(Reason.REFUSED), 0]
        assert inbox.batches[-1].values[1] == 1.0
        silent.append(True)
        await inbox.until(lambda batches: batches[-1].values[1] == 0.0)


async def test_a_bridge_that_speaks_for_a_dead_unit_is_no_answer(plc: Any, inbox: Any, running: Any) -> None:
    async def action(*_: Any) -> ExcCodes:
        return ExcCodes.GATEWAY_NO_RESPONSE

    simdata = [SimData(0, values=[1], datatype=DataType.REGISTERS)]
    async with plc(SimDevice(id=1, simdata=simdata, action=action)) as port:
        source = a_source(port, points={"p/a": {"address": 0}})
        async with running(source, inbox):
            await inbox.wait(2)
            assert source.status().devices[0].detail == (
                "exception 11 (gateway target did not respond) (unit 1, holding 0)"
            )
    assert inbox.batches[-1].quality.tolist() == [bad(Reason.COMM_LOST), 0]


async def test_groups_of_different_periods_make_batches_of_their_own(
    plc: Any, inbox: Any, running: Any
) -> None:
    points = {
        "p/quick": {"address": 0, "period": timedelta(milliseconds=20)},
        "p/slow": {"address": 1, "period": timedelta(milliseconds=200)},
    }
    simdata = [SimData(0, values=[1, 2], datatype=DataType.REGISTERS)]
    async with plc(SimDevice(id=1, simdata=simdata)) as port, running(a_source(port, points=points), inbox):
        await inbox.wait(23)
    names = [batch.signals.names for batch in inbox.batches]
    assert names.count(("p/quick", "dev/online")) > names.count(("p/slow", "dev/online")) > 0


async def test_units_behind_one_address_are_told_apart(plc: Any, inbox: Any, running: Any) -> None:
    async def action(*_: Any) -> ExcCodes:
        return ExcCodes.GATEWAY_NO_RESPONSE  # as a bridge says it, at once

    dead = SimDevice(id=3, simdata=[SimData(0, values=[1, 2], datatype=DataType.REGISTERS)], action=action)
    async with plc(unit(1, 1.0, 1.5), unit(2, 2.0, 2.5), dead) as port:
        line = ModbusTcpLine(kind="modbus-tcp", host="127.0.0.1", port=port)
        devices = {
            f"u{n}": ModbusDevice.model_validate(
                {
                    "line": "plc",
                    "unit_id": n,
                    "period": timedelta(milliseconds=50),
                    "timeout": timedelta(seconds=2),
                    "points": {f"p{n}/a": {"address": 0, "type": "f32"}},
                }
            )
            for n in (1, 2, 3)
        }
        [source] = open_sources({"plc": line}, devices)
        async with running(source, inbox):
            await inbox.until(lambda _: source.status().devices[2].state == "parked")
            inbox.batches.clear()
            await inbox.wait(12)
            assert source.status().up
            assert [device.state for device in source.status().devices] == ["healthy", "healthy", "parked"]
            assert source.status().counts["opened"] == 1  # a shared line stays open when one unit is silent
    for n in (1, 2):
        mine = [batch.values[0] for batch in inbox.batches if batch.signals.source == f"u{n}"]
        assert set(mine) == {float(n)}
