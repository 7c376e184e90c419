"""Two real gateways of one site, one plant and one real PostgreSQL, which is not always there."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway.commands import app
from tests.gateway.running import Running
from tests.postgres import Postgres
from ticketing import Desk

pytestmark = pytest.mark.needs("postgresql")
RULE = """
[rule.vibration]
failure_mode = "VIB"
scope = { class = "pump" }
signals = { v = "vib_rms" }
params = { high = 4 }
when = [{ severity = 3, expr = "v > high" }]
clear = { off_delay = "10m" }
work_order = { min_active = { 3 = "0s" } }
"""


@pytest.fixture
def postgres(part: Callable[[str], Path]) -> Iterator[Postgres]:
    """A server that has never been started."""
    server = Postgres(part("postgresql").resolve().parent)
    yield server
    server.remove()


@pytest.fixture
def gateways(tmp_path: Path, postgres: Postgres) -> Iterator[list[Running]]:
    """Two of them with the same machines and rules; each reads pump 1 by a device of its own, one pump 2 too."""
    one = Running(tmp_path / "one", pumps=2)
    two = Running(tmp_path / "two", pumps=1, beside=one)
    for name, gateway in (("gateway", one), ("two", two)):
        address = postgres.address("works")
        gateway.edit("site.toml", 'name = "Works"', f'name = "Works"\ncore = "{address}"\ngateway = "{name}"')
        gateway.write("rules.toml", RULE)
    two.write("assets.toml", (one.folder / "assets.toml").read_text())
    for old, new in (("[line.plc]", "[line.plc-two]"), ('line = "plc"', 'line = "plc-two"')):
        two.edit("devices.toml", old, new)
    two.edit("devices.toml", "device.plc-1", "device.two-1")
    yield [one, two]
    for gateway in (two, one):
        gateway.close()


def looked_back(desk: Desk, number: str) -> bool:
    """Whether the order's evidence has got what was measured before the alarm."""
    with desk.read() as read:
        return all(len(kept.body["series"]["time"]) > 1 for kept in read.evidence(number))


def core(gateway: Running) -> dict[str, Any]:
    found: dict[str, Any] = gateway.ask("health")["core"]
    return found


def waits(gateway: Running) -> bool:
    """An alarm waits, and the health report says why."""
    problems = [problem["what"] for problem in gateway.ask("health")["problems"]]
    return core(gateway)["waiting"] > 0 and "Ticket core is away" in problems


def strike(gateway: Running, asset: str) -> int:
    """The time (UTC ms) before which nothing can have happened."""
    before = time.time_ns() // 1_000_000
    gateway.tell({"fault": f"{asset}:bearing_wear", "ramp": 1})
    return before


def arrived(gateway: Running) -> bool:
    return core(gateway) == {"waiting": 0, "trouble": ""}


def test_orders_wait_for_a_core_that_is_away_and_arrive_once(
    gateways: list[Running], postgres: Postgres
) -> None:
    one, two = gateways
    for gateway in gateways:  # nobody has ever seen the core
        gateway.launch()
    for gateway in gateways:
        gateway.until(gateway.answers)
    struck = strike(one, "pump-1")
    for gateway in gateways:
        gateway.until(partial(waits, gateway))
    said = CliRunner().invoke(app, ["orders", "list", "--site", str(one.folder)])
    assert (said.exit_code, len(said.stderr.splitlines())) == (74, 1), said.stderr
    one.end(signal.SIGKILL)
    one.start()
    one.until(lambda: waits(one))

    came = time.time_ns() // 1_000_000
    postgres.start()
    postgres.create("works")
    for gateway in gateways:
        gateway.until(partial(arrived, gateway))
    (order,) = one.orders()
    assert (order.asset, order.occurrence_count) == ("pump-1", 2), "one order of two alarms"
    assert struck < order.first_seen_at <= order.opened_at < came, "its times are the fault's"

    postgres.stop()
    strike(two, "pump-2")
    one.until(lambda: waits(one))
    read = one.ask("health")["judge"]["samples"]
    one.until(lambda: one.ask("health")["judge"]["samples"] > read)
    came = time.time_ns() // 1_000_000
    postgres.start()
    one.until(lambda: arrived(one))
    two.until(lambda: arrived(two))
    newest, first = one.orders()
    assert (newest.asset, newest.occurrence_count, first.number) == ("pump-2", 1, order.number)
    assert newest.opened_at < came
    with closing(Desk.open(one.site.core, site="works")) as desk:
        for number in (first.number, newest.number):
            one.until(partial(looked_back, desk, number))
    with closing(Desk.open(one.site.core, site="works")) as desk, desk.read() as read_core:
        assert {asset.code for asset in read_core.assets()} >= {"plc-1", "plc-2", "two-1", "two", "gateway"}
        assert read_core.verify().broken is None
