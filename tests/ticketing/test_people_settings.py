"""People and shifts of the site file, and the register that everybody reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.config import load_site
from gateway.mistakes import ConfigError
from gateway.register import Register, introduce
from ticketing import Actor, Desk, people
from ticketing import Person as Kept
from ticketing.people_settings import NAME, ShiftSettings

ROOT = Path(__file__).parents[2]
SITE = {
    "site.toml": '[site]\nid = "demo"\nname = "Demo"\n',
    "people.toml": """
[shift.night]
zone = "Asia/Shanghai"
days = ["mon", "tue"]
hours = ["22:00-06:00"]

[person.wang]
name = "王强"
role = "lead"
also = ["admin"]
shift = "night"
skills = ["VIB", "welding"]
""",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in SITE.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_file_introduces_people_and_the_core_keeps_them(folder: Path) -> None:
    site = load_site(folder)
    desk = Desk.open(folder / "core.db", site="demo")
    introduce(desk, site, 0)
    with desk.transaction() as tx:
        people.save(tx, Actor("root", frozenset({"admin"})), Kept("zhao", "赵敏"), 0)
    now = [0.0]
    register = Register(desk, lambda: now[0])
    assert {name: (each.name, each.roles) for name, each in register.items()} == {
        "wang": ("王强", ("admin", "lead")),
        "zhao": ("赵敏", ("technician",)),
    }
    introduce(desk, load_site(ROOT / "examples" / "demo"), 1)
    assert len(register) == 2
    now[0] += 1
    assert set(register) == {"wang", "li", "meyer", "zhao"}
    with desk.read() as read:
        monday_23h_in_shanghai = 1_767_625_200_000
        assert people.get(read, "wang").shift is None  # the demo site says no shift
        assert people.get(read, "li").on_shift(monday_23h_in_shanghai)
    desk.close()


def test_a_night_shift_reaches_into_the_next_day() -> None:
    shift = ShiftSettings(days=("mon",), hours=("22:00-06:00",)).calendar()
    person = Kept("wang", "王强", shift=shift)
    monday_21h = 1_767_618_000_000  # 2026-01-05 in Shanghai
    assert [person.on_shift(monday_21h + hours * 3_600_000) for hours in (0, 1, 8, 9, 24)] == [
        False,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("hours", ["8-17", "25:00-26:00", "08:00", "08:00-08:00", "a:b-c:d"])
def test_hours_that_are_none_are_refused(hours: str) -> None:
    with pytest.raises(ValidationError, match="06:00-14:00"):
        ShiftSettings(hours=(hours,))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('shift = "night"', 'shift = "nigth"', "did you mean 'night'?"),
        ("[person.wang]", "[person.engine]", "no name of our own hands"),
        ("[person.wang]", '[person."Wang Qiang"]', "lower-case"),
        ('also = ["admin"]', 'also = ["boss"]', "person.wang.also"),
    ],
)
def test_a_slip_is_named(folder: Path, old: str, new: str, said: str) -> None:
    (folder / "people.toml").write_text(SITE["people.toml"].replace(old, new))
    with pytest.raises(ConfigError, match=said):
        load_site(folder)


def test_file_and_core_agree_on_names() -> None:
    assert people.NAME.pattern == NAME.pattern


def test_the_examples_of_the_document_make_a_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    people_file, web, notify = re.findall(
        r"```toml\n(.*?)```", (ROOT / "docs/security.md").read_text(), re.DOTALL
    )
    (tmp_path / "people.toml").write_text(people_file)
    (tmp_path / "site.toml").write_text(SITE["site.toml"] + web + notify)
    (tmp_path / "watchkeeper_smtp").write_text("password")
    (tmp_path / "watchkeeper_wecom").write_text("https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=k")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("ERP_SECRET", "sixteen letters!")
    site = load_site(tmp_path)
    assert site.people["wang"].roles == ("lead", "admin")
    assert list(site.channels) == ["mail", "erp", "group"]
    assert site.web.secure
