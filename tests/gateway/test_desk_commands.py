"""The ticket core by command line: as a user types it, and what a mistake is told."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.commands import app

ROOT = Path(__file__).parents[2]
RESOLVED = ("symptom=ELU", "mechanism=leakage", "remedy=replace")
ARTICLE = """
asset_class = "pump"
failure_mode = "ELU"
title_zh = "机封漏油"
title_en = "Leaking seal"
body_zh = "更换机封。"
mechanism = "leakage"
remedy = "replace"
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A copy of the demo's files, its state beside them."""
    shutil.copytree(ROOT / "examples" / "demo", tmp_path / "site", ignore=shutil.ignore_patterns("state"))
    return tmp_path / "site"


def say(site: Path, *words: str, code: int = 0) -> Result:
    """What the command answers; its exit code must be ``code``."""
    result = CliRunner().invoke(app, list(words), env={"WATCHKEEPER_SITE": str(site), "COLUMNS": "200"})
    assert result.exit_code == code, result.output
    return result


@pytest.mark.needs("fonts")
def test_an_order_from_report_to_document(site: Path) -> None:
    made = say(
        site, "orders", "create", "pump-1", "机封漏油", "--failure-mode", "ELU", "--as", "li", "--json"
    )
    number = json.loads(made.output)["number"]
    again = say(site, "orders", "create", "pump-1", "又漏", "--failure-mode", "ELU", code=1)
    assert number in again.stderr
    say(site, "orders", "move", number, "assign", "assignee=li", "--as", "wang")
    assert (
        "start is for assignee" in say(site, "orders", "move", number, "start", "--as", "wang", code=1).stderr
    )
    say(site, "orders", "move", number, "start", "--as", "li")
    late = say(site, "orders", "move", number, "resolve", *RESOLVED, "--version", "1", "--as", "li", code=1)
    assert "changed meanwhile" in late.stderr
    assert "colour" in say(site, "orders", "move", number, "resolve", *RESOLVED, "colour=red", code=1).stderr
    booked = ("cost_kind=labour", "cost_fen=20050", "minutes=90")
    say(site, "orders", "move", number, "add_cost", *booked, "--as", "li")
    assert "200.50" in say(site, "orders", "costs", number).output
    say(site, "orders", "move", number, "resolve", *RESOLVED, "--as", "li")
    say(site, "orders", "move", number, "sign_off", "stars=5", "--as", "wang")
    document = say(site, "orders", "document", number).stdout_bytes
    kept = site / "signed.json"
    kept.write_bytes(document)
    assert (
        hashlib.sha256(document).hexdigest()
        in say(site, "orders", "document", number, "--check", str(kept)).output
    )
    kept.write_bytes(document.replace(b"replace", b"repair"))
    assert (
        "is not what wang signed"
        in say(site, "orders", "document", number, "--check", str(kept), code=1).stderr
    )
    assert "机封漏油" in say(site, "orders", "document", number, "--html").output
    paper = site / "signed.pdf"
    say(site, "orders", "document", number, "--pdf", str(paper))
    assert "is what wang signed" in say(site, "orders", "document", number, "--check", str(paper)).output
    paper.write_bytes(
        paper.read_bytes().replace(b"/Rotate 0", b"/Rotate 9").replace(b"/FontFile", b"/FontFole")
    )
    assert "its pages" in say(site, "orders", "document", number, "--check", str(paper), code=1).stderr


def test_who_is_nobody_and_what_is_nothing(site: Path) -> None:
    assert "pump-9" in say(site, "orders", "create", "pump-9", "x", code=1).stderr
    assert "nobody" in say(site, "orders", "create", "pump-1", "x", "--as", "nobody", code=1).stderr
    assert "WO-1" in say(site, "orders", "move", "WO-1", "start", code=1).stderr
    assert "no such file" in say(site, "orders", "attach", "WO-1", "nothing.png", code=2).stderr
    assert "assign" in say(site, "orders", "moves").output


def test_articles_are_written_found_ranked_and_judged(site: Path) -> None:
    file = site / "article.toml"
    file.write_text(ARTICLE)
    assert "KB-000001 published" in say(site, "kb", "add", str(file), "--publish").output
    assert "KB-000001" in say(site, "kb", "list", "seal").output
    assert "更换机封" in say(site, "kb", "show", "KB-000001").output
    made = say(site, "orders", "create", "pump-1", "机封漏油", "--failure-mode", "ELU", "--json")
    number = json.loads(made.output)["number"]
    assert "same failure mode +4" in say(site, "kb", "rank", number).output
    assert "nothing to ask" in say(site, "kb", "eval", code=1).stderr
    for move in (("assign", "assignee=li"), ("start",), ("resolve", *RESOLVED)):
        who = "wang" if move[0] == "assign" else "li"
        say(site, "orders", "move", number, *move, "--as", who)
    say(site, "orders", "move", number, "sign_off", "stars=5", "--as", "wang")
    assert json.loads(say(site, "kb", "eval", "--json").output)["articles"] == {
        "asked": 1,
        "silent": 0,
        "hits": 1,
    }
    file.write_text('asset_class = "pump"\ncolour = 1')
    assert "no colour" in say(site, "kb", "add", str(file), code=2).stderr


def test_figures_and_plans(site: Path) -> None:
    assert "time in state" in say(site, "kpis").output
    assert "would do" in say(site, "kpis", "--from", "yesterday", code=2).stderr
    titles = ("润滑", "Grease")
    plan = ("plans", "add", "grease-1", "pump-1", *titles)
    say(site, *plan, "--every", "30d", "--first", "2030-01-01", "--lead", "2d", "--task", "加脂|grease")
    say(site, "plans", "add", "oil-1", "pump-1", *titles, "--every", "500:hours", "--first", "500")
    listed = say(site, "plans", "list").output
    assert "30 d" in listed
    assert "500 hours" in listed
    assert "no duration" in say(site, *plan, "--every", "often", "--first", "2030-01-01", code=2).stderr


def test_old_orders_come_in_once_and_go_out(site: Path) -> None:
    say(site, "import", "template", str(site / "old.csv"))
    assert (
        "1 good (would be kept)" in say(site, "import", "history", str(site / "old.csv"), "--dry-run").output
    )
    assert "1 kept, 0 were known" in say(site, "import", "history", str(site / "old.csv")).output
    assert "0 kept, 1 were known" in say(site, "import", "history", str(site / "old.csv")).output
    with (site / "old.csv").open("a") as file:
        file.write("OLD-2,pump-9,x,2025-01-01,2025-01-02\n")
    said = say(site, "import", "history", str(site / "old.csv"), "--rejects", str(site / "bad.csv"), code=1)
    assert "row 2, 设备: 'pump-9'" in said.output
    assert "pump-9" in (site / "bad.csv").read_text()
    for name in ("out.csv", "out.json"):
        say(site, "export", str(site / name))
        assert "泵振动大" in (site / name).read_text()
    assert "its ending" in say(site, "export", str(site / "out.pdf"), code=2).stderr
