"""Real parts of the hall's tests."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_CONFIGURATION = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
  auth-enabled = {auth}
  max-body-size = {body}
"""


class Influxd:
    """Debian's InfluxDB in a folder of its own, to be killed and started at will."""

    def __init__(self, executable: Path, folder: Path) -> None:
        self._executable = executable
        self._folder = folder
        self._rpc, self._port = _free_ports()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"http://127.0.0.1:{self._port}"

    def start(self, *, auth: bool = False, body: int = 25_000_000) -> None:
        """Start it and wait until it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / "influxdb.conf"
        file.write_text(
            _CONFIGURATION.format(
                rpc=self._rpc, port=self._port, folder=self._folder, auth=str(auth).lower(), body=body
            )
        )
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._executable, "-config", file], stdout=log, stderr=log)
        deadline = time.monotonic() + 20
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/ping", timeout=1).close()
                return
            except (urllib.error.URLError, OSError):
                assert time.monotonic() < deadline, (self._folder / "log").read_text()
                time.sleep(0.02)

    def kill(self, with_: signal.Signals = signal.SIGKILL) -> None:
        """kill −9, as a power cut would; SIGTERM lets it write its users down, which it puts off."""
        if self._process is not None:
            self._process.send_signal(with_)
            self._process.wait()
            self._process = None


def _free_ports() -> tuple[int, int]:
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        return first.getsockname()[1], second.getsockname()[1]


@pytest.fixture
def influxd(part: Callable[[str], Path], tmp_path: Path) -> Iterator[Influxd]:
    """A running InfluxDB; the test is marked ``needs("influxdb")``."""
    server = Influxd(part("influxdb"), tmp_path / "influxdb")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def influxd_url(part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an InfluxDB that a module's tests share, each in a database of its own.

    ``WATCHKEEPER_TEST_INFLUX_URL`` names another one (2.x or 3.x) to test against.
    """
    if url := os.environ.get("WATCHKEEPER_TEST_INFLUX_URL"):
        yield url
        return
    server = Influxd(part("influxdb"), tmp_path_factory.mktemp("influxdb"))
    server.start()
    yield server.url
    server.kill()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    if os.geteuid() != 0:
        pytest.skip("a small disk can only be mounted by root: run the tests as root to see a full disk")
    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)
