"""The gateway about itself: one order on a silent line, orders about its own troubles, none when all is well."""

from __future__ import annotations

import json
import math
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devices.batch import describe
from devices.source import DeviceStatus, SourceStatus, Tally
from gateway import own
from gateway.config import load_site
from gateway.mistakes import ConfigError
from gateway.own import OwnSignals
from tests.gateway.running import Running


def state(tally: Tally | None = None, up: bool = True, dead: int = 0, **changes: Any) -> dict[str, Any]:
    device = DeviceStatus("plc", "healthy", 0, "", 1.0, tally or Tally())
    source = SourceStatus("bus", "modbus-rtu", up, "", {"dead_letters": dead}, (device,))
    usual = {
        "spool": {"bytes": 10, "max_bytes": 100, "shed": 0},
        "store": {"detail": "", "refused": 0},
        "judge": {"lag": 0.0},
        "clock_behind": 0.0,
        "certificates": {},
        "sources": [source],
    }
    return usual | changes


def said(signals: OwnSignals) -> dict[str, float]:
    batch = signals.batch()
    return dict(zip(batch.signals.names, batch.values.tolist(), strict=True))


def test_its_signals_say_what_the_health_report_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(own.time, "monotonic", lambda: now)
    body = state()
    signals = OwnSignals(lambda: body, lambda: ["bus", "new"], tmp_path, lambda: 5)
    first = said(signals)
    assert first["gateway/spool_used"] == 10
    assert first["gateway/store_away"] == first["gateway/samples_shed"] == first["gateway/slots_missed"] == 0
    assert first["gateway/disk_free"] > 0
    assert first["bus/online"] == 1
    assert math.isnan(first["new/online"])
    body = state(
        Tally(expected=200, skipped={"late": 30}),
        up=False,
        dead=3,
        store={"detail": "connection refused", "refused": 4},
        spool={"bytes": 90, "max_bytes": 100, "shed": 7},
    )
    said(signals)
    now += 60
    later = said(signals)
    assert later["gateway/store_away"] == 60
    assert (later["gateway/samples_shed"], later["gateway/dead_letters"]) == (7, 7)
    assert later["gateway/slots_missed"] == 15
    assert later["bus/online"] == 0
    now += 700
    said(signals)
    assert said(signals)["gateway/samples_shed"] == 0, "ten minutes later it is no news any more"


def test_what_cannot_be_told_is_bad(tmp_path: Path) -> None:
    batch = OwnSignals(state, lambda: ["new"], tmp_path, lambda: 5).batch()
    assert describe(int(batch.quality[-1])) == "bad:stale"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    gateway = Running(tmp_path / "site", pumps=3)
    yield gateway
    gateway.close()


def test_a_site_changes_single_keys_of_a_rule_that_each_gateway_has(running: Running) -> None:
    usual = load_site(running.folder).rules["gateway-disk"]
    running.write(
        "rules.toml",
        '[rule.gateway-disk]\nparams = { low = 500 }\n[rule.gateway-clock-unsynchronised]\nmode = "off"\n',
    )
    rules = load_site(running.folder).rules
    assert rules["gateway-disk"].params == {**usual.params, "low": 500}
    assert rules["gateway-disk"].when == usual.when
    assert rules["gateway-clock-unsynchronised"].mode == "off"


@pytest.mark.parametrize(
    ("file", "old", "new", "complaint"),
    [
        ("devices.toml", "plc-1", "gateway", "it stands for ourselves"),
        ("devices.toml", "[device.plc-1", "[device.plc", "give the line another"),
        ("assets.toml", "[class.pump.signals]", "[class.line.signals]", "the gateway's own class"),
    ],
)
def test_names_that_the_gateway_needs_are_refused(
    running: Running, file: str, old: str, new: str, complaint: str
) -> None:
    running.edit(file, old, new)
    with pytest.raises(ConfigError, match=complaint):
        load_site(running.folder)


RULES = """
[rule.offline]
when = [{ severity = 3, expr = "on < 0.5", on_delay = "4s" }]
work_order = { min_active = { 3 = "0s" } }
[rule.line-silent]
when = [{ severity = 3, expr = "on < 0.5", on_delay = "2s" }]
[rule.gateway-disk]
params = { low = 1e12 }
when = [{ severity = 3, expr = "free < low" }]
work_order = { key = "rule_asset", min_active = { 3 = "0s" } }
[rule.gateway-certificate]
when = [{ severity = 3, expr = "left < soon" }]
work_order = { key = "rule_asset", min_active = { 3 = "0s" } }
[rule.vibration]
failure_mode = "VIB"
scope = { class = "pump" }
signals = { v = "vib_rms" }
when = [{ severity = 4, expr = "v > 45 or v < 0.01" }]
"""


def test_a_certificate_counts_by_its_first_end_and_authorities_by_their_last(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.edit("site.toml", "[spool]", '[web]\ncertificate = "web.crt"\nkey = "web.key"\n[spool]')
    line = '[line.b]\nkind = "mqtt"\nhost = "b"\nca_file = "/etc/ca.crt"\n'
    running.edit("devices.toml", "[line.plc]", line + "[line.plc]")
    found = {
        running.folder / "web.crt": (86_400.0 * 40, 86_400.0 * 12),
        Path("/etc/ca.crt"): (0.0, 86_400.0 * 99),
    }
    monkeypatch.setattr(own, "ends", lambda path: found.get(path, ()))
    site = load_site(running.folder)
    assert own.certificates(site, 86_400.0 * 2) == {"web.crt": 10.0, "/etc/ca.crt": 97.0}
    found.clear()
    assert own.certificates(site, 0.0) == {}
    signals = OwnSignals(lambda: state(certificates={"a": 5.5, "b": 40.0}), list, running.folder, lambda: 5)
    assert said(signals)["gateway/certificate_days"] == 5.5


def test_a_cut_cable_is_one_order_on_the_line_and_a_dead_device_one_on_the_device(
    running: Running,
) -> None:
    running.write("rules.toml", RULES)
    openssl = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=p -days 3"
    subprocess.run(
        f"{openssl} -keyout web.key -out web.crt".split(), cwd=running.folder, check=True, capture_output=True
    )
    running.edit("site.toml", "[spool]", '[web]\ncertificate = "web.crt"\nkey = "web.key"\n[spool]')
    running.start()
    running.until(lambda: [(each.asset, each.alarms) for each in running.orders()] == [("gateway", 2)])
    troubles = {problem["what"]: problem["detail"] for problem in running.ask("health")["problems"]}
    assert troubles["Certificate expires soon"] == "web.crt: 3 d"
    running.tell({"device": "pump-2", "behave": "dead"})
    running.until(lambda: len(running.orders()) == 2)
    running.plant.end()  # the cable
    running.until(lambda: len(running.orders()) == 3)
    running.until(lambda: not running.ask("health")["sources"][0]["up"])
    settled = running.ask("health")["judge"]["samples"]
    running.until(lambda: running.ask("health")["judge"]["samples"] > settled + 6 * 20)
    found = {(order.asset, order.failure_mode) for order in running.orders()}
    assert found == {("gateway", "OTH"), ("plc-2", "COM"), ("plc", "COM")}
    (evidence,) = json.loads(
        running.command("explain", _on(running, "plc"), "--json", *_site(running)).stdout
    )
    assert "plc" in evidence["sentence"]["en"]


def _on(running: Running, asset: str) -> str:
    return next(order.number for order in running.orders() if order.asset == asset)


def _site(running: Running) -> tuple[str, str]:
    return "--site", str(running.folder)
