"""The starter packs on the simulated plant: silent while it is well, and each finds its own fault."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import rules
from gateway.workbench.packs import NAME_PLATES, packs
from rules import Bound, Panel, Rule, RuleSettings, Transition, bind, lint
from simulators.faults import Fault, fault
from simulators.machines import MACHINES
from simulators.plant import signals

PACKS = sorted((Path(rules.__file__).parent / "packs").glob("*.toml"))
MONDAY = 1_767_571_200  # 2026-01-05T00:00:00Z
DAY = 86_400


def pack(name: str) -> list[Rule]:
    path = next(path for path in PACKS if path.stem == name)
    forms = tomllib.loads(path.read_text(encoding="utf-8"))["rule"]
    return [Rule(name, RuleSettings.model_validate(form)) for name, form in forms.items()]


def bound(name: str) -> list[Bound]:
    kind = name.partition("-")[0]
    quantities = {name: quantity.healthy for name, quantity in MACHINES[kind].quantities.items()}
    return [bind(rule, f"{kind}-1", quantities, NAME_PLATES.get(rule.id)) for rule in pack(name)]


def judge(name: str, start: int, seconds: int, step: int, faults: Sequence[Fault] = ()) -> list[Transition]:
    """What the pack says to the simulated machine, one sample every ``step`` s."""
    kind = name.partition("-")[0]
    times = np.arange(start, start + seconds, step)
    columns = signals(f"{kind}-1", times, faults)
    rows = np.column_stack(list(columns.values()))
    quality = np.where(np.isnan(rows), 0x81, 0).astype(np.uint8)
    panel = Panel(bound(name))
    view = panel.view([f"{kind}-1/{name}" for name in columns])
    said: list[Transition] = []
    for time, row, good in zip(times.tolist(), rows, quality, strict=True):
        said += panel.judge(view, time * 1_000_000_000, row, good)
    return said


def test_there_is_a_pack_for_each_simulated_machine() -> None:
    advanced = {f"{kind}-advanced" for kind in MACHINES}
    assert {path.stem for path in PACKS} == set(MACHINES) | advanced == {pack.name for pack in packs()}


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_a_pack_names_the_source_of_its_limits_and_speaks_both_languages(path: Path) -> None:
    for rule in pack(path.stem):
        settings = rule.settings
        assert rule.id.startswith(path.stem.partition("-")[0])
        assert settings.title_en, rule.id
        assert settings.title_zh, rule.id
        assert any(word in settings.note for word in ("ISO", "IEC", "API", "manual", "common practice")), (
            rule.id
        )
        assert settings.scope.asset_class == path.stem.partition("-")[0]


@pytest.mark.parametrize("kind", MACHINES)
def test_silent_through_a_healthy_week(kind: str) -> None:
    assert judge(kind, MONDAY, 7 * DAY, 60) == []


@pytest.mark.parametrize(
    ("kind", "scenario", "finds"),
    [
        ("pump", "bearing_wear", "pump-vibration"),
        ("pump", "imbalance", "pump-vibration"),
        ("pump", "cavitation", "pump-low-pressure"),
        ("pump", "overheating", "pump-bearing-hot"),
        ("motor", "bearing_wear", "motor-vibration"),
        ("motor", "overheating", "motor-winding-hot"),
        ("compressor", "bearing_wear", "compressor-vibration"),
        ("compressor", "overheating", "compressor-oil-hot"),
        ("compressor", "oil_loss", "compressor-oil-pressure-low"),
        ("fan", "bearing_wear", "fan-vibration"),
        ("fan", "clogged_filter", "fan-filter-clogged"),
        ("fan", "overheating", "fan-bearing-hot"),
        ("gearbox", "bearing_wear", "gearbox-vibration"),
        ("gearbox", "overheating", "gearbox-oil-hot"),
        ("gearbox", "oil_loss", "gearbox-oil-pressure-low"),
    ],
)
def test_a_fault_is_found_while_it_grows(kind: str, scenario: str, finds: str) -> None:
    onset = MONDAY + 3_600
    one = fault(f"{kind}-1", scenario, onset)
    said = judge(kind, MONDAY, 3_600 + int(3 * one.ramp), 10, [one])
    raised = {t.rule: t.time / 1e9 - onset for t in said if t.kind == "raised"}
    assert finds in raised
    assert 0 < raised[finds] < 3 * one.ramp


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_lint_has_nothing_against_a_pack(path: Path) -> None:
    kind = path.stem.partition("-")[0]
    known = {name: lint.Quantity(quantity.unit) for name, quantity in MACHINES[kind].quantities.items()}
    assert [text for rule in pack(path.stem) for text in lint.of_rule(rule)] == []
    assert [text for found in bound(path.stem) for text in lint.of_binding(found, known)] == []


@pytest.mark.parametrize(
    ("kind", "scenario", "finds"),
    [
        ("pump", "cavitation", "pump-cavitation"),
        ("motor", "overheating", "motor-warming"),
        ("motor", "sensor_stuck", "motor-sensor-stuck"),
        ("fan", "clogged_filter", "fan-flow-low"),
        ("compressor", "overheating", "compressor-oil-warming"),
        ("gearbox", "bearing_wear", "gearbox-bearing-over-oil"),
    ],
)
def test_an_advanced_pack_is_silent_and_then_finds_its_fault(kind: str, scenario: str, finds: str) -> None:
    onset = MONDAY + DAY
    one = fault(f"{kind}-1", scenario, onset)
    grown = int(max(2 * one.ramp, 7_200))
    said = judge(f"{kind}-advanced", MONDAY, DAY + grown, 60, [one])
    raised = {t.rule: t.time / 1e9 - onset for t in said if t.kind == "raised"}
    assert min(raised.values()) > 0
    assert raised[finds] < grown
