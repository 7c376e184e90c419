"""``orders.toml``: what it says holds for new orders; what makes no sense is named before anything opens."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.channels import policy_of
from gateway.config import load_site
from gateway.mistakes import ConfigError
from ticketing import Policy
from ticketing.records import DAY, HOUR, MINUTE

ROOT = Path(__file__).parents[2]
WHOLE = """
route = true
signed = [1, 2]
pausing = ["parts"]
holidays = [2026-10-01]
hours = { zone = "Asia/Shanghai", days = ["mon", "tue"], hours = ["08:00-12:00", "13:00-17:00"] }

[target.1]
ack = "10m"
resolve = "3h"

[target.4]
ack = "1d"
resolve = "30d"
working = true

[[approval]]
yuan = 5000
role = "manager"

[[approval]]
yuan = 500
role = "lead"

[step.late]
clock = "resolve"
role = "director"
before = "30m"

[skill]
VIB = ["mechanics"]

[goal.satisfaction]
green = 95
amber = 90

[field.meter]
kind = "number"
zh = "表读数"
en = "meter reading"
low = 0

[field.shift]
kind = "choice"
zh = "班次"
en = "shift"
choices = { day = ["白班", "day"], night = ["夜班", "night"] }
needed = "open"
"""


def policy(tmp_path: Path, text: str) -> Policy:
    folder = tmp_path / "site"
    shutil.copytree(ROOT / "examples" / "demo", folder, ignore=shutil.ignore_patterns("state"))
    (folder / "orders.toml").write_text(text)
    return policy_of(load_site(folder))


def test_everything_said_holds(tmp_path: Path) -> None:
    found = policy(tmp_path, WHOLE)
    assert (found.targets[1].ack, found.targets[1].resolve) == (10 * MINUTE, 3 * HOUR)
    assert found.targets[2] == Policy().targets[2]
    assert found.targets[4].working
    assert found.calendar is not None
    assert found.calendar.holidays == ("2026-10-01",)
    assert found.calendar_of(4) is found.calendar
    assert found.approvals == ((500_00, "lead"), (5000_00, "manager"))
    assert [(step.name, step.before) for step in found.steps] == [("late", 30 * MINUTE)]
    assert (found.pausing, found.signed, found.route) == (("parts",), (1, 2), True)
    assert [field.name for field in found.fields] == ["meter", "shift"]
    assert found.targets[4].resolve == 30 * DAY
    assert found.goals == {"satisfaction": (95.0, 90.0)}


def test_without_the_file_the_defaults_hold(tmp_path: Path) -> None:
    assert policy(tmp_path, "") == Policy()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("routes = true", "routes"),
        ('[target.5]\nack = "1h"\nresolve = "2h"', "target"),
        ('[target.1]\nack = "soon"\nresolve = "2h"', "ack"),
        ('[target.1]\nack = "1h"\nresolve = "2h"\nworking = true', "hours"),
        ('[[approval]]\nyuan = 0\nrole = "lead"', "yuan"),
        ('[[approval]]\nyuan = 5\nrole = "king"', "role"),
        ('pausing = ["lunch"]', "pausing"),
        ('[field.a]\nkind = "choice"\nzh = ""\nen = ""', "choices"),
        ("[goal.happiness]\ngreen = 1\namber = 2", "goal"),
        ("[goal.backlog]\ngreen = 2\namber = 2", "green"),
        ('[field.A-b]\nkind = "text"\nzh = ""\nen = ""', "field"),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        policy(tmp_path, text)
    assert any(told in str(mistake) for mistake in refusal.value.mistakes)
    assert all(mistake.file == "orders.toml" for mistake in refusal.value.mistakes)
