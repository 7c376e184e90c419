"""The README tells every key, code, rule and phase there is, and its examples load."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

import rules
from rules import FAILURE_MODES, Phase, RuleSettings, cases
from rules.functions import FUNCTIONS
from rules.grammar import RESERVED
from rules.settings import Clear, Quality, When, WorkOrder

ROOM = Path(rules.__file__).parent
README = (ROOM / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    return [prefix + (found.alias or name) for name, found in model.model_fields.items()]


@pytest.mark.parametrize(
    "key",
    keys(RuleSettings)
    + keys(When, "when.")
    + keys(Clear, "clear.")
    + keys(Quality, "quality.")
    + keys(WorkOrder, "work_order.")
    + keys(cases.Case)
    + keys(cases.Expect, "expect."),
)
def test_every_key_is_explained(key: str) -> None:
    if key in {"clear", "quality", "work_order", "expect"}:
        assert f"`{key}." in README
    else:
        assert f"`{key}`" in README


def test_every_failure_mode_and_phase_is_explained() -> None:
    assert re.findall(r"^\| `([A-Z]{3})` \|", README, re.MULTILINE) == sorted(FAILURE_MODES)
    assert all(f"\n| {phase} |" in README for phase in Phase)


def test_every_window_function_is_explained() -> None:
    assert all(f"`{function}`" in README for function in (*FUNCTIONS, "frozen", "stale"))


def test_every_rule_of_a_pack_stands_in_the_table() -> None:
    for path in (ROOM / "packs").glob("*.toml"):
        assert f"| `{path.stem}` |" in README
        for name in tomllib.loads(path.read_text(encoding="utf-8"))["rule"]:
            assert f"| {name} |" in README


def test_its_rules_load() -> None:
    forms = [form for kind, text in BLOCKS if kind == "toml" for form in tomllib.loads(text)["rule"].values()]
    assert len([RuleSettings.model_validate(form) for form in forms]) >= 2


def test_its_test_passes() -> None:
    text = next(text for _, text in BLOCKS if "[[expect]]" in text)
    assert cases.check(cases.Case.model_validate(tomllib.loads(text)), {}) == []


def test_its_expressions_parse() -> None:
    text = next(text for _, text in BLOCKS if "abs(t1 - t2)" in text)
    for line in text.splitlines():
        names = set(re.findall(r"(?<!')\b[a-z]\w*", line[:42])) - RESERVED
        params = names & {"duty", "high", "part", "running", "warn"}
        rules.grammar.parse(line[:42], names - params, params)
