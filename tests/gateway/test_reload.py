"""Hot reload of a real gateway: what differs is applied, what does not runs on, what fails changes nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from gateway import reload
from gateway.config import load_site
from gateway.failpoints import VARIABLE
from gateway.ledger_file import statements
from gateway.reload import difference, taken_up_at
from gateway.site import Site
from tests.gateway.running import DEVICE, Running

SECOND_LINE = """
[line.annex]
kind = "modbus-tcp"
host = "127.0.0.1"
port = @PORT@
"""
RULE = """
[rule.vibration]
failure_mode = "VIB"
scope = { class = "pump" }
signals = { v = "vib_rms" }
params = { high = 40 }
when = [{ severity = 3, expr = "v > high" }]
work_order = { min_active = { 3 = "0s" } }
"""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Pumps 1 and 2 on line plc, pump 3 on line annex: the same endpoint twice."""
    gateway = Running(tmp_path / "site", pumps=3)
    port = gateway.site.lines["plc"].port  # type: ignore[attr-defined]
    text = (gateway.folder / "devices.toml").read_text().replace("@PORT@", str(port))
    head, _, third = text.partition("\n[device.plc-3]")
    third = "\n[device.plc-3]" + third.replace('line = "plc"', 'line = "annex"')
    gateway.write("devices.toml", head + SECOND_LINE.replace("@PORT@", str(port)) + third)
    gateway.write("rules.toml", RULE)
    yield gateway
    gateway.close()


def device(running: Running, name: str) -> dict[str, Any]:
    found = [d for s in running.ask("health")["sources"] for d in s["devices"] if d["name"] == name]
    assert len(found) == 1
    return found[0]


def test_changed_lines_and_rules_are_taken_up_and_the_others_run_on(running: Running) -> None:
    running.start()
    running.until(lambda: device(running, "plc-3")["tally"]["read"] > 5)
    assert running.command("reload", str(running.folder)).stdout == "nothing has changed\n"
    opened = line(running, "annex")["counts"]["opened"]
    running.edit("devices.toml", "[device.plc-2]", "[device.plc-9]")
    running.edit("devices.toml", "[device.plc-2.points]", "[device.plc-9.points]")
    running.edit("rules.toml", "high = 40", "high = 0.01")
    taken_up = taken_up_at(running.site)
    assert taken_up, "when it started"
    shown = running.command("reload", str(running.folder), "--dry-run").stdout.splitlines()
    assert shown[:3] == [
        "- device.plc-2",
        "+ device.plc-9",
        "~ rule.vibration.params.high: 40.0 → 0.01",
    ]
    assert shown[-1] == "not applied, only shown; lines opened anew: plc"
    assert taken_up_at(running.site) == taken_up, "the pages go on with what holds"
    before = device(running, "plc-3")["tally"]["expected"]
    assert device(running, "plc-2")
    done = running.command("reload", str(running.folder))
    assert done.stdout.splitlines()[-1] == "applied; lines opened anew: plc", done.stderr
    assert taken_up_at(running.site) > taken_up
    running.until(lambda: device(running, "plc-9")["tally"]["read"] > 3)
    assert device(running, "plc-3")["tally"]["expected"] > before, "its line went on counting"
    assert line(running, "annex")["counts"]["opened"] == opened
    running.until(lambda: len(running.orders()) == 3)
    assert {order.asset for order in running.orders()} == {"pump-1", "pump-2", "pump-3"}
    running.end()
    (hour,) = [h for h in statements(running.site.state / "ledger.db", 0) if h["devices"]][-1:]
    assert hour["devices"].keys() == {"plc-1", "plc-2", "plc-3", "plc-9"}


def line(running: Running, name: str) -> dict[str, Any]:
    return next(source for source in running.ask("health")["sources"] if source["name"] == name)


def test_mistakes_and_what_needs_a_restart_change_nothing(running: Running) -> None:
    running.start()
    running.edit("site.toml", 'interval = "20ms"', 'interval = "30ms"')
    running.write("devices.toml", (running.folder / "devices.toml").read_text() + DEVICE.replace("@N@", "1"))
    wrong = running.command("reload", str(running.folder))
    assert wrong.returncode == 2
    assert "devices.toml" in wrong.stderr
    assert running.ask("reload")["mistakes"]
    text = (running.folder / "devices.toml").read_text()
    running.write("devices.toml", text[: text.rindex("\n[device.plc-1]")].replace("100ms", "200ms"))
    refused = running.command("reload", str(running.folder))
    assert refused.returncode == 2
    assert "only a restart takes up: ~ spool.interval" in refused.stderr
    assert device(running, "plc-1")["period"] == 0.1
    running.edit("site.toml", 'interval = "30ms"', 'interval = "20ms"')
    running._gateway.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
    running.until(lambda: device(running, "plc-1")["period"] == 0.2)
    assert "reload: ~ device.plc-1.period: 0.1 s → 0.2 s" in running.log()


def test_a_failed_reload_leaves_all_as_it_was(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, VARIABLE, "reload.told:1:error")
    running.start()
    running.edit("devices.toml", "[device.plc-2]", "[device.plc-9]")
    running.edit("devices.toml", "[device.plc-2.points]", "[device.plc-9.points]")
    running.edit("rules.toml", "high = 40", "high = 0.01")
    failed = running.command("reload", str(running.folder))
    assert failed.returncode == 1
    assert "all is as it was" in failed.stderr
    read = device(running, "plc-2")["tally"]["read"]
    running.until(lambda: device(running, "plc-2")["tally"]["read"] > read + 5)
    assert running.orders() == []
    assert running.command("reload", str(running.folder)).returncode == 0
    running.until(lambda: device(running, "plc-9")["tally"]["read"] > 3)


def test_every_table_of_a_site_is_looked_at() -> None:
    known = {*reload._TABLES, *reload._BUILT_ON, "web"}
    assert {field.name for field in fields(Site)} - {"folder"} == known


def test_what_differs_is_said_key_by_key(running: Running) -> None:
    old = load_site(running.folder)
    assert not difference(old, old).changes
    running.edit("devices.toml", '"pump-1/vib_rms" = { table = "input", address = 0, type = "f32" }', "")
    running.edit(
        "devices.toml",
        "[device.plc-1.points]",
        '[device.plc-1.points]\n"pump-1/bearing_temp" = { address = 2 }',
    )
    running.edit("assets.toml", "range = [0, 50]", "range = [0, 40]")
    found = difference(old, load_site(running.folder))
    assert found.lines == {"plc"}
    assert [change.split(":")[0] for change in found.changes] == [
        "~ device.plc-1.points.pump-1/vib_rms",
        "~ device.plc-1.points.pump-1/bearing_temp",
        "~ class.pump.signals.vib_rms.range",
    ]
