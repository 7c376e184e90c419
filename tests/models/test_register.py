"""The register of versions: one live, one shadow, nothing lost, nothing foreign taken up."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from models import ModelError
from models.register import Card, Register, Standing


def card(at: int = 1) -> Card:
    return Card(
        kind="t2",
        at=at,
        by="meyer",
        why="asked for",
        source="history",
        start=0,
        end=100,
        rows=70,
        signals=("pump-1/vib_rms",),
        left_out={"pump-1/flow": "constant in commissioning"},
        figures={"days": 2.0, "alarms": 0.0},
        settings="{}",
    )


def test_a_version_begins_as_a_shadow_and_only_a_person_makes_it_live(tmp_path: Path) -> None:
    register = Register(tmp_path)
    first = register.add("watch", "pump-1", card(), b"one")
    assert first.id == "watch/pump-1/1"
    assert first.standing is Standing.SHADOW
    assert register.standing("watch", "pump-1", Standing.LIVE) is None
    register.promote(first.id, 5, "li", "quiet for a week")
    second = register.add("watch", "pump-1", card(6), b"two")
    assert register.version(first.id).standing is Standing.LIVE  # training promotes nothing
    third = register.add("watch", "pump-1", card(7), b"three")
    assert register.version(second.id).standing is Standing.RETIRED
    register.promote(third.id, 8, "li")
    standings = [version.standing for version in register.versions()]
    assert standings == [Standing.RETIRED, Standing.RETIRED, Standing.LIVE]
    moves = register.version(first.id).moves
    assert [(move.by, move.to) for move in moves] == [
        ("meyer", Standing.SHADOW),
        ("li", Standing.LIVE),
        ("li", Standing.RETIRED),
    ]
    assert "watch/pump-1/3 takes its place" in moves[-1].why
    assert register.version(third.id).card == card(7)
    assert register.state(register.version(third.id)) == b"three"


def test_machines_and_models_do_not_disturb_each_other(tmp_path: Path) -> None:
    register = Register(tmp_path)
    for model, asset in (("watch", "pump-1"), ("watch", "pump-2"), ("life", "pump-1")):
        register.promote(register.add(model, asset, card(), b"x").id, 2, "li")
    assert [version.standing for version in register.versions()] == [Standing.LIVE] * 3


def test_an_old_version_can_be_taken_back(tmp_path: Path) -> None:
    register = Register(tmp_path)
    old, new = (register.add("watch", "pump-1", card(), data).id for data in (b"one", b"two"))
    register.promote(new, 2, "li")
    register.promote(old, 3, "li", "the new one cried wolf")
    assert register.standing("watch", "pump-1", Standing.LIVE) == register.version(old)
    register.retire(old, 4, "li")
    assert register.standing("watch", "pump-1", Standing.LIVE) is None
    with pytest.raises(ModelError, match="retired already"):
        register.retire(old, 5, "li")


def test_a_file_that_is_gone_or_was_changed_is_refused(tmp_path: Path) -> None:
    register = Register(tmp_path)
    version = register.add("watch", "pump-1", card(), b"one")
    register.path(version).write_bytes(b"other")
    with pytest.raises(ModelError, match="not the file that was registered"):
        register.promote(version.id, 2, "li")
    register.path(version).unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        register.state(version)
    with pytest.raises(ModelError, match="there are watch/pump-1/1"):
        register.version("watch/pump-1/9")
    (tmp_path / "register.json").write_text(json.dumps([{"model": "watch"}]))
    with pytest.raises(ModelError, match="damaged"):
        register.versions()


def test_a_name_that_would_leave_the_folder_is_refused(tmp_path: Path) -> None:
    for model in ("../watch", "", "a/b", ".."):
        with pytest.raises(ModelError, match="cannot name a file"):
            Register(tmp_path).add(model, "pump-1", card(), b"x")
    with pytest.raises(ModelError, match="none has been trained yet"):
        Register(tmp_path).version("watch/pump-1/1")


def test_trainings_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: Register(tmp_path).add("watch", "pump-1", card(i), b"%d" % i), range(24)))
    found = Register(tmp_path).versions()
    assert sorted(version.number for version in found) == list(range(1, 25))
    assert sum(version.standing is Standing.SHADOW for version in found) == 1
