"""`people` and `permissions`, as whoever keeps the gateway uses them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from gateway.commands import app

ROOT = Path(__file__).parents[2]
PASSWORD = "a long walk by the river\n"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    for file in (ROOT / "examples" / "demo").glob("*.toml"):
        shutil.copy(file, tmp_path)
    return tmp_path


def run(site: Path, *words: str, given: str = "") -> Result:
    return CliRunner().invoke(app, [*words, "--site", str(site)], input=given)


def test_the_first_account_a_token_and_the_book(site: Path) -> None:
    assert "Nobody can sign in" in run(site, "people", "list").stdout
    words = ("people", "add", "zhao", "--role", "admin", "--called", "赵敏", "--password-stdin")
    assert "can sign in" in run(site, *words, given=PASSWORD).stdout
    assert "Nobody" not in run(site, "people", "list").stdout
    made = run(site, "people", "token", "make", "zhao", "--scope", "kpi.*", "--for", "ERP")
    assert made.stdout.startswith("watchkeeper_")
    mark = made.stdout.split("_")[1]
    assert mark in run(site, "people", "token", "list").stdout
    assert run(site, "people", "token", "revoke", mark).exit_code == 0
    assert run(site, "people", "token", "revoke", mark).exit_code == 1
    again = run(site, "people", "add", "zhao", "--role", "admin", "--role", "lead")
    assert "admin, lead" in again.stdout
    body = json.loads(run(site, "people", "list", "--json").stdout)
    assert {"name": "zhao", "title": "赵敏", "account": True}.items() <= next(
        each for each in body if each["name"] == "zhao"
    ).items()
    assert "token_revoked" in run(site, "people", "log").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("add", "zhao", "--role", "boss", "--password-stdin"), "roles are viewer"),
        (("add", "Zhao", "--role", "lead", "--password-stdin"), "will not do"),
        (("add", "wang", "--role", "admin", "--password-stdin"), "people.toml"),
        (("password", "nobody", "--password-stdin"), "nobody called 'nobody'"),
        (("remove", "nobody"), "nobody called 'nobody'"),
        (("token", "make", "wang", "--scope", "all"), "no permission is called all"),
    ],
)
def test_a_mistake_is_one_line(site: Path, words: tuple[str, ...], said: str) -> None:
    result = run(site, "people", *words, given=PASSWORD)
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_easy_password_is_refused(site: Path) -> None:
    result = run(site, "people", "password", "wang", "--password-stdin", given="watchkeeper12\n")
    assert (result.exit_code, "little more than" in result.stderr) == (2, True)


def test_the_matrix_is_printed_whole() -> None:
    from ticketing import matrix

    body = json.loads(CliRunner().invoke(app, ["permissions", "--json"]).stdout)
    assert {(name, role): body[name][role] for name in body for role in body[name]} == {
        (cell.permission, cell.role): cell.answer for cell in matrix()
    }
