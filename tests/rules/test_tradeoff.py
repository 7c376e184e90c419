"""The trade-off of a rule's number: what counts as false, found and missed, and where its knee lies."""

from __future__ import annotations

import math
import tomllib
from datetime import timedelta

import numpy as np
import pytest

from rules import Rule, RuleError, RuleSettings, bind
from rules.replay import replay, rows
from rules.tradeoff import (
    DAY,
    DEADBAND,
    Fault,
    Outcome,
    Point,
    as_toml,
    beyond,
    judge,
    knee,
    quieter,
    spread_values,
    variant,
)

HOUR = 3_600_000_000_000
FORM = {"failure_mode": "OHE", "scope": {"class": "pump"}, "signal": "temp", "above": 80, "on_delay": "1m"}
RULE = Rule("hot", RuleSettings.model_validate(FORM))


def outcome(values: list[float], faults: list[Fault], severity: int = 1) -> Outcome:
    """What the rule makes of one value an hour, each lasting the hour."""
    times = np.arange(len(values) * 60, dtype=np.int64) * (HOUR // 60)
    series = [(times, np.repeat(values, 60))]
    bound = bind(RULE, "p", {"temp": None})
    said = replay(bound, *rows(bound, series))[1]
    return judge(said, faults, 0, len(values) * HOUR, severity)


def test_an_alarm_within_a_fault_finds_it_and_any_other_is_false() -> None:
    found = outcome([70, 90, 70, 70, 70, 90, 70, 70], [Fault(4 * HOUR, 7 * HOUR, 6 * HOUR)])
    assert (found.false_alarms, found.missed) == (1, 0)
    assert found.delays == (HOUR + HOUR // 60,)
    assert found.healthy == 5 * HOUR
    assert found.false_a_day == pytest.approx(24 / 5)


def test_an_alarm_after_the_loss_comes_too_late_and_is_not_false() -> None:
    found = outcome([70, 70, 70, 90], [Fault(HOUR, 4 * HOUR, 2 * HOUR)])
    assert (found.false_alarms, found.missed, found.delays) == (0, 1, ())


def test_an_alarm_that_is_on_already_finds_nothing() -> None:
    found = outcome([90, 90, 90, 90], [Fault(2 * HOUR, 4 * HOUR, 4 * HOUR)])
    assert (found.false_alarms, found.missed) == (1, 1)


def test_alarms_below_the_severity_do_not_count() -> None:
    assert outcome([70, 90], [Fault(HOUR, 2 * HOUR, 2 * HOUR)], severity=4).missed == 1


def test_without_healthy_time_there_is_no_rate() -> None:
    assert math.isnan(outcome([90, 90], [Fault(0, 2 * HOUR, 2 * HOUR)]).false_a_day)


def point(value: float, false: int, delay: int | None, missed: int = 0) -> Point:
    return Point(value, Outcome(false, DAY, () if delay is None else (delay * HOUR,), missed))


def test_the_knee_stands_a_step_away_from_false_alarms() -> None:
    points = [
        point(2, 40, 1),
        point(3, 10, 1),
        point(4, 0, 2),
        point(5, 0, 3),
        point(6, 0, 9),
        point(7, 0, None, 1),
    ]
    assert knee(points) == 3


def test_fewest_misses_come_first() -> None:
    assert knee([point(2, 5, 4), point(3, 0, 1, missed=1)]) == 0
    assert knee([point(2, 0, None, 1)]) is None
    assert knee([]) is None


def test_another_value_is_another_rule_and_leaves_this_one_alone() -> None:
    assert variant(RULE, "above", 75, 3).settings.params == {"above": 75}
    assert variant(RULE, "on_delay", 90.5, 3).settings.when[0].on_delay.total_seconds() == 90.5
    assert RULE.settings.params == {"above": 80}
    with pytest.raises(RuleError, match="no parameter bellow; it has: above, on_delay"):
        variant(RULE, "bellow", 75, 3)


def test_a_proposal_is_toml() -> None:
    assert tomllib.loads(as_toml(RULE, "above", 72.5, 3, None)) == {
        "rule": {"hot": {"params": {"above": 72.5}}}
    }
    own = tomllib.loads(as_toml(RULE, "above", 72.5, 3, "pump-1"))
    assert own == {"asset": {"pump-1": {"params": {"hot": {"above": 72.5}}}}}
    delay = tomllib.loads(as_toml(RULE, "on_delay", 90, 3, None))
    assert delay["rule"]["hot"]["when"] == [{"severity": 3, "on_delay": "1m30s"}]


def test_values_are_such_as_people_write() -> None:
    assert spread_values(1.8873, 2.6131, 4) == [1.89, 2.13, 2.37, 2.61]
    assert spread_values(100, 500, 5) == [100, 200, 300, 400, 500]
    assert spread_values(3, 3, 5) == [3]


def test_what_nobody_knows_counts_neither_way_and_swings_are_counted() -> None:
    times = np.arange(600, dtype=np.int64) * (HOUR // 60)
    values = np.where((times // HOUR) % 2 == 1, 90.0, 70.0)  # five alarms
    said = replay(bind(RULE, "p", {"temp": None}), times, values[:, None])[1]
    assert judge(said, [], 0, 10 * HOUR).false_alarms == 5
    assert judge(said, [], 0, 10 * HOUR, unknown=[(0, 4 * HOUR)]).false_alarms == 3
    swinging = RULE.settings.model_copy(
        update={"clear": RULE.settings.clear.model_copy(update={"off_delay": timedelta(hours=2)})}
    )
    said = replay(bind(Rule("hot", swinging), "p", {"temp": None}), times, values[:, None])[1]
    found = judge(said, [], 0, 10 * HOUR)
    assert (found.false_alarms, found.swings, found.noise) == (1, 4, 5)


def quiet(false: int, missed: int = 0, swings: int = 0) -> Outcome:
    return Outcome(false_alarms=false, missed=missed, swings=swings)


@pytest.mark.parametrize(
    ("points", "wanted"),
    [
        ([quiet(9), quiet(1), quiet(0)], 1),  # nine tenths are enough: the least change
        ([quiet(0, missed=2), quiet(1, missed=1)], 1),  # nothing that was found is lost
        ([quiet(0, missed=2)], None),
        ([quiet(2), quiet(0, swings=2)], None),
        ([], None),
    ],
)
def test_the_nearest_value_that_takes_the_noise_away_and_loses_nothing(
    points: list[Outcome], wanted: int | None
) -> None:
    found = [Point(float(i), outcome) for i, outcome in enumerate(points)]
    assert quieter(found, quiet(6, missed=1, swings=4)) == wanted


def test_limits_are_tried_just_beyond_the_peaks() -> None:
    assert beyond([4.7, 5.0, 4.81, 120.0], True, steps=4) == [4.71, 4.82, 5.01, 121.0]
    assert beyond([0.4, 0.3], False, steps=2) == [0.399, 0.299]
    assert beyond([-5.0], True) == [-4.99]
    assert beyond([0.0], True) == [0.01]


def test_a_deadband_may_be_tried_too() -> None:
    assert variant(RULE, DEADBAND, 2.5, 3).settings.clear.deadband == 2.5
    assert tomllib.loads(as_toml(RULE, DEADBAND, 2.5, 3, None)) == {
        "rule": {"hot": {"clear": {"deadband": 2.5}}}
    }
