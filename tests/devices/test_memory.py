"""What devices taught us is there again after a restart, and never in the way."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pymodbus.constants import ExcCodes
from pymodbus.simulator import DataType, SimData, SimDevice

from devices.kinds import KINDS, open_sources
from devices.memory import Memory


def test_a_note_is_known_again_while_the_device_is_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    Memory(path).keep("meter", "10.0.0.5:502 unit 3", {"limit": 60}, at_once=True)
    assert Memory(path).of("meter", "10.0.0.5:502 unit 3")["limit"] == 60
    assert Memory(path).of("meter", "10.0.0.5:502 unit 4") == {}
    assert Memory(path).of("other", "10.0.0.5:502 unit 3") == {}


def test_latencies_are_written_once_a_minute_and_refusals_at_once(tmp_path: Path) -> None:
    path, now = tmp_path / "devices.json", [0.0]
    memory = Memory(path, now=lambda: now[0])

    def written() -> Any:
        return Memory(path).of("a", "here").get("latency")

    memory.keep("a", "here", {"latency": 0.1})
    memory.keep("a", "here", {"latency": 0.2})
    assert written() == 0.1
    now[0] = 61.0
    memory.keep("a", "here", {"latency": 0.3})
    assert written() == 0.3
    memory.keep("a", "here", {"latency": 0.4}, at_once=True)
    assert written() == 0.4


def test_a_spoilt_file_is_one_warning_and_a_new_beginning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "devices.json"
    path.write_text("{")
    memory = Memory(path)
    assert memory.of("a", "here") == {}
    assert len(caplog.messages) == 1
    memory.keep("a", "here", {"limit": 1}, at_once=True)
    assert Memory(path).of("a", "here")["limit"] == 1


def test_without_a_place_to_write_reading_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory = Memory(tmp_path / "gone" / "devices.json")
    memory.keep("a", "here", {"limit": 1}, at_once=True)
    assert memory.of("a", "here")["limit"] == 1
    assert "not kept" in caplog.text


@pytest.mark.anyio
async def test_what_a_device_refused_is_not_asked_again_after_a_restart(
    plc: Any, inbox: Any, running: Any, tmp_path: Path
) -> None:
    refused: list[int] = []

    async def action(_fc: int, _block: int, start: int, count: int, *_: Any) -> ExcCodes | None:
        if count > 40:
            refused.append(count)
            return ExcCodes.ILLEGAL_VALUE
        if start <= 77 < start + count:
            refused.append(count)
            return ExcCodes.ILLEGAL_ADDRESS
        return None

    unit = SimDevice(
        id=1, simdata=[SimData(0, values=list(range(100)), datatype=DataType.REGISTERS)], action=action
    )
    kind = KINDS["modbus-tcp"]
    points = {f"p/r{n}": {"address": n} for n in range(100)}
    settings = {"line": "plc", "period": timedelta(milliseconds=20), "points": points}
    async with plc(unit) as port:
        line = kind.line.model_validate({"kind": "modbus-tcp", "host": "127.0.0.1", "port": port})
        for first in (True, False):
            memory = Memory(tmp_path / "devices.json")
            device = kind.device.model_validate(settings)
            [source] = open_sources({"plc": line}, {"dev": device}, memory=memory)
            inbox.batches.clear()
            async with running(source, inbox):
                await inbox.until(lambda b: b and (b[-1].quality != 0).sum() == 1, within=30)
                await inbox.wait(len(inbox.batches) + 3, within=30)
            assert bool(refused) == first
            assert source.status().devices[0].notes == (
                "gives at most 25 registers at once",
                "refuses holding 77: exception 2 (illegal address)",
            )
            refused.clear()
