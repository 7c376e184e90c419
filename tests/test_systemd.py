"""The units: systemd understands them, and finds them as closed as we say."""

from __future__ import annotations

import configparser
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.needs("systemd")

ROOT = Path(__file__).parent.parent
UNITS = sorted((ROOT / "systemd").glob("*.service"))
LOWEST_EXPOSURE = 1.5  # of 10; what remains are the network, serial ports and a local socket


@pytest.fixture(params=UNITS, ids=lambda path: path.name)
def unit(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def words(unit: Path) -> configparser.SectionProxy:
    """The unit's [Service] section; of a key that stands twice, the last."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(unit)
    return parser["Service"]


def test_exposure(unit: Path, part: Callable[[str], Path]) -> None:
    found = subprocess.run(
        [
            part("systemd"),
            "security",
            "--offline=true",
            "--no-pager",
            f"--threshold={LOWEST_EXPOSURE * 10:.0f}",
            unit,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    exposure = re.search(r"exposure level for \S+: ([\d.]+)", found.stdout)
    assert exposure, found.stderr
    assert float(exposure[1]) <= LOWEST_EXPOSURE, found.stdout
    assert found.returncode == 0


def test_systemd_understands_every_line(unit: Path, part: Callable[[str], Path], tmp_path: Path) -> None:
    installed = tmp_path / unit.name
    text, commands = re.subn(
        r"(?m)^(Exec\w+)=/opt/watchkeeper/bin/watchkeeper ", r"\1=/bin/true ", unit.read_text()
    )
    assert commands == text.count("\nExec")
    installed.write_text(text)
    found = subprocess.run(
        [part("systemd"), "verify", "--man=no", installed], capture_output=True, text=True, check=False
    )
    assert (found.returncode, found.stderr) == (0, "")


def test_only_the_gateway_reaches_devices_and_only_serial_ports() -> None:
    gateway, web = (ROOT / "systemd" / name for name in ("watchkeeper.service", "watchkeeper-web.service"))
    allowed = re.findall(r"(?m)^DeviceAllow=(.*)$", gateway.read_text())
    assert allowed == ["char-ttyS rw", "char-ttyUSB rw", "char-ttyACM rw"]
    assert words(gateway)["DevicePolicy"] == "closed"
    assert "DeviceAllow" not in words(web)
    assert words(web)["PrivateDevices"] == "yes"
    assert "SupplementaryGroups" not in words(web)


def test_a_wrong_site_folder_is_not_started_again_and_again(unit: Path) -> None:
    assert words(unit)["Restart"] == "always"
    assert "78" in words(unit)["RestartPreventExitStatus"].split()


def test_the_gateway_is_watched() -> None:
    service = words(ROOT / "systemd/watchkeeper.service")
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) == 30
