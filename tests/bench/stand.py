"""A stand for the whole daemon: a plant, a site folder and `watchkeeper run`, each real, with meters on the daemon."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.control import ask
from tests.conftest import find
from tests.gateway.conftest import Influxd

_TICKS = os.sysconf("SC_CLK_TCK")
CLASS = "machine"


@dataclass(frozen=True)
class Load:
    """``devices`` of ``registers`` each, one connection to each, read every ``period``; rules as TOML."""

    devices: int
    registers: int = 100
    period: str = "1s"
    rules: str = ""
    port: int = field(default_factory=lambda: free_ports(1))

    @property
    def assets(self) -> list[str]:
        return [f"m-{n:04d}" for n in range(self.devices)]

    @property
    def quantities(self) -> list[str]:
        return [f"q{n:03d}" for n in range(self.registers)]


def free_ports(count: int) -> int:
    """The first of ``count`` neighbouring ports below the ephemeral ones that nobody listens on."""
    first = 15_000 + os.getpid() % 97 * 10
    while True:
        taken = next((port for port in range(first, first + count) if not _is_free(port)), None)
        if taken is None:
            return first
        first = taken + 1


def _is_free(port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return True
    return False


def high_limits(load: Load, each: int = 1) -> str:
    """A rule over every signal of the class, or over one of ``each``; the plant's values stay below it."""
    return "\n".join(
        f'[rule.{quantity}-high]\nfailure_mode = "VIB"\nscope = {{ class = "{CLASS}" }}\n'
        f'signal = "{quantity}"\nabove = 180\non_delay = "5s"\nseverity = 3\nclear = {{ deadband = 2 }}\n'
        for quantity in load.quantities[::each]
    )


def write_site(folder: Path, load: Load, store: str = 'kind = "local"', spool: str = "") -> Path:
    """A site folder for the load; ``store`` and ``spool`` are the bodies of these tables."""
    folder.mkdir(parents=True, exist_ok=True)
    quantities = "\n".join(f'{each} = {{ unit = "mm/s", range = [0, 700] }}' for each in load.quantities)
    devices = []
    for n, asset in enumerate(load.assets):
        points = "\n".join(
            f'"{asset}/{quantity}" = {{ address = {at}, table = "input", type = "u16", scale = 0.01 }}'
            for at, quantity in enumerate(load.quantities)
        )
        devices.append(
            f'[line.line-{n}]\nkind = "modbus-tcp"\nhost = "127.0.0.1"\nport = {load.port + n}\n'
            f'[device.plc-{n}]\nline = "line-{n}"\nunit_id = 1\nperiod = "{load.period}"\n'
            f"[device.plc-{n}.points]\n{points}\n"
        )
    texts = {
        "site.toml": f'[site]\nid = "bench"\nname = "Bench"\n[spool]\n{spool}\n[store]\n{store}\n',
        "assets.toml": f"[class.{CLASS}.signals]\n{quantities}\n"
        + "\n".join(f'[asset.{asset}]\nclass = "{CLASS}"' for asset in load.assets),
        "devices.toml": "\n".join(devices),
        "rules.toml": load.rules,
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder


@contextmanager
def plant(load: Load) -> Iterator[None]:
    """The load's devices, served by the simulator as its own process."""
    words = ["bench", "--base-port", load.port, "--ports", load.devices]
    words += ["--devices", load.devices, "--registers", load.registers]
    process = subprocess.Popen(
        [sys.executable, "-m", "simulators", *map(str, words)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline() or b"{}").get("ready"), "the plant did not start"
        yield
    finally:
        process.terminate()
        process.communicate(timeout=10)


@contextmanager
def influxdb(folder: Path) -> Iterator[Influxd]:
    """Debian's InfluxDB for the length of a block; it may be killed and started within."""
    executable = find("influxdb")
    if executable is None:
        sys.exit("influxd is missing: apt-get install influxdb")
    server = Influxd(executable, folder / "influxdb")
    server.start()
    try:
        yield server
    finally:
        server.kill()


class Daemon:
    """`watchkeeper run` on a site folder, with meters on its process; its words go to ``daemon.log``."""

    def __init__(self, site: Path) -> None:
        self.site = site
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; it need not be ready when this returns."""
        with (self.site / "daemon.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(Path(sys.executable).with_name("watchkeeper")), "run", str(self.site)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def ready(self, seconds: float = 300.0) -> float:
        """Wait until it answers; how many seconds that took."""
        began = time.monotonic()
        while True:
            with suppress(OSError, ValueError):
                self.health()
                return time.monotonic() - began
            assert self._process is not None
            assert self._process.poll() is None, f"the daemon ended: {self.words()}"
            assert time.monotonic() - began < seconds, f"the daemon is not ready: {self.words()}"
            time.sleep(0.02)

    def health(self) -> dict[str, Any]:
        """Its health report."""
        found: dict[str, Any] = ask(self.site / "state" / "control.sock", {"op": "health"}, 30.0)
        return found

    def words(self) -> str:
        """The end of its log."""
        return (self.site / "daemon.log").read_text()[-2000:]

    def cpu(self) -> float:
        """CPU seconds that the process has used, its threads included."""
        stat = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(stat[11]) + int(stat[12])) / _TICKS

    def rss(self, peak: bool = False) -> float:
        """MiB of memory that it holds now, or at most ever held."""
        key = "VmHWM:" if peak else "VmRSS:"
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(key)) / 1024

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Ask it to stop (SIGTERM) or kill it (SIGKILL), and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(60)
            self._process = None


@contextmanager
def running(site: Path) -> Iterator[Daemon]:
    """The daemon for the length of a block, ready."""
    daemon = Daemon(site)
    try:
        daemon.start()
        daemon.ready()
        yield daemon
    finally:
        daemon.end()


@dataclass(frozen=True, slots=True)
class Reading:
    """The meters at one moment; counts of points since the daemon's start, of slots over all devices."""

    at: float
    cpu: float
    accepted: int
    judged: int
    sent: int
    expected: int
    read: int

    @classmethod
    def of(cls, daemon: Daemon) -> Reading:
        """Read all meters now."""
        at, cpu, health = time.monotonic(), daemon.cpu(), daemon.health()
        tallies = [device["tally"] for source in health["sources"] for device in source["devices"]]
        return cls(
            at,
            cpu,
            health["spool"]["accepted"],
            health["judge"]["samples"],
            health["store"]["sent"],
            sum(tally["expected"] for tally in tallies),
            sum(tally["read"] for tally in tallies),
        )


@dataclass(frozen=True, slots=True)
class Span:
    """What the daemon did between two readings."""

    seconds: float
    cpu: float
    points: int
    schedule: float

    @property
    def load(self) -> float:
        """Share of one core."""
        return self.cpu / self.seconds

    @property
    def per_cpu_second(self) -> float:
        """Points taken through the whole daemon per CPU second."""
        return self.points / self.cpu


def measure(daemon: Daemon, seconds: float) -> Span:
    """Watch the daemon for a while. A point counts when it is kept, judged and stored."""
    before = Reading.of(daemon)
    time.sleep(seconds)
    after = Reading.of(daemon)
    points = min(after.accepted - before.accepted, after.judged - before.judged, after.sent - before.sent)
    expected = after.expected - before.expected
    return Span(
        after.at - before.at,
        after.cpu - before.cpu,
        points,
        (after.read - before.read) / expected if expected else 0.0,
    )
