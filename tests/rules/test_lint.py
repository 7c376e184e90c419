"""What lint says of rules that load and still do not do what their author wants."""

from __future__ import annotations

from typing import Any

import pytest

from rules import Rule, RuleSettings, bind
from rules.lint import Quantity, of_binding, of_rule

SECOND = 1_000_000_000
GOOD: dict[str, Any] = {
    "title_zh": "振动过大",
    "title_en": "Vibration high",
    "failure_mode": "VIB",
    "scope": {"class": "pump"},
    "signals": {"v": "vib", "n": "speed"},
    "params": {"warn": 2.8, "high": 4.5},
    "when": [
        {"severity": 2, "expr": "v > warn and n > 300", "on_delay": "10m"},
        {"severity": 4, "expr": "v > high and n > 300", "on_delay": "30s"},
    ],
    "clear": {"deadband": {"v": 0.3, "n": 20}},
}
KNOWN = {
    "vib": Quantity("mm/s", (0.0, 50.0), SECOND),
    "speed": Quantity("rpm", (0.0, 4000.0), SECOND),
    "temp": Quantity("degC", (-40.0, 200.0), SECOND),
    "oil": Quantity("degF", (-40.0, 400.0), SECOND),
    "flow": Quantity("m3/h", None, None, read=False),
    "starts": Quantity("count", exact=True),
}


def said(**changes: Any) -> list[str]:
    rule = Rule("r", RuleSettings.model_validate(GOOD | changes))
    spans = {name: quantity.span for name, quantity in KNOWN.items()}
    return [*of_rule(rule), *of_binding(bind(rule, "p", spans), KNOWN)]


def one(expr: str, *, severity: int = 3, on_delay: str = "10s", **changes: Any) -> list[str]:
    """A rule with this one limit over the signals it names."""
    names = {"v": "vib", "n": "speed", "t": "temp", "o": "oil", "f": "flow", "s": "starts"}
    used = {
        alias: quantity
        for alias, quantity in names.items()
        if alias in expr.replace(",", " ").replace("(", " ").split()
    }
    when = [{"severity": severity, "expr": expr, "on_delay": on_delay}]
    return said(**({"signals": used, "params": {}, "when": when, "clear": {"deadband": 0.3}} | changes))


def test_a_good_rule_is_left_alone() -> None:
    assert said() == []


def test_a_missing_title_is_named_with_its_language() -> None:
    assert [line.partition(":")[0] for line in said(title_zh="")] == ["no title_zh"]


def test_what_is_declared_and_not_used() -> None:
    assert said(params=GOOD["params"] | {"spare": 1}) == ["parameter spare is not used"]
    assert said(signals=GOOD["signals"] | {"t": "temp"}) == ["signal t is not used"]
    assert said(params=GOOD["params"] | {"d": 0.3}, clear={"deadband": {"v": "d", "n": 20}}) == []


@pytest.mark.parametrize(
    ("expr", "why"),
    [
        ("v > 60", "v > 60 (limit 60) lies outside the range 0 … 50"),
        ("v < -1", "lies outside the range"),
        ("mean(v, '10m') > 51", "lies outside the range"),
        ("share(v > 5, '10m') > 1", "lies outside the range 0 … 1"),
        ("v > 5 and v < 3", "contradict each other"),
        ("(v > 5 or v > 7) and v < 3", "contradict each other"),
        ("n > 300 and v > 60", "v > 60"),
    ],
)
def test_a_limit_that_never_fires(expr: str, why: str) -> None:
    (line,) = one(expr)
    assert line.startswith("severity 3 never fires: ")
    assert why in line


@pytest.mark.parametrize(
    "expr", ["v > 5 or v > 60", "v - n > 1e9", "not (v > 5 and v < 3) and n > 300", "f > 1e6"]
)
def test_what_may_fire_is_not_called_dead(expr: str) -> None:
    assert not any("never fires" in line for line in one(expr))


def test_a_limit_that_always_holds_or_never_clears() -> None:
    assert "always holds" in one("v > -1")[0]
    assert "leaves no way back" in one("v > 5", clear={"deadband": 6})[0]


def test_a_warning_behind_a_higher_severity_is_never_seen() -> None:
    params = {"warn": 6.6, "high": 4.0}
    when = [when | {"on_delay": "10m"} for when in GOOD["when"]]
    assert said(params=params, when=when) == ["severity 2 is never seen: severity 4 always comes first"]


def test_no_delay_and_no_deadband_are_noise() -> None:
    assert "one wrong sample" in one("v > 5", on_delay="0s")[0]
    assert one("v > 5", on_delay="0s", severity=1) == []
    assert one("mean(v, '10m') > 5", on_delay="0s") == []
    assert "no deadband for v > 5" in one("v > 5", clear={})[0]
    assert one("rate(v, '10m') > 5", clear={}) == []
    assert one("n == 5", clear={}) == []
    assert one("s > 5", on_delay="0s", clear={}) == []


def test_units_that_do_not_go_together() -> None:
    assert one("t > o") == ["t > o compares degC with degF"]
    assert one("t - o > 5") == ["t - o > 5 mixes degC and degF"]
    assert one("t / max(v, 1) > 5") == []
    assert one("rate(t, '10m') > 0.5") == []


def test_a_signal_that_nothing_brings() -> None:
    assert "nothing brings p/flow: the rule waits for it for ever" in one("f > 5")


def test_a_pace_too_slow_for_the_rule() -> None:
    assert "run rule" in one("share(v > 5, '5s') >= 0.6")[0]
    assert one("share(v > 5, '5m') >= 0.6") == []
    assert "no statistics" in one("mean(v, '2s') > 5")[0]
    assert "timers stand still" in one("v > 5", quality={"max_gap": "2s"})[0]
