"""`watchkeeper rules …` as an engineer uses it: on a real site folder, over real recordings, to its exit code."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
import time
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from devices.batch import Batch, signal_set
from gateway import picture, recording, running
from gateway.building import build_panel
from gateway.commands import app
from gateway.config import load_site
from gateway.history import History, HistorySettings
from gateway.spool import Entry

DEMO = Path(__file__).parents[2] / "examples" / "demo"
T0, SECOND, MINUTE = 1_790_000_000_000_000_000, 1_000_000_000, 60_000_000_000
START = "2026-01-05T00:00:00Z"


def watchkeeper(*words: object) -> Result:
    return CliRunner().invoke(app, ["rules", *map(str, words)])


def simulated(folder: Path, scenario: str, asset: str, hours: float, period: str, *more: str) -> Path:
    """A recording of the simulated plant with its labels beside it."""
    out = folder / f"{asset}-{scenario}.csv"
    words = [sys.executable, "-m", "simulators", "csv", scenario, "--asset", asset, "--out", str(out)]
    words += ["--hours", str(hours), "--period", period, "--start", START, *more]
    subprocess.run(words, check=True, capture_output=True)
    return out


@pytest.fixture
def site(tmp_path: Path) -> Path:
    return shutil.copytree(DEMO, tmp_path / "site")


@pytest.fixture(scope="module")
def wear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A day of pump-1 at one sample in ten seconds; its bearing begins to wear at noon."""
    return simulated(tmp_path_factory.mktemp("recorded"), "bearing_wear", "pump-1", 24, "10s")


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


# -------------------------------------------------------------------------------------- lint and test


def test_lint_has_nothing_against_the_demo() -> None:
    found = watchkeeper("lint", DEMO, "--strict")
    assert (found.exit_code, found.stdout) == (0, "")
    assert "no mistake, no warnings" in found.stderr


def test_lint_names_mistakes_and_warnings(site: Path) -> None:
    change(
        site / "rules.toml", "params = { high = 80, deadband = 3 }", "params = { high = 300, deadband = 3 }"
    )
    change(site / "devices.toml", '"fan-1/filter_dp" = { path = "filter_dp" }\n', "")
    found = watchkeeper("lint", site)
    assert found.exit_code == 0
    assert "rule.bearing-hot (pump-1, motor-1, fan-1): severity 3 never fires" in found.stdout
    assert "rule.filter-clogged (fan-1): nothing brings filter_dp" in found.stdout
    assert watchkeeper("lint", site, "--strict").exit_code == 1
    change(site / "rules.toml", 't = "bearing_temp"', 't = "bearing_tmp"')
    wrong = watchkeeper("lint", site)
    assert wrong.exit_code == 2
    assert "did you mean 'bearing_temp'?" in wrong.stderr


def test_the_demos_own_tests_pass_and_say_so_as_junit(tmp_path: Path) -> None:
    found = watchkeeper("test", DEMO, "--junit", tmp_path / "out.xml")
    assert found.exit_code == 0, found.stdout
    suite = ElementTree.parse(tmp_path / "out.xml").getroot()
    assert suite.get("tests") == str(len(list((DEMO / "tests").glob("*.toml"))))
    assert suite.get("failures") == "0"


def test_a_rule_that_was_changed_fails_its_test(site: Path, tmp_path: Path) -> None:
    change(site / "rules.toml", "high = 4.5", "high = 9")
    found = watchkeeper("test", site, "--junit", tmp_path / "out.xml")
    assert found.exit_code == 1
    assert "FAIL  bearing-wear-opens-one-order.toml" in found.stdout
    assert re.search(r"at 47m: severity is \d, expected 3", found.stdout)
    suite = ElementTree.parse(tmp_path / "out.xml").getroot()
    assert suite.get("failures") == "1"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (
            'title = "x"\nrules = ["none"]\n[series]\nv = "1"\n[[expect]]\nat = "1s"\n',
            "the site has no rule none",
        ),
        ('title = "x"\nrules = ["vibration"]\n[series]\nspeed = "1"\n[[expect]]\nat = "1s"\n', "vib_rms"),
        ('title = "x"\nrules = ["vibration"]\n[series]\nspeed = "1*3"\n[[expect]]\nat = "1s"\n', "1.8x60"),
        ("title = ", "is not TOML"),
    ],
)
def test_a_file_that_is_no_test_is_one_clear_line(tmp_path: Path, text: str, wanted: str) -> None:
    file = tmp_path / "case.toml"
    file.write_text(text)
    found = watchkeeper("test", DEMO, file)
    assert found.exit_code == 1
    assert wanted in found.stdout
    assert "Traceback" not in found.output


# -------------------------------------------------------------------------------------- backtest


def test_a_backtest_says_which_order_would_have_opened(wear: Path, tmp_path: Path) -> None:
    found = watchkeeper("backtest", DEMO, "--csv", wear, "--json", "--report", tmp_path / "report")
    assert found.exit_code == 0, found.output
    body = json.loads(found.stdout)
    (order,) = body["work_orders"]
    assert (order["asset"], order["failure_mode"], order["severity"]) == ("pump-1", "VIB", 3)
    assert "3.5 mm/s" in order["why"]["en"]
    assert "振动" in order["why"]["zh"]
    assert body["rules"]["vibration"]["alarms"] == 1
    assert body["rules"]["bearing-hot"]["alarms"] == 0
    page = (tmp_path / "report" / "index.html").read_text()
    assert "本会开出的工单" in page or "Work orders that would have opened" in page
    assert page.count("<svg") == 1
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    (plot,) = (tmp_path / "report").glob("plot-*.png")
    head, size = plot.read_bytes()[:8], struct.unpack(">II", plot.read_bytes()[16:24])
    assert (head, size[0] > 1400, plot.stat().st_size > 20_000) == (b"\x89PNG\r\n\x1a\n", True, True)


def test_without_typst_a_report_has_no_png_and_says_what_would_do(
    wear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old plot does not stay beside a new page."""
    (tmp_path / "plot-7.png").touch()
    monkeypatch.setattr(picture, "available", lambda: False)
    found = watchkeeper("backtest", DEMO, "--csv", wear, "--rule", "vibration", "--report", tmp_path)
    assert "pip install 'watchkeeper[pdf]'" in found.stderr
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]


def test_a_backtest_may_look_at_one_rule_and_one_part(wear: Path) -> None:
    before = watchkeeper("backtest", DEMO, "--csv", wear, "--rule", "vibration", "--to", "2026-01-05T12:00")
    assert before.exit_code == 0, before.output
    assert "no work order would have opened" in before.stdout
    assert "bearing-hot" not in before.stdout


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["--rule", "none"], "no rule none; there are: vibration"),
        (["--from", "yesterday"], "a time is"),
        (["--from", "1h", "--to", "2h"], "ends before it begins"),
        (["--csv", "nowhere.csv"], "nowhere.csv cannot be read"),
        (["--from", "2020-01-01", "--to", "2020-01-02"], "has no samples"),
    ],
)
def test_what_cannot_be_played_is_one_line(words: list[str], wanted: str) -> None:
    found = watchkeeper("backtest", DEMO, *words)
    assert found.exit_code == 1
    assert wanted in found.stderr
    assert found.stderr.count("\n") == 1


def test_columns_without_an_asset_want_one(wear: Path, tmp_path: Path) -> None:
    nameless = tmp_path / "export.csv"
    nameless.write_text(wear.read_text())
    assert "--asset" in watchkeeper("backtest", DEMO, "--csv", nameless).stderr
    assert watchkeeper("backtest", DEMO, "--csv", nameless, "--asset", "pump-1").exit_code == 0


# -------------------------------------------------------------------------------------- tune


def test_tuning_finds_a_limit_between_health_and_fault(tmp_path: Path) -> None:
    words = ["--scenario", "imbalance", "--repeats", 1, "--healthy", 1, "--report", tmp_path / "report"]
    found = watchkeeper("tune", DEMO, "vibration", *words)
    assert found.exit_code == 0, found.output
    proposal = tomllib.loads(found.stdout.partition("proposal:\n")[2].partition("mind:")[0])
    assert 2.0 < proposal["rule"]["vibration"]["params"]["high"] < 4.5
    assert "mind: severity 2 is never seen" in found.stdout  # its warning stands at 3.5
    assert re.search(r"^ *4\.5 +0 +.* (min|h) +1 +0  now$", found.stdout, re.MULTILINE)
    assert tomllib.loads((tmp_path / "report" / "proposal.toml").read_text()) == proposal
    assert (tmp_path / "report" / "index.html").read_text().count("<circle") > 10


def test_an_asset_with_its_own_number_gets_its_own_proposal(site: Path, wear: Path) -> None:
    change(
        site / "assets.toml",
        'criticality = "A"',
        'criticality = "A"\nparams = { vibration = { high = 9.0 } }',
    )
    words = ["--param", "high", "--csv", wear, "--value", 3, "--value", 4]
    found = watchkeeper("tune", site, "vibration", *words)
    assert found.exit_code == 0, found.output
    assert "[asset.pump-1.params.vibration]\nhigh = 3\n" in found.stdout
    assert "mind: severity 2 is never seen" in found.stdout
    assert re.search(r"^ *9 .*now$", found.stdout, re.MULTILINE)


def test_tuning_on_a_labelled_file_and_values_of_ones_own(wear: Path, tmp_path: Path) -> None:
    values = [word for value in (3, 4.5, 20) for word in ("--value", value)]
    found = watchkeeper("tune", DEMO, "vibration", "--param", "high", "--csv", wear, *values)
    assert found.exit_code == 0, found.output
    assert re.search(r"^ *20 +0 +- +0 +1 *$", found.stdout, re.MULTILINE)  # found none, missed one
    labelled = tmp_path / "pump-1.csv"  # the same by its column alone
    labelled.write_text(wear.read_text())
    again = watchkeeper("tune", DEMO, "vibration", "--param", "high", "--csv", labelled, *values)
    assert re.search(r"^ *3 +0 .* 1 +0", again.stdout, re.MULTILINE)


def test_tuning_on_the_sites_own_history(site: Path, tmp_path: Path) -> None:
    state = load_site(site).state
    state.mkdir()
    history = History(state / "history.db", HistorySettings())
    signals = signal_set("plc-1", ("pump-1/vib_rms", "pump-1/speed"))
    begin = time.time_ns() // MINUTE * MINUTE - 600 * MINUTE
    for minute in range(600):
        vibration = 2.0 if minute < 400 else 6.0
        batch = Batch(
            signals, begin + minute * MINUTE, 0, np.array([vibration, 1480.0]), np.zeros(2, np.uint8)
        )
        history.write([Entry(minute + 1, (batch,), 2, 2 * minute, batch.time)])
    history.close()
    labels = tmp_path / "faults.csv"
    onset, end = ((begin + minute * MINUTE) / 1e9 for minute in (390, 600))
    iso = [datetime.fromtimestamp(at, UTC).isoformat() for at in (onset, end)]
    labels.write_text(f"asset,start,end\npump-1,{iso[0]},{iso[1]}\nfan-1,{iso[0]},{iso[1]}\n")
    words = ["--labels", labels, "--from", "11h", "--param", "high", "--value", "3", "--value", "7"]
    found = watchkeeper("tune", site, "vibration", *words)
    assert found.exit_code == 0, found.output
    assert re.search(r"^ *3 +0 +11.0 min +1 +0", found.stdout, re.MULTILINE), found.stdout
    assert re.search(r"^ *7 +0 +- +0 +1 *$", found.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "code", "wanted"),
    [
        (["vibration"], 2, "--scenario bearing_wear"),
        (["none", "--scenario", "imbalance"], 1, "no rule none"),
        (["vibration", "--param", "hi", "--scenario", "imbalance"], 1, "no parameter hi; it has: warn, high"),
        (["vibration", "--scenario", "rust", "--healthy", "0.1"], 1, "no scenario 'rust'"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(words: list[str], code: int, wanted: str) -> None:
    found = watchkeeper("tune", DEMO, *words)
    assert (found.exit_code, found.stderr.count("\n")) == (code, 1), found.output
    assert wanted in found.stderr


# -------------------------------------------------------------------------------------- diff

SHADOW = """
[rule.vibration-2]
title_zh = "振动过大"
title_en = "Vibration high"
mode = "shadow"
failure_mode = "VIB"
scope = { class = "pump" }
signal = "vib_rms"
above = 2.8
severity = 3
on_delay = "1m"
"""


def test_diff_says_how_much_earlier_the_shadow_would_have_opened(site: Path, wear: Path) -> None:
    with (site / "rules.toml").open("a") as rules:
        rules.write(SHADOW)
    found = watchkeeper("diff", site, "--csv", wear)
    assert found.exit_code == 1, found.output
    assert re.search(r"pump-1 +VIB .* vibration .* vibration-2 +shadow \d\.\d h earlier", found.stdout)
    assert "1 differ, 0 alike" in found.stderr


def test_diff_knows_what_was_promoted_to_shadow(site: Path, wear: Path) -> None:
    assert watchkeeper("promote", site, "vibration", "--to", "shadow", "--reason", "try").exit_code == 0
    found = watchkeeper("diff", site, "--csv", wear)
    assert re.search(r"pump-1 +VIB +no order .* vibration +only shadow", found.stdout), found.output


def test_diff_against_another_rules_file(site: Path, wear: Path, tmp_path: Path) -> None:
    same = watchkeeper("diff", site, "--csv", wear, "--against", site)
    assert (same.exit_code, same.stdout.strip()) == (0, "no work order differs")
    other = tmp_path / "draft.toml"
    other.write_text(
        (site / "rules.toml").read_text().replace("warn = 3.5, high = 4.5", "warn = 30, high = 45")
    )
    found = watchkeeper("diff", site, "--csv", wear, "--against", other)
    assert found.exit_code == 1
    assert re.search(r"pump-1 +VIB .* no order +only live", found.stdout)


def test_diff_with_nothing_to_compare_is_one_line(wear: Path, tmp_path: Path) -> None:
    nothing = watchkeeper("diff", DEMO, "--csv", wear)
    assert (nothing.exit_code, nothing.stderr.count("\n")) == (2, 1)
    assert "--against" in nothing.stderr
    bad = tmp_path / "bad.toml"
    bad.write_text('[rule.x]\nfailure_mode = "VIP"\nscope = { class = "pump" }\nsignal = "v"\nabove = 1\n')
    wrong = watchkeeper("diff", DEMO, "--csv", wear, "--against", bad)
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1)
    assert '"VIP" is no failure mode' in wrong.stderr


# -------------------------------------------------------------------------------------- recordings


def test_a_backtest_of_a_recording_decides_as_the_panel_did_live(tmp_path: Path) -> None:
    site = load_site(DEMO)
    signals = signal_set("plc-1", ("pump-1/vib_rms", "pump-1/speed", "pump-1/bearing_temp"))
    panel, live, entries = build_panel(site), [], []
    view = panel.view(signals.names)
    chance = np.random.default_rng(0)
    for second in range(3000):
        vibration = 3.2 + 1.6 * np.sin(second / 300) + 0.2 * chance.standard_normal()
        values = np.array([vibration, 1480.0, 60 + 25 * (second > 2000)])
        quality = np.array([0x81 if second % 97 == 0 else 0, 0, 0], np.uint8)
        batch = Batch(signals, T0 + second * SECOND, 0, values, quality)
        live += panel.judge(view, batch.time, batch.values, batch.quality)
        entries.append(Entry(second + 1, (batch,), 3, 3 * second, batch.time))
    file = tmp_path / "monday.jsonl.gz"
    recording.write(file, site.site.id, recording.lines(entries, {}))
    found = watchkeeper("backtest", DEMO, "--recording", file, "--json")
    assert found.exit_code == 0, found.output
    body = json.loads(found.stdout)
    raised = [t for t in live if t.kind == "raised" and not running.tells(t.rule)]
    assert len(raised) > 2
    assert sum(each["alarms"] for each in body["rules"].values()) == len(raised)
    told = {(a["rule_id"], a["raised_at"]) for order in body["work_orders"] for a in order["alarms"]}
    assert told <= {(t.rule, t.time // 1_000_000) for t in raised}
    assert {order["failure_mode"] for order in body["work_orders"]} == {"VIB", "OHE"}


def test_what_is_no_recording_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "x.gz"
    file.write_text("no")
    found = watchkeeper("backtest", DEMO, "--recording", file)
    assert (found.exit_code, found.stderr.count("\n")) == (1, 1)
    assert "is no recording" in found.stderr
