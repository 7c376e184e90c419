"""`watchkeeper rules promote | stages | history | figures`, and a running judge that follows."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from signal import SIGKILL

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from devices.batch import GOOD, Batch, signal_set
from gateway.building import build_panel, build_store, maintained
from gateway.commands import app
from gateway.config import load_site
from gateway.spool import Entry
from tests.gateway.running import Running
from tests.ticketing.scene import raised
from ticketing import Desk

DEMO = Path(__file__).parents[2] / "examples" / "demo"
S = 1_000_000_000
RULE = "bearing-hot"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The demo site with one of its rules in shadow."""
    folder = Path(shutil.copytree(DEMO, tmp_path / "site"))
    rules = folder / "rules.toml"
    text = rules.read_text().replace(f"[rule.{RULE}]\n", f'[rule.{RULE}]\nmode = "shadow"\n')
    rules.write_text(text)
    return folder


@pytest.fixture
def past(folder: Path) -> None:
    """An hour in which the bearing of pump-1 was hot for ten minutes."""
    site = load_site(folder)
    site.state.mkdir()
    store = build_store(site)
    begin, signals = time.time_ns() // S * S - 3600 * S, signal_set("plc", ("pump-1/bearing_temp",))
    batches = []
    for second in range(0, 3600, 5):
        value = 95.0 if 1200 <= second < 1800 else 60.0
        at = begin + second * S
        batches.append(Batch(signals, at, at, np.array([value]), np.array([GOOD], np.uint8)))
    store.write([Entry(i, (batch,), 1, 0, batch.time) for i, batch in enumerate(batches, 1)])
    store.close()


def rules(verb: str, folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["rules", verb, str(folder), *words])


def stage(folder: Path) -> tuple[str, str]:
    found = json.loads(rules("stages", folder, "--json").stdout)
    return next((each["stage"], each["assets"]) for each in found if each["rule"] == RULE)


@pytest.mark.usefixtures("past")
def test_a_rule_goes_live_by_way_of_a_canary_and_its_history_says_why(folder: Path) -> None:
    assert stage(folder) == ("shadow", "")
    said = rules(
        "promote", folder, RULE, "--canary", "pump-1", "--reason", "quiet for a month", "--expect", "2 a year"
    )
    assert said.exit_code == 0, said.output
    assert "it would have raised 1 alarms and opened 1 orders" in said.stdout
    assert "no gateway is running" in said.stdout
    assert stage(folder) == ("canary", "pump-1")
    assert rules("promote", folder, RULE, "--reason", "the canary found a bearing").exit_code == 0
    assert stage(folder) == ("live", "")
    history = rules("history", folder, RULE).stdout
    for part in (
        "canary on pump-1, by console: quiet for a month",
        "hoped for: 2 a year",
        "live, by console",
    ):
        assert part in history
    (canary, live) = json.loads(rules("history", folder, RULE, "--json").stdout)["steps"]
    assert (canary["backtest"]["orders"], live["seq"]) == (1, 2)


@pytest.mark.usefixtures("past")
def test_each_asset_is_judged_as_its_step_says(folder: Path) -> None:
    rules("promote", folder, RULE, "--canary", "pump-1", "--reason", "try")
    site = load_site(folder)
    desk = Desk.open(site.core, site=site.site.id)
    with desk.read() as read:
        steps = read.rule_stages()
    desk.close()
    panel = build_panel(site, steps)
    names = ("pump-1/bearing_temp", "motor-1/bearing_temp")
    view, modes = panel.view(names), {}
    for second in range(60):
        for said in panel.judge(view, second * S, np.array([95.0, 95.0]), np.zeros(2, np.uint8)):
            modes[said.asset] = said.mode
    assert modes == {"pump-1": "live", "motor-1": "shadow"}


def test_without_a_past_it_goes_live_by_force_and_with_a_reason_only(folder: Path) -> None:
    refused = rules("promote", folder, RULE, "--reason", "hurry")
    assert (refused.exit_code, "hold no samples" in refused.output) == (1, True)
    assert stage(folder) == ("shadow", "")
    assert rules("promote", folder, RULE, "--reason", "asked by the shift", "--force").exit_code == 0
    assert stage(folder) == ("live", "")


@pytest.mark.usefixtures("past")
def test_a_rule_that_is_changed_stands_where_its_file_says(folder: Path) -> None:
    rules("promote", folder, RULE, "--reason", "good")
    file = folder / "rules.toml"
    file.write_text(
        file.read_text().replace(
            "params = { high = 80, deadband = 3 }", "params = { high = 81, deadband = 3 }"
        )
    )
    assert stage(folder) == ("shadow", "")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("promote", "bearing-hott", "--reason", "x"), 2, "no rule bearing-hott; there are: vibration"),
        (
            ("promote", RULE, "--reason", "x", "--canary", "pump-9"),
            2,
            "does not watch pump-9; it watches: pump-1",
        ),
        (("promote", RULE, "--reason", " ", "--to", "shadow"), 1, "reason"),
        (
            ("promote", RULE, "--reason", "x", "--to", "draft"),
            1,
            "a rule stands in shadow, canary, live, retired",
        ),
        (("promote", RULE, "--reason", "x", "--last", "soon"), 1, "soon"),
        (("history", RULE), 1, "no version of it raised an alarm"),
        (("figures", "--last", "soon"), 2, '"soon" is not a duration'),
    ],
)
def test_a_mistake_is_one_line_that_says_what_would_do(
    folder: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    verb, *rest = words
    said = rules(verb, folder, *rest)
    assert said.exit_code == code
    assert says in said.output


def test_figures_name_the_worst_rule_and_what_may_help(folder: Path) -> None:
    site = load_site(folder)
    site.state.mkdir()
    desk, now = Desk.open(site.core, site=site.site.id), time.time_ns() // 1_000_000 - 600_000
    with desk.transaction() as tx:
        tx.sync_assets(maintained(site))
        for n in range(5):
            tx.alarm_raised(raised(f"e{n}", now + 4000 * n, rule_id=RULE))
            tx.alarm_cleared(f"e{n}", now + 4000 * n + 1000)
    desk.close()
    said = rules("figures", folder).stdout
    assert "alarms an hour" in said
    assert "widen its deadband" in said
    body = json.loads(rules("figures", folder, "--json").stdout)
    assert (body["site"]["alarms"], body["site"]["chattering"]) == (5, 1)
    assert (body["rules"][0]["rule_id"], body["rules"][0]["fleeting"]) == (RULE, 5)


TURNING = """
[rule.turning]
failure_mode = "VIB"
mode = "shadow"
scope = { class = "pump" }
signal = "vib_rms"
above = 0.1
severity = 4
"""


def test_a_running_gateway_follows_at_once_and_after_a_kill(tmp_path: Path) -> None:
    """What shadow saw becomes an order; retired, it ends as withdrawn and stays away."""
    gateway = Running(tmp_path / "site")
    try:
        gateway.write("rules.toml", TURNING)
        gateway.start()
        gateway.until(lambda: standing(gateway) == [("turning", "shadow")])
        words = ["rules", "promote", str(gateway.folder), "turning", "--reason", "it turns", "--force"]
        said = gateway.command(*words)
        assert "the gateway follows" in said.stdout, said.stderr
        assert "opened WO-" in said.stdout
        assert standing(gateway) == [("turning", "live")]
        gateway.end(SIGKILL)
        gateway.start()
        gateway.until(lambda: gateway.ask("health")["judge"]["samples"] > 20)
        assert [order.occurrence_count for order in gateway.orders()] == [1]
        gateway.command(*words, "--to", "retired")
        gateway.until(lambda: standing(gateway) == [])
    finally:
        gateway.close()


def standing(gateway: Running) -> list[tuple[str, str]]:
    with Desk.open(gateway.site.core, site="works").read() as read:
        return [
            (alarm.rule_id, alarm.mode) for alarm in read.alarms(standing=True) if alarm.asset == "pump-1"
        ]
