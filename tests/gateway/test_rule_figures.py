"""`watchkeeper rules figures`: what alarms were worth, and a new limit for a rule that cries too often."""

from __future__ import annotations

import json
import shutil
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from devices.batch import Batch, signal_set
from gateway.building import build_store, maintained
from gateway.commands import app
from gateway.config import load_site
from gateway.spool import Entry
from gateway.workbench.recorded import HeldPast, Track
from gateway.workbench.stretch import Stretch
from gateway.workbench.worst import _lesson
from tests.ticketing.scene import LEAD, TECHNICIAN, raised
from ticketing import Desk
from ticketing.kpi.alarms import AlarmOutcome

DEMO = Path(__file__).parents[2] / "examples" / "demo"
RULE = "vibration"
S, MINUTE = 1_000_000_000, 60_000_000_000
DONE = {"symptom": "VIB", "mechanism": "wear", "remedy": "replace", "stop_kind": "none"}


def figures(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["rules", "figures", str(folder), *words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = Path(shutil.copytree(DEMO, tmp_path / "site"))
    load_site(folder).state.mkdir()
    return folder


def lived(folder: Path, bumps: list[tuple[int, float, str]], until: int = 600) -> None:
    """The vibration of pump-1, one sample in 10 s, of the last ``until`` minutes: 2 mm/s but for ``bumps`` of a minute.

    Each is an alarm; a bump is (minute, height, what became of its order).
    """
    site = load_site(folder)
    store, signals = build_store(site), signal_set("plc-1", ("pump-1/vib_rms", "pump-1/speed"))
    begin = time.time_ns() // MINUTE * MINUTE - until * MINUTE
    heights = {minute: height for minute, height, _ in bumps}
    entries = []
    for i in range(6 * until):
        at = begin + i * 10 * S
        x = heights.get(i // 6, 2.0)
        batch = Batch(signals, at, at, np.array([x, 1480.0]), np.zeros(2, np.uint8))
        entries.append(Entry(i + 1, (batch,), 2, 2 * i, at))
    store.write(entries)
    store.close()
    desk = Desk.open(site.core, site=site.site.id)
    with desk.transaction() as tx:
        tx.sync_assets(maintained(site))
    for minute, _, came in bumps:
        at = (begin + minute * MINUTE) // 1_000_000 + 10_000
        with desk.transaction() as tx:
            number = tx.alarm_raised(raised(f"e{minute}", at, rule_id=RULE)).number
            tx.alarm_cleared(f"e{minute}", at + 80_000)
            if came != "open":
                assert number is not None
                outcome(tx, number, at + 90_000, came)
    desk.close()


def outcome(tx, number: str, at: int, came: str) -> None:  # type: ignore[no-untyped-def]
    order = tx.order(number)
    if came == "false_alarm":
        tx.move(number, "cancel", LEAD, order.version, at, cancel_reason="not_needed")
        return
    tx.move(number, "assign", LEAD, order.version, at, assignee=TECHNICIAN.name)
    tx.move(number, "start", TECHNICIAN, order.version + 1, at)
    tx.move(number, "resolve", TECHNICIAN, order.version + 2, at + 600_000, outcome="worked", **DONE)


BUMPS = [(40 * n, 4.7 + 0.05 * n, "false_alarm") for n in range(1, 9)] + [(500, 7.4, "worked")]


def test_a_rule_that_cries_gets_the_nearest_limit_that_keeps_what_helped(folder: Path) -> None:
    lived(folder, BUMPS)
    said = figures(folder, "--propose", "--past", "1d")
    assert said.exit_code == 0, said.output
    assert "mind: none of its alarms" not in said.stdout
    proposal = tomllib.loads(said.stdout.partition("proposal:\n")[2].partition("mind:")[0])
    assert 5.1 < proposal["rule"][RULE]["params"]["high"] < 5.2
    assert "over 24 h of local history, alarms that led to work: 1" in said.stdout
    body = json.loads(figures(folder, "--propose", "--past", "1d", "--json").stdout)["proposals"][0]
    now, *_, last = body["trade_off"]
    assert (now["value"], now["needless"], now["kept"], now["missed"]) == (4.5, 8, 1, 0)
    assert (last["value"], last["needless"], last["kept"]) == (body["proposed"], 0, 1)


def test_nothing_is_proposed_that_would_have_lost_what_helped(folder: Path) -> None:
    """The bump that led to work is among the others: only a longer delay could tell, and that is not there."""
    lived(folder, [*BUMPS[:-1], (500, 4.72, "worked")])
    body = json.loads(figures(folder, "--propose", "--past", "1d", "--json").stdout)["proposals"][0]
    assert body["proposed"] is None
    assert "look at the sensor" in body["why"]
    assert any(point["needless"] == 0 and point["missed"] == 1 for point in body["trade_off"])


def test_alarms_that_nobody_has_decided_about_count_neither_way(folder: Path) -> None:
    lived(folder, [(60, 4.8, "open"), (120, 4.9, "open")])
    said = figures(folder, "--propose", "--past", "1d")
    assert "left out, silent or on orders not decided yet: 2" in said.stdout
    assert "no proposal: played over the past it is quiet already" in said.stdout


def test_without_a_past_there_is_a_reason_and_no_proposal(folder: Path) -> None:
    site = load_site(folder)
    desk = Desk.open(site.core, site=site.site.id)
    with desk.transaction() as tx:
        tx.sync_assets(maintained(site))
        tx.alarm_raised(raised("e", time.time_ns() // 1_000_000 - 60_000, rule_id=RULE))
    desk.close()
    assert "no proposal: pump-1 has no samples of pump-1/vib_rms" in figures(folder, "--propose").stdout


def test_alarms_of_one_repair_are_one_fault() -> None:
    """The second came while nobody had finished what the first had asked for."""
    hour, past = 3_600_000, HeldPast("p", {"a/v": Track(np.array([0, 1]), np.zeros(2))})
    told = [AlarmOutcome("a", at * hour, None, "helped", 9 * hour) for at in (1, 4)]
    told.append(AlarmOutcome("a", 20 * hour, None, "helped", 22 * hour))
    (first, second) = _lesson("a", told, Stretch(past, 0, 30 * hour * 1_000_000)).faults
    assert (first.onset, first.lost) == ((hour - 600_000) * 1_000_000, 9 * hour * 1_000_000)
    assert second.onset > first.end
