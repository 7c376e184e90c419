"""The whole house on real wires: a simulated plant, the daemon as its own process, and what comes of faults."""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.batch import Batch, signal_set
from gateway import running
from gateway.building import build_panel, build_sensors
from gateway.children import Child, child, free_port
from gateway.config import load_site
from gateway.control import ask
from gateway.site import Site
from rules import Transition
from simulators import plant
from ticketing import Desk, Order

EXAMPLE = Path(__file__).parents[1] / "examples" / "demo"
WIRES = {"pump-1": "Modbus TCP", "motor-1": "Modbus RTU", "compressor-1": "ASCII", "fan-1": "MQTT"}
RAMP = 8  # s from a fault's onset to its limit
ON_DELAY = 5  # s, of the example's rule on vibration
PATIENCE = 60  # s
WAVEFORM = """
[device.fan-ear]
line = "broker"
topic = "plant/fan-1/waveform"
time_path = "ts"
waveform = { rate_path = "rate", speed_path = "speed" }
[device.fan-ear.points]
"fan-1/vib_kurtosis" = { path = "block.kurtosis" }
"fan-1/vib_outer_ring" = { path = "drive-end.env_bpfo" }
"""
BEARING = """
[asset.fan-1.bearings.drive-end]
rollers = 9
roller_diameter = 7.94
pitch_diameter = 39.04
"""


@dataclass
class House:
    """A running plant and the gateway that reads it."""

    site: Site
    plant: Child
    desk: Desk

    def tell(self, command: dict[str, Any]) -> dict[str, Any]:
        self.plant.stdin.write(json.dumps(command) + "\n")
        self.plant.stdin.flush()
        answer: dict[str, Any] = json.loads(self.plant.stdout.readline())
        return answer

    def orders(self) -> list[Order]:
        with self.desk.read() as reading:
            return reading.orders()

    def newest(self, signal: str) -> float:
        """Its last value, -inf before there is one."""
        told = ask(self.site.state / "control.sock", {"op": "tail", "signal": signal, "start": 0})
        return max(zip(told["time"], told["mean"], strict=True), default=(0, -math.inf))[1]

    def until(self, ready: Callable[[list[Order]], bool]) -> list[Order]:
        deadline = time.monotonic() + PATIENCE
        while not ready(found := self.orders()):
            assert time.monotonic() < deadline, found
            time.sleep(0.2)
        return found


@pytest.fixture
def house(tmp_path: Path, broker: Callable[..., Any]) -> Iterator[House]:
    """The example site on free ports; its models still learn, so only rules judge."""
    folder = Path(shutil.copytree(EXAMPLE, tmp_path / "site"))
    wires, tcp, mqtt = folder / "wires", free_port(0), broker().port
    wires.mkdir()
    devices = folder / "devices.toml"
    devices.write_text(
        devices.read_text().replace("port = 5020", f"port = {tcp}").replace("port = 1883", f"port = {mqtt}")
    )
    with devices.open("a") as file:
        file.write(WAVEFORM)
    assets = folder / "assets.toml"
    heard = '[class.fan.signals]\nvib_kurtosis = { unit = "1" }\nvib_outer_ring = { unit = "1" }\n'
    assets.write_text(assets.read_text().replace("[class.fan.signals]\n", heard) + BEARING)
    site = load_site(folder)
    words = ["-m", "simulators", "serve", "--tcp", str(tcp), "--mqtt", f"127.0.0.1:{mqtt}"]
    words += ["--rtu", str(wires / "rtu"), "--ascii", str(wires / "ascii")]
    with ExitStack() as stack:
        machines = stack.enter_context(child("plant", words, folder / "plant.log", talks=True))
        assert json.loads(machines.stdout.readline())["ready"]
        run = ["-m", "gateway.cli", "run", str(folder)]
        daemon = stack.enter_context(child("gateway", run, folder / "gateway.log"))
        daemon.until((site.state / "control.sock").exists, PATIENCE)
        desk = Desk.open(site.core, site=site.site.id)
        stack.callback(desk.close)
        yield House(site, machines, desk)


@pytest.mark.needs("mosquitto")
def test_a_fault_on_each_wire_opens_one_order_on_its_machine_in_time(house: House) -> None:
    onsets = {asset: house.tell({"fault": f"{asset}:bearing_wear", "ramp": RAMP})["onset"] for asset in WIRES}
    orders = house.until(lambda found: len(found) >= len(WIRES))
    assert {(order.asset, order.failure_mode) for order in orders} == {(asset, "VIB") for asset in WIRES}
    assert len(orders) == len(WIRES)
    for order in orders:
        assert order.asset is not None
        late = order.opened_at / 1000 - onsets[order.asset] / 1e9 - RAMP - ON_DELAY
        assert late <= 5, f"{WIRES[order.asset]}: {late:.1f} s after the on-delay"
    house.until(lambda _: house.newest("fan-1/vib_kurtosis") > 3.5)
    assert house.newest("fan-1/vib_outer_ring") > 3  # the block of samples names the part


@pytest.mark.needs("mosquitto")
def test_a_dead_device_stalls_no_other_and_its_machine_gets_no_order(house: House) -> None:
    house.tell({"device": "motor-1", "behave": "dead"})
    house.tell({"fault": "pump-1:bearing_wear", "ramp": RAMP})
    orders = house.until(lambda found: any(order.asset == "pump-1" for order in found))
    assert [order.asset for order in orders] == ["pump-1"]


def test_a_healthy_hour_raises_no_alarm() -> None:
    """An hour at one sample a second of all four machines, through rules and models, in log time."""
    site = load_site(EXAMPLE)
    panel, sensors = build_panel(site), build_sensors(site)
    start = 1_795_000_000
    seconds = np.arange(start, start + 3600, dtype=np.float64)
    machines = {asset: plant.signals(asset, seconds, [], 0) for asset in WIRES}
    raised: list[Transition] = []
    for device, settings in site.devices.items():
        signals = signal_set(device, (*settings.signals(), f"{device}/online"))
        columns = [machines[name.split("/")[0]][name.split("/")[1]] for name in signals.names[:-1]]
        rows = np.column_stack([*columns, np.ones(len(seconds))])
        for second, row in zip(seconds, rows, strict=True):
            at = int(second) * 1_000_000_000
            batch = Batch(signals, at, at, row, np.zeros(len(row), np.uint8))
            for each in [batch, *sensors.step(batch, lambda _: True)]:
                raised += panel.judge(panel.view(each.signals.names), each.time, each.values, each.quality)
    assert [each for each in raised if not running.tells(each.rule)] == []
    assert {each.asset for each in raised} == set(WIRES)  # all of them run
    assert all(sensor["state"] == "live" for sensor in sensors.status())
