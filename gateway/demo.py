"""The whole job on one machine: a simulated plant on real wires, the gateway, the pages, and one bearing fault.

Everything lives in a folder of its own under the system's temporary folder and goes with the demo.
"""

from __future__ import annotations

import asyncio
import csv
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from devices.batch import Batch, signal_set
from gateway.children import Child, ChildFailedError, answers, child, free_port
from gateway.config import load_site
from gateway.site import Site
from gateway.spool import Spool
from ticketing import Desk, Order

FAULT = ("pump-1", "bearing_wear")
RAMP = 20  # s from onset until the vibration crosses its limit, about
PAST = 21_600  # s of healthy running that the models know when the demo begins,
STEP = 10  # s between its samples
SETTLE = 12  # s that nothing more may open after the first order
PATIENCE = 120.0  # s, for a part to start: a small box under load takes its time
USUAL_PORTS = {"plc": 5020, "broker": 1883, "web": 8080}


class DemoFailedError(Exception):
    """The demo could not show the job; one line says why."""


@dataclass
class Demo:
    """Starts everything, injects the fault, and tells ``say`` what happens."""

    say: Callable[[str], None]
    pages: bool = True
    lead_in: float = 25.0  # s between the start and the fault
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="watchkeeper-demo-")))

    def __enter__(self) -> Demo:
        self._stack = ExitStack()
        try:
            self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._start()
        except ChildFailedError as error:
            self._stack.close()
            raise DemoFailedError(str(error)) from error
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    asset = FAULT[0]
    onset: int | None = None  # UTC ns, once the fault began

    @property
    def address(self) -> str:
        """Where the pages are."""
        return f"http://127.0.0.1:{self.ports['web']}/"

    def _start(self) -> None:
        self.ports = {name: free_port(port) for name, port in USUAL_PORTS.items()}
        site = self._site()
        broker = self._child(
            "broker", ["-m", "iotcore", "--listen", "127.0.0.1", "--port", str(self.ports["broker"])]
        )
        self.say("simulated plant: six hours of healthy running to learn from …")
        self._learn_the_past(site)
        broker.until(lambda: answers(self.ports["broker"]), PATIENCE)
        self.say("simulated plant on Modbus TCP, Modbus RTU, MQTT and a serial instrument …")
        self._plant()
        self.say("gateway …")
        self._daemon = self._child("gateway", ["-m", "gateway.cli", "run", str(self.folder)])
        self._daemon.until((site.state / "control.sock").exists, PATIENCE)
        if self.pages:
            self.say("pages …")
            web = self._child("pages", ["-m", "gateway.cli", "web", str(self.folder)])
            web.until(lambda: answers(self.ports["web"]), PATIENCE)
        self._desk = Desk.open(site.core, site=site.site.id)
        self._stack.callback(self._desk.close)
        self._inject_later(site)

    def _child(self, name: str, arguments: list[str], *, talks: bool = False) -> Child:
        return self._stack.enter_context(child(name, arguments, self.folder / f"{name}.log", talks=talks))

    def _site(self) -> Site:
        """The example site, copied, with ports that are free here."""
        shutil.copytree(example_site(), self.folder, dirs_exist_ok=True)
        for file, name in (("devices.toml", "plc"), ("devices.toml", "broker"), ("site.toml", "web")):
            path = self.folder / file
            path.write_text(
                path.read_text().replace(f"port = {USUAL_PORTS[name]}", f"port = {self.ports[name]}")
            )
        (self.folder / "wires").mkdir(exist_ok=True)
        site = load_site(self.folder)
        site.state.mkdir(parents=True, exist_ok=True)
        return site

    def _plant(self) -> None:
        wires = self.folder / "wires"
        options = ["--tcp", str(self.ports["plc"]), "--mqtt", f"127.0.0.1:{self.ports['broker']}"]
        options += ["--rtu", str(wires / "rtu"), "--ascii", str(wires / "ascii")]
        self._simulator = self._child("plant", ["-m", "simulators", "serve", *options], talks=True)
        first = self._simulator.stdout.readline()
        if not first:
            self._simulator.until(lambda: False, 2)
        self.plant: dict[str, Any] = json.loads(first)

    def _learn_the_past(self, site: Site) -> None:
        """Healthy history into the spool, as if the gateway had run for six hours: the judge takes it up at start."""

        async def fill() -> None:
            spool = Spool(site.state / "spool", site.spool, followers=("judge",))
            spool.start()
            for batch in past(site, self.folder, time.time_ns()):
                while not spool.offer(batch):
                    await asyncio.sleep(0.01)
            spool.close()

        asyncio.run(fill())

    def _inject_later(self, site: Site) -> None:
        asset, scenario = FAULT
        due = time.time_ns() + round(self.lead_in * 1e9)
        self._tell(site, asset, due)

        def inject() -> None:
            self.onset = self._command({"fault": f"{asset}:{scenario}", "ramp": RAMP})["onset"]
            self._tell(site, asset, self.onset)

        timer = threading.Timer(self.lead_in, inject)
        timer.daemon = True
        timer.start()
        self._stack.callback(timer.cancel)

    def _tell(self, site: Site, asset: str, at: int) -> None:
        (site.state / "demo.json").write_text(
            json.dumps({"fault_at": at, "asset": asset, "scenario": FAULT[1]})
        )

    def _command(self, command: dict[str, Any]) -> dict[str, Any]:
        self._simulator.stdin.write(json.dumps(command) + "\n")
        self._simulator.stdin.flush()
        answer: dict[str, Any] = json.loads(self._simulator.stdout.readline())
        return answer

    def watch(self) -> Iterator[list[Order]]:
        """The open orders, each time they are looked at; raises DemoFailedError when a part of the demo ends."""
        while True:
            try:
                self._daemon.check()
                self._simulator.check()
            except ChildFailedError as error:
                raise DemoFailedError(str(error)) from error
            with self._desk.read() as reading:
                yield reading.orders()
            time.sleep(0.25)

    def one_order(self, timeout: float) -> Order:
        """Wait for the order of the fault, and some seconds more for a second one that must not come."""
        deadline = time.monotonic() + timeout
        settled: float | None = None
        for orders in self.watch():
            if len(orders) > 1:
                raise DemoFailedError(
                    f"{len(orders)} work orders opened for one fault: {', '.join(o.number for o in orders)}"
                )
            if orders and settled is None:
                settled = min(time.monotonic() + SETTLE, deadline)
            if settled is not None and time.monotonic() >= settled:
                return orders[0]
            if time.monotonic() > deadline:
                break
        raise DemoFailedError(f"no work order opened within {timeout:.0f} s; the logs were in {self.folder}")

    def result(self, timeout: float) -> dict[str, Any]:
        """The guided fault's order with its evidence, as data; raises DemoFailedError if there is not exactly one."""
        order = self.one_order(timeout)
        with self._desk.read() as reading:
            evidence = reading.evidence(order.number)
        if not evidence or self.onset is None:
            raise DemoFailedError(f"{order.number} opened before the fault began, or without evidence")
        trigger = evidence[0].body
        return {
            "number": order.number,
            "asset": order.asset,
            "failure_mode": order.failure_mode,
            "severity": order.severity_max,
            "priority": f"P{order.priority}",
            "state": str(order.state),
            "rule": trigger["rule"]["id"],
            "evidence": trigger["sentence"],
            "counterfactual": trigger["counterfactual"],
            "seconds_from_fault_to_order": round(order.opened_at / 1000 - self.onset / 1e9, 1),
        }


def example_site() -> Path:
    """The commented example, from the checkout or from the installed package."""
    here = Path(__file__).parent
    for folder in (here.parent / "examples" / "demo", here / "example"):
        if (folder / "site.toml").is_file():
            return folder
    raise DemoFailedError("the example site is not installed beside the program")


def past(site: Site, folder: Path, now: int) -> Iterator[Batch]:
    """Hours of the healthy simulated plant up to ``now``, one batch a device and STEP, in order of time."""
    series = {asset: _simulated(asset, folder) for asset in site.assets}
    start = now - (PAST + 2) * 1_000_000_000
    sets = {
        name: signal_set(name, (*device.signals(), f"{name}/online")) for name, device in site.devices.items()
    }
    for step in range(PAST // STEP):
        for signals in sets.values():
            values = [series[s.split("/")[0]][s][step] for s in signals.names[:-1]]
            at = start + step * STEP * 1_000_000_000
            yield Batch(signals, at, at, np.array([*values, 1.0]), np.zeros(len(signals.names), np.uint8))


def _simulated(asset: str, folder: Path) -> dict[str, list[float]]:
    out = folder / f"{asset}.csv"
    words = ["-m", "simulators", "csv", "healthy", "--asset", asset, "--out", str(out)]
    words += ["--hours", str(PAST / 3600), "--period", f"{STEP}s"]
    with child(f"simulator of {asset}", words, folder / "past.log") as process:
        process.finish(PATIENCE)
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        f"{asset}/{key}": [float(row[key]) for row in rows] for key in rows[0] if key not in ("time", "label")
    }
