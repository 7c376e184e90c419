"""The rule tests that engineers write, run as they will be; and the notation they are written in."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

import pytest

from rules import cases

FILES = sorted((Path(__file__).parent / "cases").glob("*.toml"))


def load(path: Path) -> cases.Case:
    return cases.Case.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    assert cases.check(load(path), {}) == []


def test_a_wrong_expectation_is_named() -> None:
    case = load(next(path for path in FILES if path.stem == "dip-restarts-the-wait"))
    wrong = case.model_copy(
        update={"expect": (case.expect[0].model_copy(update={"severity": 2, "work_orders": 1}),)}
    )
    assert cases.check(wrong, {}) == [
        "at 31s: severity is 0, expected 2",
        "at 31s: work_orders needs a desk with work orders",
    ]
    assert cases.check(wrong, {}, lambda _: {"work_orders": 1}) == ["at 31s: severity is 0, expected 2"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1.8", [1.8]),
        ("1x2 -3", [1, 1, 1, -3]),
        ("1+0.5x2 2-1x1", [1, 1.5, 2, 2, 1]),
        ("_x2 5 _", [None, None, 5, None]),
    ],
)
def test_the_notation(text: str, wanted: list[float | None]) -> None:
    assert cases.samples(text) == wanted


def test_a_question_mark_is_a_sample_that_is_not_good() -> None:
    found = cases.samples("?x2")
    assert len(found) == 2
    assert all(value is not None and math.isnan(value) for value in found)


@pytest.mark.parametrize(
    "text", ["1x", "x3", "1.8*60", "_+1x3", "?-1x3", "1+2", "1x99999999", "abc", "1,8x3", "1x999999 1"]
)
def test_what_is_no_series(text: str) -> None:
    with pytest.raises(ValueError, match="series"):
        cases.samples(text)
