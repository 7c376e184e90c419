"""Real parts from Debian that tests stand on, and a loud word where one is missing.

``@pytest.mark.needs("mosquitto")`` skips the test where the part is not installed and says at the end
what to install; with ``CI=true`` a missing part fails instead. ``part("mosquitto")`` is its path.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

# Word of the marker: executable, Debian package. The words are those people search for.
PARTS = {
    "mosquitto": ("mosquitto", "mosquitto"),
    "influxdb": ("influxd", "influxdb"),
    "chromium": ("chromium", "chromium"),
    "postgresql": ("initdb", "postgresql"),
    "systemd": ("systemd-analyze", "systemd"),
}
PLACES = ("/usr/sbin", "/usr/lib/postgresql/*/bin")  # where Debian puts what is not in everyone's PATH

_missing = pytest.StashKey[Counter[str]]()


def find(word: str) -> Path | None:
    """Where this part's executable is on this machine."""
    executable = PARTS[word][0]
    if found := shutil.which(executable):
        return Path(found)
    places = (path for place in PLACES for path in Path("/").glob(f"{place[1:]}/{executable}"))
    return max(places, default=None)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_missing] = Counter()


@pytest.hookimpl(tryfirst=True)  # before the test's fixtures start the part
def pytest_runtest_setup(item: pytest.Item) -> None:
    for marker in item.iter_markers("needs"):
        for word in marker.args:
            if find(word) is None:
                package = PARTS[word][1]
                if os.environ.get("CI") == "true":
                    pytest.fail(f"CI needs {word}: apt-get install {package}", pytrace=False)
                item.config.stash[_missing][package] += 1
                pytest.skip(f"{word} is not installed: apt-get install {package}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for package, tests in sorted(config.stash[_missing].items()):
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
