"""`watchkeeper alarms …` on a site folder, beside a daemon or without one."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.building import maintained
from gateway.commands import app
from gateway.config import load_site
from tests.ticketing.scene import raised
from ticketing import Desk

DEMO = Path(__file__).parents[2] / "examples" / "demo"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The demo site with two alarms of pump-1, one of them latched and clear again."""
    folder = Path(shutil.copytree(DEMO, tmp_path / "site"))
    known = load_site(folder)
    known.state.mkdir()
    now = time.time_ns() // 1_000_000
    desk = Desk.open(known.core, site=known.site.id)
    with desk.transaction() as tx:
        tx.sync_assets(maintained(known))
        tx.alarm_raised(raised("hot/1/pump-1/1", now - 5000, failure_mode="OHE", latch=True, rule_id="hot"))
        tx.alarm_cleared("hot/1/pump-1/1", now - 4000)
        tx.alarm_raised(raised("vib/1/pump-1/2", now - 3000, rule_id="vib"))
    desk.close()
    return folder


def alarms(site: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["alarms", *words, "--site", str(site)])


def listed(site: Path, *words: str) -> dict[str, bool]:
    return {
        a["episode"]: a["acked_at"] is not None
        for a in json.loads(alarms(site, "list", "--json", *words).stdout)
    }


def test_an_alarm_is_listed_acknowledged_and_gone_when_it_is_over(site: Path) -> None:
    shown = alarms(site, "list").stdout
    assert "latched" in shown
    assert "vib/1/pump-1/2" in shown
    done = alarms(site, "ack", "pump-1", "--note", "on my way")
    assert done.stdout == "2 alarms acknowledged\n"
    assert listed(site) == {"vib/1/pump-1/2": True}
    assert listed(site, "--all") == {"vib/1/pump-1/2": True, "hot/1/pump-1/1": True}
    assert "on my way" in alarms(site, "journal").stdout


def test_shelved_for_a_time_and_heard_again(site: Path) -> None:
    said = alarms(site, "shelve", "pump-1", "--for", "2h", "--reason", "test run", "--rule", "vib")
    assert said.exit_code == 0, said.output
    assert "shelved: rule vib on pump-1 until" in alarms(site, "list").stdout
    assert alarms(site, "unshelve", "pump-1", "--rule", "vib").stdout == "pump-1 is heard again\n"
    assert [e["kind"] for e in json.loads(alarms(site, "journal", "--json").stdout)] == [
        "raised", "cleared", "raised", "shelved", "unshelved",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("ack", "pump-9"), 1, "there is no asset pump-9"),
        (("ack", "no/such/episode"), 1, "there is no alarm no/such/episode"),
        (("shelve", "pump-1", "--for", "9h", "--reason", "x"), 1, "8 hours at most"),
        (("shelve", "pump-1", "--for", "soon", "--reason", "x"), 2, '"soon" is not a duration'),
        (("shelve", "pump-1", "--for", "1h", "--reason", " "), 1, "reason"),
        (("unshelve", "pump-1"), 1, "pump-1 is not shelved"),
        (("list", "--limit", "0"), 2, "--limit"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_would_do(
    site: Path, words: tuple[str, ...], code: int, says: str
) -> None:
    said = alarms(site, *words)
    assert said.exit_code == code
    assert says in said.output
