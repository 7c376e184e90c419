"""The life of a rule's versions, and what becomes of alarms that were raised in shadow."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ticketing.scene import T0, raised
from ticketing import Actor, Desk, FieldError, ForbiddenError, MissingFieldError, RuleStep
from ticketing.records import HOUR, MINUTE
from ticketing.stages import mode_of

ENGINEER = Actor("zhao", frozenset({"engineer"}))


def take(desk: Desk, stage: str, at: int = T0 + HOUR, who: Actor = ENGINEER, **more: Any) -> list[str]:
    step = RuleStep(
        **{
            "rule_id": "vib",
            "sha256": "hash-1",
            "stage": stage,
            "at": at,
            "reason": "quiet for a month",
            **more,
        }
    )
    with desk.transaction() as tx:
        tx.take_rule_step(who, step, '{"limit":4.5}')
        return [decision.kind for decision in tx.decisions]


def in_shadow(desk: Desk, *assets: str) -> None:
    with desk.transaction() as tx:
        for asset in assets:
            tx.alarm_raised(raised(asset, asset=asset, rule_id="vib", mode="shadow"))


def test_each_step_keeps_who_why_and_what_for(desk: Desk) -> None:
    take(desk, "canary", assets=("pump-1",), expected="one order a month", backtest={"orders": 1})
    take(desk, "live", T0 + 2 * HOUR, reason="the canary found a bearing")
    with desk.read() as read:
        first, second = read.rule_steps("vib")
        assert (first.seq, first.stage, first.assets, first.author) == (1, "canary", ("pump-1",), "zhao")
        assert (first.expected, first.backtest) == ("one order a month", {"orders": 1})
        assert (second.seq, second.stage, second.reason) == (2, "live", "the canary found a bearing")
        assert read.rule_stages() == {"vib": second}
        assert [version.sha256 for version in read.rule_versions("vib")] == ["hash-1"]


@pytest.mark.parametrize(
    ("stage", "modes"),
    [
        ("shadow", {"pump-1": "shadow", "pump-2": "shadow"}),
        ("canary", {"pump-1": "live", "pump-2": "shadow"}),
        ("live", {"pump-1": "live", "pump-2": "live"}),
        ("retired", {"pump-1": "off", "pump-2": "off"}),
    ],
)
def test_what_a_stage_means_on_each_asset(stage: str, modes: dict[str, str]) -> None:
    step = RuleStep("vib", "h", stage, 0, "r", ("pump-1",) if stage == "canary" else ())
    assert {asset: mode_of(step, asset) for asset in modes} == modes


def test_what_shadow_saw_opens_an_order_where_the_rule_goes_live(desk: Desk) -> None:
    in_shadow(desk, "pump-1", "fan-1")
    assert take(desk, "canary", assets=("pump-1",)) == ["opened"]
    assert take(desk, "live", T0 + HOUR + MINUTE) == ["opened"]
    with desk.read() as read:
        assert {alarm.asset: alarm.mode for alarm in read.alarms()} == {"pump-1": "live", "fan-1": "live"}


def test_back_from_shadow_an_alarm_is_on_its_order_still(desk: Desk) -> None:
    in_shadow(desk, "pump-1")
    assert take(desk, "live") == ["opened"]
    assert take(desk, "shadow", T0 + 2 * HOUR) == ["shadow"]
    assert take(desk, "live", T0 + 3 * HOUR) == []
    with desk.read() as read:
        (alarm,), (order,) = read.alarms(), read.orders()
    assert (alarm.mode, alarm.decision, order.occurrence_count) == ("live", "attached", 1)


def test_another_version_is_left_alone(desk: Desk) -> None:
    in_shadow(desk, "pump-1")
    assert take(desk, "live", sha256="hash-2") == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"reason": " "}, MissingFieldError),
        ({"stage": "draft"}, FieldError),
        ({"stage": "canary"}, FieldError),
        ({"assets": ("pump-1",)}, FieldError),
        ({"who": Actor("wang", frozenset({"lead"}))}, ForbiddenError),
    ],
)
def test_a_step_is_checked(desk: Desk, change: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        take(desk, **{"stage": "live", **change})
