"""The soaks in short, with every real part: `make soak-kill` and `make soak-outage` are the long ones."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.needs("influxdb")


def run(*words: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, timeout=400, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_five_kills_lose_nothing_and_open_no_order_twice() -> None:
    run("tests.soak.kill", "--kills", "5", "--devices", "3", "--seed", "1")


def test_a_store_that_was_away_gets_everything_in_the_end() -> None:
    run("tests.soak.outage", "--minutes", "0.2", "--rate", "500", "--settle", "2")
