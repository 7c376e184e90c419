"""The form of a rule: what it accepts, what it refuses and how it says so, and what makes a new version."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st
from pydantic import ValidationError

from rules import Rule, RuleError, RuleSettings, bind
from rules.duration import nanoseconds, parse_duration, write_duration

FORM = tomllib.loads("""
failure_mode = "VIB"
scope = { class = "pump" }
signals = { v = "vib_rms", n = "rpm" }
params = { warn = 2.8, high = 4.5, deadband = 0.3 }
suppress_during_work = true
mode = "shadow"
[[when]]
severity = 2
expr = "v > warn and n > 300"
on_delay = "10m"
[[when]]
severity = 4
expr = "v > high and n > 300"
on_delay = "60s"
[clear]
deadband = "deadband"
off_delay = "5m"
[quality]
max_gap = "30s"
[work_order]
key = "asset_failure_mode"
min_active = { 2 = "10m", 4 = "0s" }
verify = "24h"
self_clear = true
""")


def form(**changes: Any) -> dict[str, Any]:
    return {key: value for key, value in (FORM | changes).items() if value is not None}


def settings(**changes: Any) -> RuleSettings:
    return RuleSettings.model_validate(form(**changes))


def test_the_example_of_the_handbook_loads() -> None:
    found = settings()
    assert [when.on_delay for when in found.when] == [timedelta(minutes=10), timedelta(seconds=60)]
    assert found.work_order.wait(2) == timedelta(minutes=10)
    assert found.work_order.wait(3) == timedelta(minutes=1)
    assert found.work_order.wait(4) == timedelta(0)
    assert found.work_order.wait(1) is None
    assert (found.mode, found.suppress_during_work) == ("shadow", True)
    assert found.scope.covers("pump-9", "pump")
    assert not found.scope.covers("pump-9", "fan")


def test_the_short_form_is_only_short() -> None:
    short = RuleSettings.model_validate(
        {
            "failure_mode": "PDE",
            "scope": {"assets": ["pump-1"]},
            "signal": "flow",
            "below": 20,
            "above": 90,
            "severity": 2,
            "on_delay": "30s",
        }
    )
    long = RuleSettings.model_validate(
        {
            "failure_mode": "PDE",
            "scope": {"assets": ["pump-1"]},
            "signals": {"value": "flow"},
            "params": {"above": 90, "below": 20},
            "when": [
                {"severity": 2, "expr": "value > above", "on_delay": "30s"},
                {"severity": 2, "expr": "value < below", "on_delay": "30s"},
            ],
        }
    )
    assert short == long
    assert short.content_hash == long.content_hash


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"failure_mode": "VBI"}, '"VBI" is no failure mode; one of AIR, BRD'),
        ({"scope": {}}, "a scope is either"),
        ({"scope": {"class": "pump", "assets": ["pump-1"]}}, "a scope is either"),
        ({"signals": {}}, "at least 1 item"),
        ({"signals": {"v.x": "vib"}}, '"v.x" cannot be a name'),
        ({"signals": {"and": "vib"}}, '"and" cannot be a name'),
        ({"signals": {"max": "vib"}}, '"max" cannot be a name'),
        ({"signals": {"v": "vib rms", "n": "rpm"}}, '"vib rms" is no quantity'),
        ({"params": {"v": 3}}, '"v" is a signal and a parameter'),
        (
            {"params": {"warn": "high", "high": "warn"}},
            "per asset",
        ),  # no parameter refers to another: no cycles
        ({"params": {"warn": float("inf")}}, "finite"),
        ({"params": {"warn": 1e300}}, "less than or equal to"),
        ({"when": []}, "at least 1 item"),
        ({"when": [{"severity": 5, "expr": "v > 1"}]}, "less than or equal to 4"),
        ({"when": [{"severity": 3, "expr": "v > 1", "on_delay": "soon"}]}, '"soon" is not a duration'),
        ({"when": [{"severity": 3, "expr": "v > 1", "on_delay": "-1s"}]}, "is not a duration"),
        ({"when": [{"severity": 3, "expr": "v > 1", "on_delay": "9999d"}]}, "between 0 s and 366 days"),
        ({"when": [{"severity": 3, "expr": "v > lim"}]}, 'unknown name "lim"'),
        ({"when": [{"severity": 3, "expr": "v > 1", "delay": "1s"}]}, "Extra inputs are not permitted"),
        ({"clear": {"deadband": "deadbnad"}}, '"deadbnad" is neither a parameter nor a share'),
        ({"clear": {"deadband": -1}}, "greater than or equal to 0"),
        ({"clear": {"deadband": {"x": 1}}}, '"x" is no signal of the rule; it has v, n'),
        ({"quality": {"max_gap": "0s"}}, "longer than 0 s"),
        ({"work_order": {"key": "rule"}}, "asset_failure_mode"),
        ({"work_order": {"min_active": {"5": "1m"}}}, "less than or equal to 4"),
        ({"mode": "on"}, "'live', 'shadow' or 'off'"),
        ({"signal": "vib_rms", "above": 3}, "short form"),
        ({"signal": "vib_rms", "signals": None, "when": None}, '"signal" needs "above" or "below"'),
        (
            {"when": [{"severity": 3, "expr": " or ".join(f"mean(v, '{i}m') > 3" for i in range(1, 10))}]},
            "at most 8 time windows",
        ),
        ({"titel_en": "x"}, "Extra inputs are not permitted"),
    ],
)
def test_a_mistake_is_refused_with_a_reason(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(**changes)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"title_en": "Vibration", "title_zh": "振动", "note": "asked by the shift"}, True),
        ({"mode": "live"}, True),
        ({"latch": True}, False),
        ({"params": FORM["params"] | {"warn": 2.9}}, False),
        ({"clear": {"deadband": "deadband", "off_delay": "6m"}}, False),
        ({"work_order": {"verify": "12h"}}, False),
    ],
)
def test_what_makes_a_new_version(changes: dict[str, Any], same: bool) -> None:
    assert (settings().content_hash == settings(**changes).content_hash) is same


def test_an_asset_may_have_its_own_parameters() -> None:
    rule = Rule("vib", settings())
    spans = {"vib_rms": (0.0, 50.0), "rpm": None}
    usual, other, own = (
        bind(rule, a, spans, p) for a, p in (("p1", None), ("p2", {}), ("p3", {"warn": 3.2}))
    )
    assert usual.program is other.program
    assert usual.hash != own.hash
    assert own.program.params == {"warn": 3.2, "high": 4.5, "deadband": 0.3}
    assert own.inputs == ("p3/vib_rms", "p3/rpm")


@pytest.mark.parametrize(
    ("changes", "spans", "overrides", "says"),
    [
        ({}, {"rpm": None}, {}, "rule vib on p1: the asset has no quantity vib_rms; it has: rpm"),
        ({}, {}, {"wran": 3}, "rule vib has no parameter wran; it has: warn, high, deadband (asset p1)"),
        ({}, {}, {"deadband": -1}, "the deadband deadband is -1 and must not be negative"),
        ({"clear": {"deadband": "2%"}}, {}, {}, "a deadband in % needs a range for vib_rms"),
        ({"params": FORM["params"] | {"warn": "per asset"}}, {}, {}, "parameter warn has no usual value"),
        (
            {"when": [{"severity": 3, "expr": "v > 1 / (high - 4.5)"}]},
            {},
            {},
            "is not a number; is a parameter 0?",
        ),
        (
            {"when": [{"severity": 3, "expr": "v > high - 1e15 * high * 1e300"}]},
            None,
            {},
            "a number lies between",
        ),
    ],
)
def test_what_does_not_fit_an_asset(
    changes: dict[str, Any], spans: dict[str, None] | None, overrides: dict[str, float], says: str
) -> None:
    with pytest.raises((RuleError, ValidationError)) as refused:
        bind(Rule("vib", settings(**changes)), "p1", spans or {"vib_rms": None, "rpm": None}, overrides)
    assert says in str(refused.value)


def test_a_share_of_the_span_is_a_deadband() -> None:
    rule = Rule("vib", settings(clear={"deadband": {"v": "2%"}}))
    found = bind(rule, "p1", {"vib_rms": (0.0, 50.0), "rpm": None})
    assert {test.text: test.deadband for test in found.program.tests} == {
        "v > warn": 1,
        "v > high": 1,
        "n > 300": 0,
    }


def test_a_deadband_eases_windows_in_the_unit_of_the_signal_only() -> None:
    expr = "mean(v, '5m') > 3 or rate(v, '5m') > 3 or share(v > 3, '5m') > 0.5 or stale(v, '5m') or v > 3"
    rule = Rule("vib", settings(when=[{"severity": 3, "expr": expr}], clear={"deadband": 0.3}))
    found = bind(rule, "p1", {"vib_rms": None, "rpm": None})
    assert [test.deadband for test in found.program.tests] == [0.3, 0, 0, 0, 0.3]
    assert [(w.function, w.signal, w.length // 10**9) for w in found.windows] == [
        ("mean", "p1/vib_rms", 300),
        ("rate", "p1/vib_rms", 300),
        ("share", "p1/vib_rms", 300),
        ("age", "p1/vib_rms", 300),
    ]


@settings_of_hypothesis(deadline=None)
@given(st.integers(0, 366 * 86_400_000))
def test_durations_are_read_as_they_are_written(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(write_duration(duration)) == duration
    assert nanoseconds(duration) == milliseconds * 1_000_000


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "10s5m", "1.5.2s", "5M", "-5s", "5s5s", "1e3s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


def test_a_duration_beyond_all_reason_is_refused_like_any_other() -> None:
    with pytest.raises(ValueError, match="longer than"):
        parse_duration("999999999d999999999h")
