"""Probing a running gateway: by command and API, between its polls, and without one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from devices.prober import Prober
from gateway.building import build_reader
from gateway.points import NoPlaceError, save_point
from gateway.web.app import create_app
from gateway.web.daemon import Daemon
from tests.gateway.running import Running
from ticketing import Desk

POINT = '{ table = "input", address = 2, type = "f32" }'


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    gateway = Running(tmp_path_factory.mktemp("probing") / "site", pumps=2)
    gateway.start()
    yield gateway
    gateway.close()


def line_of(running: Running) -> Any:
    return running.ask("health")["sources"][0]


def test_the_running_gateway_is_probed_and_scanned_without_disturbing_its_polls(running: Running) -> None:
    site = str(running.folder)
    probed = running.command("probe", site, "plc-1", "9", "--table", "input", "--expect", "1475")
    assert "8 (-1)" in probed.stdout, probed.stderr
    assert '{ table = "input", address = 8, type = "f32" }' in probed.stdout
    units = running.command("scan", site, "plc", "--units", "1-4")
    assert units.stdout.splitlines() == ["unit 1 answers", "unit 2 answers"]
    registers = running.command("scan", site, "plc-2", "--registers", "0-20", "--table", "input")
    assert [int(row.split()[0]) for row in registers.stdout.splitlines()] == list(range(12))
    line = line_of(running)
    assert line["up"]
    assert not line["counts"].get("strangers", 0) + line["counts"].get("timeouts", 0)
    assert all(device["tally"]["failed"] == 0 for device in line["devices"])


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("probe", "nope", "1"), "there is no device or line nope; plc-1, plc-2, plc are there"),
        (("probe", "plc-1", "1", "--table", "inpu"), "'holding'"),
        (("probe", "plc-1", "900"), "illegal address"),
        (("scan", "plc"), "say either --units 1-32 or --registers 0-99"),
        (("scan", "plc", "--units", "9-1"), "9-1 is empty"),
        (("probe", "plc", "1", "--save", "pump-1/vib_rms"), "--save needs a device"),
        (("probe", "plc-1", "2", "--table", "input", "--save", "pump-1/bearing_temp"), "which one?"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(
    running: Running, words: tuple[str, ...], complaint: str
) -> None:
    done = running.command(words[0], str(running.folder), *words[1:])
    assert done.returncode in {1, 2}
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr


def test_programs_probe_and_scan_too(running: Running, tmp_path: Path) -> None:
    site, desk = running.site, Desk.open(tmp_path / "core.db", site="works")
    reader = build_reader(site)
    app = create_app(site, desk, reader, Daemon(site.state / "control.sock"))
    with TestClient(app, base_url="http://localhost") as client:
        probed = client.post("/api/probe", json={"target": "plc-1", "table": "input", "address": 0})
        assert probed.status_code == 200, probed.text
        first = probed.json()["guesses"][0]
        assert (first["type"], first["order"], first["mark"]) == ("f32", "ABCD", "plausible")
        refused = client.post("/api/probe", json={"target": "plc-1", "address": 900})
        assert refused.status_code == 422
        scanned = client.post("/api/scan/units", json={"target": "plc", "units": [1, 3]}).text
        assert [json.loads(row).get("answers") for row in scanned.splitlines()] == [True, True, False, None]
    reader.close()
    desk.close()


def test_a_second_probe_waits_for_no_one_and_says_so(running: Running) -> None:
    async def story() -> list[dict[str, Any]]:
        prober = Prober(lambda: running.site, list)
        scan = prober.scan_units({"target": "plc", "units": [1, 2]})
        await anext(scan)
        second = [item async for item in prober.probe({"target": "plc-1", "address": 0})]
        await scan.aclose()
        return second

    assert asyncio.run(story()) == [{"error": "another probe or scan is running; wait for its end"}]


def test_a_point_is_saved_where_the_site_stays_right(running: Running) -> None:
    site = str(running.folder)
    file = running.folder / "devices.toml"
    before = file.read_text()
    words = ("probe", site, "plc-1", "2", "--table", "input", "--type", "f32", "--order", "ABCD")
    wrong = running.command(*words, "--save", "pump-1/no_such")
    assert wrong.returncode == 2
    assert "nothing was saved" in wrong.stderr
    assert file.read_text() == before
    done = running.command(*words, "--save", "pump-1/bearing_temp")
    assert f'"pump-1/bearing_temp" = {POINT}' in done.stdout, done.stderr
    added = [row for row in file.read_text().splitlines() if row not in before.splitlines()]
    assert added == [f'"pump-1/bearing_temp" = {POINT}']
    assert "pump-1/bearing_temp" in running.site.devices["plc-1"].signals()


def test_a_point_without_a_place_is_printed_instead(running: Running) -> None:
    with pytest.raises(NoPlaceError, match="write there by hand"):
        save_point(running.folder, "plc-9", "pump-1/x", POINT)


def test_it_works_without_a_gateway_too(running: Running) -> None:
    running.end()
    probed = running.command(
        "probe", str(running.folder), "plc-1", "0", "--table", "input", "--json", "--type", "f32"
    )
    assert json.loads(probed.stdout)["guesses"][0]["order"] == "ABCD", probed.stderr
