"""The plan that is shown is the plan that runs, and its rehearsal tells what the line cannot give."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from devices.forecast import LineForecast, forecast
from devices.kinds import KINDS, open_sources
from devices.memory import Memory
from gateway.commands import app

EXAMPLE = Path(__file__).parents[2] / "examples" / "demo"


def plan_of(devices: dict[str, dict[str, Any]], memory: Memory | None = None, **line: Any) -> LineForecast:
    kind = KINDS["modbus-rtu"]
    settings = kind.line.model_validate({"kind": "modbus-rtu", "port": "/dev/ttyS9", "baud": 9600} | line)
    forms = {name: kind.device.model_validate({"line": "bus"} | device) for name, device in devices.items()}
    [found] = forecast(open_sources({"bus": settings}, forms, memory=memory))
    return found


def points(name: str, *addresses: int) -> dict[str, Any]:
    return {f"{name}/r{address}": {"address": address} for address in addresses}


def ms(number: float) -> timedelta:
    return timedelta(milliseconds=number)


def test_a_light_line_meets_every_period() -> None:
    line = plan_of({f"u{n}": {"unit_id": n, "points": points(f"p{n}", 0, 1, 9)} for n in range(1, 6)})
    assert [len(poll.requests) for poll in line.polls] == [1] * 5
    assert [poll.registers for poll in line.polls] == [10] * 5
    assert all(poll.is_met and poll.lost == 0 for poll in line.polls)
    assert line.load == pytest.approx(sum(poll.seconds for poll in line.polls))


def test_an_overbooked_line_loses_as_much_as_it_lacks() -> None:
    devices = {f"u{n}": {"unit_id": n, "period": ms(50), "points": points(f"p{n}", 0)} for n in range(1, 5)}
    line = plan_of(devices)
    assert line.load > 2
    for poll in line.polls:
        assert not poll.is_met
        assert poll.lost == pytest.approx(1 - 1 / line.load, abs=0.05)


def test_a_long_reading_that_blocks_a_quick_one_is_seen_although_the_load_is_small() -> None:
    slow = {"unit_id": 1, "period": ms(10_000), "points": points("slow", *range(0, 1250, 10))}
    quick = {"unit_id": 2, "period": ms(200), "points": points("quick", 0)}
    line = plan_of({"slow": slow, "quick": quick})
    assert line.load < 1
    blocked = line.polls[1]
    assert line.polls[0].seconds > 1.0
    assert not blocked.is_met
    assert blocked.lost == pytest.approx(0.26, abs=0.05)


def test_the_measured_latency_and_what_was_refused_are_in_the_plan(tmp_path: Path) -> None:
    devices = {"u1": {"unit_id": 1, "points": points("p", 0, 16)}}
    assert [request.what for request in plan_of(devices).polls[0].requests] == ["holding 0..16"]
    memory = Memory(tmp_path / "devices.json")
    memory.keep("u1", "/dev/ttyS9 unit 1", {"latency": 0.002}, at_once=True)
    [poll] = plan_of(devices, memory).polls
    assert [request.what for request in poll.requests] == ["holding 0", "holding 16"]
    assert poll.measured
    note = {"unreadable": [["holding", 16, 17, "refuses holding 16"]]}
    memory.keep("u1", "/dev/ttyS9 unit 1", note, at_once=True)
    assert [request.what for request in plan_of(devices, memory).polls[0].requests] == ["holding 0"]


def test_the_command_shows_the_example_and_says_when_a_period_cannot_be_met(tmp_path: Path) -> None:
    good = CliRunner().invoke(app, ["plan", str(EXAMPLE), "--requests"])
    assert good.exit_code == 0, good.output
    assert "input 0..11" in good.output
    assert "its devices speak by themselves" in good.output
    for file in EXAMPLE.glob("*.toml"):
        (tmp_path / file.name).write_text(file.read_text().replace("baud = 19200", "baud = 300"))
    bad = CliRunner().invoke(app, ["plan", str(tmp_path)])
    assert bad.exit_code == 1
    assert "motor-monitor will miss its period of 1 s" in bad.output
    body = json.loads(CliRunner().invoke(app, ["plan", str(tmp_path), "--json"]).stdout)
    polls = {poll["device"]: poll for line in body["lines"] for poll in line["polls"]}
    assert not polls["motor-monitor"]["met"]
    assert polls["plc-1"]["met"]
    assert not body["met"]
    nowhere = CliRunner().invoke(app, ["plan", str(tmp_path / "none")])
    assert nowhere.exit_code == 2
