"""What a panel keeps when rules are changed and when the gateway starts again."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from rules import Bound, Panel, Phase, Rule, RuleSettings, Transition, bind

SECOND = 1_000_000_000
QUANTITIES = {"v": (0.0, 10.0), "n": None, "w": None}


def bound(name: str, expr: str, asset: str = "a", on_delay: str = "0s", **changes: Any) -> Bound:
    form = {
        "failure_mode": "VIB",
        "scope": {"class": "pump"},
        "signals": {key: key for key in "vnw" if f"{key} " in expr or f"{key}," in expr},
        "params": {"high": 3.0},
        "when": [{"severity": 3, "expr": expr, "on_delay": on_delay}],
        "quality": {"max_gap": "60s"},
    }
    return bind(Rule(name, RuleSettings.model_validate(form | changes)), asset, QUANTITIES)


def judge(panel: Panel, second: int, **values: float) -> list[str]:
    """One batch of these quantities of asset a; what was said."""
    view = panel.view([f"a/{name}" for name in values])
    said = panel.judge(
        view, second * SECOND, np.array(list(values.values())), np.zeros(len(values), np.uint8)
    )
    return [f"{t.rule} {t.kind}" for t in said]


def told(said: list[Transition]) -> list[str]:
    return [f"{t.rule} {t.kind}" for t in said]


def restarted(panel: Panel, *bounds: Bound) -> Panel:
    other = Panel(bounds)
    assert other.load(panel.dump()) == []
    return other


def test_rules_of_mode_off_are_left_out() -> None:
    assert judge(Panel([bound("r", "v > high", mode="off")]), 1, v=5) == []


def test_an_unchanged_rule_goes_on_when_others_change() -> None:
    slow, gone = bound("slow", "v > high", on_delay="3s"), bound("gone", "v > high")
    panel = Panel([slow, gone])
    assert judge(panel, 1, v=5) == ["gone raised"]
    assert judge(panel, 2, v=5) == []
    said = panel.rebind(
        [bound("new", "v > high"), bound("slow", "v > high", on_delay="3s", title_en="Other words")]
    )
    assert told(said) == ["gone withdrawn"]
    assert said[0].time == 1 * SECOND
    assert judge(panel, 3, v=5) == ["new raised"]
    assert judge(panel, 4, v=5) == ["slow raised"]  # three seconds since the first sample


def test_a_changed_rule_starts_anew_and_its_episode_is_withdrawn() -> None:
    panel = Panel([bound("r", "v > high")])
    view = panel.view(["a/v"])
    first = panel.judge(view, SECOND, np.array([5.0]), np.zeros(1, np.uint8))[0]
    (withdrawn,) = panel.rebind([bound("r", "v > high", params={"high": 4.0})])
    assert (withdrawn.kind, withdrawn.episode, withdrawn.since) == ("withdrawn", first.episode, first.time)
    assert withdrawn.decision is None
    again = panel.judge(view, 2 * SECOND, np.array([5.0]), np.zeros(1, np.uint8))[0]  # the view is still good
    assert again.kind == "raised"
    assert again.episode != first.episode


def test_a_rule_that_was_only_pending_goes_without_a_word() -> None:
    panel = Panel([bound("r", "v > high", on_delay="9s")])
    judge(panel, 1, v=5)
    assert panel.rebind([]) == []


def test_a_restart_with_other_rules_withdraws_what_they_no_longer_hold() -> None:
    panel = Panel([bound("r", "v > high"), bound("kept", "v > high")])
    judge(panel, 1, v=5)
    other = Panel([bound("r", "v > high", params={"high": 4.0}), bound("kept", "v > high")])
    assert told(other.load(panel.dump())) == ["r withdrawn"]
    assert [(b.rule.id, s.phase) for b, s in other.states()] == [("kept", Phase.ACTIVE)]


def test_a_restart_repeats_nothing_and_forgets_nothing() -> None:
    panel = Panel([bound("r", "v > high")])
    assert judge(panel, 1, v=5) == ["r raised"]
    panel = restarted(panel, bound("r", "v > high"))
    assert judge(panel, 1, v=1) == []  # the same second once more: known already
    assert judge(panel, 2, v=5) == []
    assert judge(panel, 3, v=1) == ["r cleared"]


def test_an_input_that_came_before_the_restart_still_counts() -> None:
    rule = bound("r", "not v > high and n > 1")
    panel = Panel([rule])
    judge(panel, 1, v=1)
    judge(panel, 1, n=0)
    judge(panel, 2, v=1)
    panel = restarted(panel, rule)
    assert judge(panel, 3, n=2) == ["r raised"]


def test_a_value_that_only_the_clock_asks_for_is_kept() -> None:
    rule = bound("r", "v > high and stale(v, '3s')")
    panel = Panel([rule])
    panel.tick(SECOND)
    judge(panel, 1, v=5)
    panel = restarted(panel, rule)
    assert panel.tick(4 * SECOND) == []
    assert told(panel.tick(5 * SECOND)) == ["r raised"]


def test_a_new_rule_counts_silence_from_its_own_beginning() -> None:
    old, new = bound("old", "stale(v, '9s')"), bound("new", "stale(w, '9s')")
    panel = Panel([old])
    for second in range(0, 100, 5):
        judge(panel, second, v=1)
        panel.tick(second * SECOND)
    assert panel.rebind([old, new]) == []
    judge(panel, 100, v=1)
    assert panel.tick(100 * SECOND) == []
    judge(panel, 105, v=1)
    assert panel.tick(110 * SECOND) == []  # a minute of grace
    for second in range(110, 165, 5):
        judge(panel, second, v=1)
        if second <= 160:
            assert panel.tick(second * SECOND) == []
    assert told(panel.tick(161 * SECOND)) == ["new raised"]


def test_a_restart_makes_nothing_stale_and_clears_nothing_that_was() -> None:
    short, long = bound("v", "stale(v, '9s')"), bound("w", "stale(w, '9s')")
    panel = Panel([short, long])
    panel.tick(0)
    judge(panel, 0, v=1, w=1)
    judge(panel, 5, v=1)
    assert told(panel.tick(10 * SECOND)) == ["w raised"]
    panel = restarted(panel, short, long)
    # v is unknown for a minute, w stays what it was
    assert panel.tick(40 * SECOND, started=38 * SECOND) == []
    assert [(found.rule.id, state.severity) for found, state in panel.states()] == [("w", 3)]
    assert panel.tick(98 * SECOND, started=38 * SECOND) == []
    assert told(panel.tick(99 * SECOND, started=38 * SECOND)) == ["v raised"]


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version 99, this release reads 1"):
        Panel([]).load(json.dumps({"version": 99}).encode())


def test_a_quiet_panel_keeps_little() -> None:
    bounds = [bound("r", "v > high", asset=f"a{i}") for i in range(1000)]
    panel = Panel(bounds)
    for i in range(1000):
        panel.judge(panel.view([f"a{i}/v"]), SECOND, np.array([1.0]), np.zeros(1, np.uint8))
    assert len(panel.dump()) < 30 * 1000
