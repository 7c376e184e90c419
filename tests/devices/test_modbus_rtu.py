"""Modbus RTU on a pseudo-terminal: pymodbus' server as the oracle, our own units for the faults."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from collections import Counter
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from devices.batch import Reason, bad
from devices.kinds import open_sources
from devices.modbus import ModbusSerialLine
from devices.modbus_map import ModbusDevice
from devices.source import Source

pytestmark = pytest.mark.anyio
LOST = bad(Reason.COMM_LOST)


def ms(number: float) -> timedelta:
    return timedelta(milliseconds=number)


def holding(device: str, *addresses: int) -> dict[str, Any]:
    return {f"{device}/r{address}": {"address": address} for address in addresses}


def a_line(path: str, devices: dict[str, dict[str, Any]], **line: Any) -> Source:
    """Patient with units, so that a busy machine makes none of them late; quick after a fault."""
    common = {"kind": "modbus-rtu", "port": path, "baud": 115200, "latency": ms(50)}
    settings = ModbusSerialLine.model_validate(common | line)
    defaults = {"line": "bus", "period": ms(50), "timeout": ms(800), "retries": 0}
    [source] = open_sources(
        {"bus": settings},
        {name: ModbusDevice.model_validate(defaults | device) for name, device in devices.items()},
    )
    return source


def held(unit_id: int, address: int) -> int:
    return (unit_id * 4099 + address * 257 + 17) & 0xFFFF


async def test_a_unit_is_read(bus: Any, inbox: Any, running: Any) -> None:
    source = a_line(bus.path, {"u3": {"unit_id": 3, "points": holding("a", 5, 7)}})
    async with running(source, inbox):
        batch = (await inbox.wait(3))[-1]
    assert batch.values.tolist() == [held(3, 5), held(3, 7), 1.0]
    assert batch.quality.tolist() == [0, 0, 0]
    assert {request[1:] for request in bus.requests} == {(3, 3, 5, 3)}  # through the hole at 6


async def test_a_late_answer_is_never_taken_for_the_next(bus: Any, inbox: Any, running: Any) -> None:
    late = iter([False] * 3 + [True])

    def meddle(answer: bytes) -> list[tuple[float, bytes]]:
        return [(1.0 if next(late, False) else 0.0, answer)]

    bus.meddle = meddle
    points = holding("a", 20) | holding("a", 3000)
    source = a_line(bus.path, {"u1": {"unit_id": 1, "points": points}}, latency=ms(500))
    async with running(source, inbox):
        await inbox.wait(12)
    lost = [batch for batch in inbox.batches if batch.quality[0] == LOST]
    assert len(lost) == 1
    for batch in inbox.batches:
        if batch.quality[0] == 0:
            assert batch.values.tolist() == [held(1, 20), held(1, 3000), 1.0]
    assert source.status().counts["quarantines"] == 1
    assert source.status().counts["strangers"] == 1


async def test_a_unit_slower_than_its_timeout_is_lost_and_never_a_step_behind(
    bus: Any, inbox: Any, running: Any
) -> None:
    points = holding("a", 20) | holding("a", 3000)
    source = a_line(bus.path, {"u1": {"unit_id": 1, "points": points, "timeout": ms(50)}})
    async with running(source, inbox):
        await inbox.wait(3)
        bus.meddle = lambda answer: [(0.13, answer)]  # beyond timeout and quarantine
        await inbox.until(lambda _: source.status().devices[0].state == "parked")
        bus.meddle = lambda answer: [(0.0, answer)]
        await inbox.until(lambda batches: batches[-1].quality[0] == 0)
    good = [batch.values.tolist() for batch in inbox.batches if batch.quality[0] == 0]
    assert good == [[held(1, 20), held(1, 3000), 1.0]] * len(good)


async def test_an_answer_later_than_promised_lengthens_the_quarantine(
    bus: Any, inbox: Any, running: Any
) -> None:
    """The other unit keeps the line open; its answers are never those of the slow one."""
    devices: dict[str, dict[str, Any]]
    devices = {f"u{n}": {"unit_id": n, "points": holding(f"a{n}", 20, 3000)} for n in (1, 2)}
    devices["u1"]["timeout"], devices["u2"]["period"] = ms(50), ms(400)
    bus.meddle = lambda answer: [(0.4 if answer[0] == 1 else 0.0, answer)]
    source = a_line(bus.path, devices, latency=ms(20))
    async with running(source, inbox):
        await inbox.until(lambda _: source.status().counts.get("later_than_promised", 0) > 0)
        bus.meddle = lambda answer: [(0.0, answer)]
        seen = len(inbox.batches)
        await inbox.until(lambda b: any(x.signals.source == "u1" and not x.quality[0] for x in b[seen:]))
    for batch in inbox.batches:
        unit_id = int(batch.signals.source[1])
        if batch.quality[0] == 0:
            assert batch.values.tolist() == [held(unit_id, 20), held(unit_id, 3000), 1.0]


async def test_an_answer_sent_twice_is_taken_once(bus: Any, inbox: Any, running: Any) -> None:
    bus.meddle = lambda answer: [(0.0, answer), (0.003, answer)]
    points = holding("a", 20, 1000, 3000)
    async with running(a_line(bus.path, {"u1": {"unit_id": 1, "points": points}}), inbox):
        await inbox.until(lambda batches: sum(batch.quality[0] == 0 for batch in batches) > 1)
    good = [batch.values.tolist() for batch in inbox.batches if batch.quality[0] == 0]
    assert good == [[held(1, 20), held(1, 1000), held(1, 3000), 1.0]] * len(good)


async def test_blocks_that_hold_the_same_are_read_without_fuss(bus: Any, inbox: Any, running: Any) -> None:
    bus.hold = lambda *_: 0
    points = holding("a", 20) | holding("a", 1000) | holding("a", 3000)
    source = a_line(bus.path, {"u1": {"unit_id": 1, "points": points}})
    async with running(source, inbox):
        await inbox.wait(10)
        assert source.status().counts.get("quarantines", 0) == 0
        assert source.status().counts["doubtful"] == 2  # once per block, and then it is known
    assert not any(batch.quality.any() for batch in inbox.batches)


async def test_odd_bytes_before_an_answer_are_passed_over(bus: Any, inbox: Any, running: Any) -> None:
    bus.meddle = lambda answer: [(0.0, b"\x00\xff" + answer[:3]), (0.005, answer[3:])]
    source = a_line(bus.path, {"u1": {"unit_id": 1, "points": holding("a", 1)}})
    async with running(source, inbox):
        batch = (await inbox.wait(3))[-1]
    assert batch.values.tolist() == [held(1, 1), 1.0]


async def test_garbage_names_the_likely_cause(bus: Any, inbox: Any, running: Any) -> None:
    bus.meddle = lambda answer: [(0.0, bytes(byte ^ 0x55 for byte in answer))]
    source = a_line(bus.path, {"u1": {"unit_id": 1, "points": holding("a", 1)}})
    async with running(source, inbox):
        await inbox.wait(2)
        assert "baud rate or parity" in source.status().devices[0].detail
    assert all(batch.quality[0] == LOST for batch in inbox.batches)


async def test_a_refused_address_is_found_once_and_the_rest_is_read(
    bus: Any, inbox: Any, running: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bus.forbidden = {12}
    points = holding("a", 10, 11, 12, 13, 14, 20)
    source = a_line(bus.path, {"u1": {"unit_id": 1, "points": points}})
    async with running(source, inbox):
        refused = bad(Reason.REFUSED)
        await inbox.until(lambda b: b and b[-1].quality.tolist() == [0, 0, refused, 0, 0, 0, 0])
        values = inbox.batches[-1].values
        assert math.isnan(values[2])
        assert values[[0, 1, 3, 4, 5]].tolist() == [held(1, a) for a in (10, 11, 13, 14, 20)]
        assert source.status().devices[0].notes == ("refuses holding 12: exception 2 (illegal address)",)
        asked = len(bus.requests)
        await inbox.wait(len(inbox.batches) + 3)
    assert all(12 not in range(start, start + count) for *_, start, count in bus.requests[asked:])
    assert [r.message for r in caplog.records if "refuses" in r.message] == [
        "u1 refuses holding 12: exception 2 (illegal address); its points stay bad, the rest is read"
    ]


async def test_an_unplugged_adapter_is_opened_again(
    bus: Any, inbox: Any, running: Any, tmp_path: Any
) -> None:
    lasting = tmp_path / "by-id"
    lasting.symlink_to(bus.path)
    source = a_line(str(lasting), {"u1": {"unit_id": 1, "points": holding("a", 1)}})
    async with running(source, inbox):
        await inbox.wait(2)
        bus.unplug()
        await inbox.until(lambda batches: batches[-1].quality[0] == LOST)
        lasting.unlink()
        again = type(bus)()
        lasting.symlink_to(again.path)
        await inbox.until(lambda batches: batches[-1].quality[0] == 0)
        assert inbox.batches[-1].values[0] == held(1, 1)
        again.unplug()


async def test_a_wrong_port_is_one_clear_line(
    bus: Any, inbox: Any, running: Any, tmp_path: Any, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    points = {"u1": {"unit_id": 1, "points": holding("a", 1)}}
    wanted = {
        bus.path: "is in use by another program",
        str(tmp_path / "none"): "no serial port at",
        str(tmp_path / "file"): "is not a serial port",
    }
    first = type(inbox)()
    async with running(a_line(bus.path, points), first):
        await first.wait(1)
        for path, words in wanted.items():
            caplog.clear()
            source = a_line(path, points)
            async with running(source, inbox):
                await inbox.wait(len(inbox.batches) + 20)
                assert words in source.status().detail
            down = [message for message in caplog.messages if "is down" in message]
            assert len(down) == 1
            assert words in down[0]


async def test_silence_is_kept_before_each_request(bus: Any, inbox: Any, running: Any) -> None:
    devices = {f"u{n}": {"unit_id": n, "points": holding(f"a{n}", 1), "turn_around": ms(20)} for n in (1, 2)}
    async with running(a_line(bus.path, devices), inbox):
        await inbox.wait(10)
    times = np.array([request[0] for request in bus.requests])
    assert np.diff(times).min() > 0.0195


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})])
async def test_one_dead_unit_of_ten_does_not_disturb_the_others(bus: Any, inbox: Any, running: Any) -> None:
    """By counts; how steadily they are read is judged in virtual time (test_line)."""
    bus.char = 10 / 19200
    devices = {
        f"u{n}": {"unit_id": n, "points": holding(f"a{n}", 1, 2), "period": ms(600), "timeout": ms(300)}
        for n in range(1, 11)
    }
    bus.dead = {4}
    source = a_line(bus.path, devices, baud=19200)
    async with running(source, inbox):
        await inbox.until(lambda _: source.status().devices[3].state == "parked")
        bus.requests.clear()
        inbox.batches.clear()
        await inbox.wait(100)
    asked = Counter(unit for _, unit, *_ in bus.requests)
    living = [asked[n] for n in range(1, 11) if n != 4]
    assert max(living) - min(living) <= 2
    assert asked[4] < 0.7 * min(living)
    good = [batch for batch in inbox.batches if batch.quality[0] == 0]
    assert {batch.signals.source for batch in good} == {f"u{n}" for n in range(1, 11)} - {"u4"}
    assert len(good) >= 0.8 * 90


async def test_a_stuck_transmitter_is_said_and_costs_little(bus: Any, inbox: Any, running: Any) -> None:
    source = a_line(bus.path, {"u1": {"unit_id": 1, "points": holding("a", 1)}})
    stop = asyncio.Event()

    async def babble() -> None:
        while not stop.is_set():
            with contextlib.suppress(BlockingIOError):
                os.write(bus.master, b"\x55" * 64)
            await asyncio.sleep(0.001)

    task = asyncio.create_task(babble())
    async with running(source, inbox):
        await inbox.until(lambda _: "never silent" in source.status().devices[0].detail)
        stop.set()
        await task
        await inbox.until(lambda batches: batches[-1].quality[0] == 0)
