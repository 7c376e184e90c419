"""Named places where the daemon may be broken."""

import errno
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway import failpoints

ROOT = Path(__file__).parents[2]


def test_every_named_point_is_in_the_code_and_every_point_in_the_code_is_named() -> None:
    found = {
        name
        for path in (ROOT / "gateway").rglob("*.py")
        for name in re.findall(r'failpoints\.hit\("([a-z_.]+)"\)', path.read_text())
    }
    assert found == set(failpoints.NAMES)


def test_a_point_acts_on_the_hits_it_is_set_for() -> None:
    with failpoints.armed("spool.read:2-3:error"):
        outcomes = []
        for _ in range(5):
            try:
                failpoints.hit("spool.read")
                outcomes.append("")
            except OSError as error:
                outcomes.append(errno.errorcode[error.errno])
        failpoints.hit("spool.rotate")
    assert outcomes == ["", "EIO", "EIO", "", ""]
    failpoints.hit("spool.read")


def test_sleep_and_full() -> None:
    with failpoints.armed("spool.read:1:sleep:0.05,spool.rotate:1-:full"):
        began = time.perf_counter()
        failpoints.hit("spool.read")
        assert time.perf_counter() - began >= 0.05
        for _ in range(2):
            with pytest.raises(OSError, match="No space"):
                failpoints.hit("spool.rotate")


@pytest.mark.parametrize(
    "text", ["spool.raed:1:kill", "spool.read:1:explode", "spool.read", "spool.read:x:kill"]
)
def test_a_slip_of_the_pen_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"name:count|invalid literal"):
        failpoints.parse(text)


def test_the_environment_arms_a_process() -> None:
    code = "from gateway import failpoints\nfor _ in range(5): failpoints.hit('spool.read'); print('.')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={failpoints.VARIABLE: "spool.read:3:kill"},
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    assert done.returncode == -9
    assert done.stdout.count(b".") in (0, 2)  # what it had printed may have stayed in its buffer


def test_an_unarmed_point_costs_next_to_nothing() -> None:
    began = time.process_time()
    for _ in range(100_000):
        failpoints.hit("spool.read")
    assert (time.process_time() - began) / 100_000 < 1e-6
