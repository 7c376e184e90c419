"""A whole gateway whose disk fills up: it says so, goes on when there is room, and never ends in a riddle."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from gateway.supervisor import EX_IOERR
from tests.gateway.running import Running


@pytest.fixture
def gateway(small_disk: Path, tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path / "site")
    (running.folder / "state").symlink_to(small_disk)
    running.start()
    yield running
    running.close()


def fill(disk: Path) -> Path:
    """Something else takes all the room that is left."""
    path = disk / "somebody-elses"
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    return path


def problems(gateway: Running) -> list[str]:
    return [problem["what"] for problem in gateway.ask("health")["problems"]]


def test_a_full_disk_is_said_and_what_was_read_meanwhile_is_kept(gateway: Running, small_disk: Path) -> None:
    gateway.until(lambda: gateway.ask("health")["spool"]["accepted"] > 0)
    filler = fill(small_disk)
    gateway.until(lambda: "Disk is full" in problems(gateway))
    waiting = gateway.ask("health")["spool"]["waiting"]
    filler.unlink()
    gateway.until(lambda: "Disk is full" not in problems(gateway))
    spool = gateway.ask("health")["spool"]
    assert spool["refused"] == 0
    assert spool["accepted"] >= waiting


def test_killed_on_a_full_disk_it_says_at_the_next_start_what_is_wrong(
    gateway: Running, small_disk: Path
) -> None:
    gateway.until(lambda: gateway.ask("health")["spool"]["accepted"] > 0)
    filler = fill(small_disk)
    gateway.until(lambda: "Disk is full" in problems(gateway))
    gateway.end(signal.SIGKILL)
    fill(small_disk)
    found = gateway.command("run", str(gateway.folder))
    assert found.returncode == EX_IOERR
    assert "full" in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr
    filler.unlink()
    gateway.start()
    gateway.until(lambda: gateway.ask("health")["spool"]["accepted"] > 0)
