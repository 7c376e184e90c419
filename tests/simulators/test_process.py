"""The stand as a process: one line when ready, commands on standard input, a clean end, one line if it cannot."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from typer.testing import CliRunner

from simulators.cli import app
from simulators.faults import SCENARIOS

ROOT = Path(__file__).parents[2]


def simulators(*words: str | Path) -> list[str]:
    return [sys.executable, "-m", "simulators", *map(str, words)]


@contextmanager
def running(*words: str | Path) -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(
        simulators(*words), cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def heard(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout
    line = process.stdout.readline()
    assert line, process.stderr and process.stderr.read()
    answer: dict[str, Any] = json.loads(line)
    return answer


def tell(process: subprocess.Popen[str], command: dict[str, object] | str) -> dict[str, Any]:
    assert process.stdin
    process.stdin.write((command if isinstance(command, str) else json.dumps(command)) + "\n")
    process.stdin.flush()
    return heard(process)


def test_it_serves_obeys_counts_and_leaves_nothing_behind(tmp_path: Path) -> None:
    rtu, instrument = tmp_path / "rtu", tmp_path / "ascii"
    words = ("--tcp", "0", "--rtu", rtu, "--ascii", instrument, "--fault", "pump-1:bearing_wear@30x25")
    before = time.time_ns()
    with running("serve", *words) as process:
        ready = heard(process)
        assert ready["ready"] is True
        port = ready["endpoints"]["tcp"]["port"]
        assert ready["endpoints"] == {
            "tcp": {"host": "127.0.0.1", "port": port},
            "rtu": {"port": str(rtu)},
            "ascii": {"port": str(instrument)},
        }
        assert before - 10**8 <= ready["start"] <= time.time_ns()
        (planned,) = ready["faults"]
        assert planned == {
            "asset": "pump-1",
            "scenario": "bearing_wear",
            "failure_mode": "VIB",
            "onset": ready["start"] + 30 * 10**9,
        }
        now = time.time_ns()
        struck = tell(process, {"fault": "motor-1:overheating", "ramp": 20})
        assert struck["failure_mode"] == "OHE"
        assert abs(struck["onset"] - now) < 10**9
        assert tell(process, {"heal": "motor-1"})["faults"] == 1
        assert tell(process, {"device": "motor-1", "behave": "dead"})["behave"] == "dead"
        assert "no behaviour 'mad'" in tell(process, {"device": "motor-1", "behave": "mad"})["error"]
        assert (
            "no device 'fan-1' on these wires"
            in tell(process, {"device": "fan-1", "behave": "dead"})["error"]
        )
        assert "no scenario 'rust'" in tell(process, {"fault": "pump-1:rust"})["error"]
        assert "error" in tell(process, "{")
        assert "error" in tell(process, "[]")

        with ModbusTcpClient("127.0.0.1", port=port) as client:
            assert client.write_register(0, 1, device_id=1).isError()
        process.terminate()
        _, errors = process.communicate(timeout=10)
        assert process.returncode == 0
        assert json.loads(errors) == {"stopped": True, "requests": 1, "writes": 1}
    assert list(tmp_path.iterdir()) == []


def test_it_can_end_with_its_standard_input() -> None:
    with running("serve", "--tcp", "0", "--until-eof") as process:
        heard(process)
        process.communicate(timeout=10)
        assert process.returncode == 0


def test_chaos_stands_between_on_both_wires(tmp_path: Path) -> None:
    near, far = tmp_path / "near", tmp_path / "far"
    with running("serve", "--tcp", "0", "--rtu", far) as plant:
        port = heard(plant)["endpoints"]["tcp"]["port"]
        with (
            running("chaos", "--listen", "0", "--upstream", f"127.0.0.1:{port}", "--repeat", "1") as tcp,
            running("chaos", "--listen", near, "--upstream", far, "--delay", "1") as rtu,
        ):
            listening = heard(tcp)["listen"]
            with ModbusTcpClient(listening["host"], port=listening["port"]) as client:
                assert not client.read_input_registers(0, count=12, device_id=1).isError()
            assert heard(rtu) == {"ready": True, "listen": {"port": str(near)}}
            with ModbusSerialClient(str(near), timeout=2) as client:
                assert not client.read_input_registers(0, count=5, device_id=1).isError()
            for process, trouble in ((tcp, "repeat"), (rtu, "delay")):
                process.terminate()
                _, errors = process.communicate(timeout=10)
                assert json.loads(errors) == {"stopped": True, "answers": 1, trouble: 1}
                assert process.returncode == 0


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        simulators(*words), cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.mark.parametrize("words", [("serve", "--tcp"), ("bench", "--base-port"), ("chaos", "--listen")])
def test_a_busy_port_is_one_clear_line(words: tuple[str, str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        more = ("--upstream", "127.0.0.1:9") if words[0] == "chaos" else ()
        ended = run(*words, port, *more)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == f"simulators: port {port} cannot be had: Address already in use\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("serve",), "no wire to serve on"),
        (("serve", "--tcp", "0", "--fault", "pump-1:oil_loss@5"), "oil_loss does not happen to a pump"),
        (("serve", "--mqtt", "broker"), "an address is HOST:PORT"),
        (("csv", "rust", "--out", "x.csv"), "no scenario 'rust'"),
        (("csv", "healthy", "--out", "x.csv", "--period", "1 parsec"), "a period is written"),
        (("csv", "healthy", "--out", "x.csv", "--start", "noon"), "a time is written"),
        (("chaos", "--listen", "0", "--upstream", "x:1", "--late", "0.7", "--drop", "0.7"), "at most 1"),
    ],
)
def test_a_wrong_word_is_one_clear_line(words: tuple[str, ...], said: str) -> None:
    ended = CliRunner().invoke(app, words)
    assert ended.exit_code == 2
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_a_scenario_alone_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, ("bearing_wear", "--hours", "0.1"))
    assert (ended.exit_code, len(Path("bearing_wear.csv").read_text().splitlines())) == (0, 361)
    assert "bearing wear" in Path("bearing_wear.labels.csv").read_text()


def test_a_link_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    ended = run("serve", "--rtu", tmp_path / "file")
    assert (ended.returncode, ended.stderr) == (
        1,
        f"simulators: {tmp_path / 'file'} exists and is not a link\n",
    )


def test_help_and_list_tell_what_there_is() -> None:
    def shown(*words: str) -> str:
        return CliRunner().invoke(app, words).stdout

    assert all(f"\n{name} " in shown("list") for name in SCENARIOS)
    for command in ("serve", "csv", "list", "bench", "chaos"):
        assert command in shown("--help")
        assert "--help" in shown(command, "--help")
