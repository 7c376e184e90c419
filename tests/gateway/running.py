"""A real gateway over a small simulated plant: pumps behind one Modbus TCP endpoint, as processes of their own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.children import Child, free_port
from gateway.config import load_site
from gateway.control import ask
from gateway.site import Site
from ticketing import Desk, Order

PATIENCE = 60.0  # s

SITE = """
[site]
id = "works"
name = "Works"
[spool]
interval = "20ms"
"""
ASSETS = """
[class.pump.signals]
vib_rms = { unit = "mm/s", range = [0, 50] }
bearing_temp = { unit = "degC" }
"""
DEVICES = """
[line.plc]
kind = "modbus-tcp"
host = "127.0.0.1"
port = @PORT@
"""
DEVICE = """
[device.plc-@N@]
line = "plc"
unit_id = @N@
period = "100ms"
timeout = "300ms"
[device.plc-@N@.points]
"pump-@N@/vib_rms" = { table = "input", address = 0, type = "f32" }
"""


class Running:
    """A site folder with its plant; the gateway can be started, killed and stopped."""

    def __init__(self, folder: Path, pumps: int = 1, *, beside: Running | None = None) -> None:
        """``beside``: another gateway, whose plant this one reads too."""
        self.folder = folder
        folder.mkdir()
        self.port = port = free_port(0) if beside is None else beside.port
        numbers = [str(n) for n in range(1, pumps + 1)]
        self._gateway: subprocess.Popen[bytes] | None = None
        self.write("site.toml", SITE)
        self.write("assets.toml", ASSETS + "".join(f'[asset.pump-{n}]\nclass = "pump"\n' for n in numbers))
        devices = [DEVICE.replace("@N@", n) for n in numbers]
        self.write("devices.toml", DEVICES.replace("@PORT@", str(port)) + "".join(devices))
        self._own_plant = beside is None
        if beside is not None:
            self.plant = beside.plant
            return
        words = ["-m", "simulators", "serve", "--tcp", str(port), "--pumps", str(pumps)]
        self.plant = Child("plant", words, folder / "plant.log", talks=True)
        assert json.loads(self.plant.stdout.readline())["ready"]

    @property
    def site(self) -> Site:
        return load_site(self.folder)

    def write(self, file: str, text: str) -> None:
        (self.folder / file).write_text(text)

    def edit(self, file: str, old: str, new: str) -> None:
        text = (self.folder / file).read_text()
        assert old in text
        self.write(file, text.replace(old, new))

    def tell(self, command: dict[str, Any]) -> None:
        """Strike a fault, or change how a device behaves."""
        self.plant.stdin.write(json.dumps(command) + "\n")
        self.plant.stdin.flush()
        assert "error" not in json.loads(self.plant.stdout.readline())

    def start(self) -> None:
        """Start the gateway and wait until it answers."""
        self.launch()
        self.until(self.answers)

    def launch(self) -> None:
        """Start the gateway."""
        with (self.folder / "gateway.log").open("ab") as log:
            self._gateway = subprocess.Popen(
                [sys.executable, "-m", "gateway.cli", "run", str(self.folder)], stdout=log, stderr=log
            )

    def answers(self) -> bool:
        assert self._gateway is not None
        assert self._gateway.poll() is None, self.log()
        try:
            return bool(self.ask("health"))
        except OSError:
            return False

    def ask(self, op: str, **arguments: Any) -> Any:
        return ask(self.folder / "state" / "control.sock", {"op": op, **arguments}, 20.0)

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``watchkeeper …``."""
        whole = [sys.executable, "-m", "gateway.cli", *words]
        return subprocess.run(whole, capture_output=True, text=True, check=False, timeout=PATIENCE)

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop the gateway, or kill it."""
        if self._gateway is not None:
            self._gateway.send_signal(how)
            self._gateway.wait(PATIENCE)
            self._gateway = None

    def close(self) -> None:
        self.end()
        if self._own_plant:
            self.plant.end()

    def log(self) -> str:
        return (self.folder / "gateway.log").read_text()

    def orders(self) -> list[Order]:
        desk = Desk.open(self.site.core, site="works")
        try:
            with desk.read() as reading:
                return reading.orders()
        finally:
            desk.close()

    def until(self, ready: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not ready():
            assert time.monotonic() < deadline, self.log()[-4000:]
            time.sleep(0.05)
