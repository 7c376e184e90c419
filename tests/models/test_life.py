"""Remaining life: a right number with an interval where there is a trend, and none where there is not."""

from __future__ import annotations

import numpy as np
import pytest

from models import ModelError
from models.histories import Histories
from models.life import remaining


def test_a_straight_line_reaches_its_limit_when_it_says() -> None:
    t = np.arange(100.0)
    noise = np.random.default_rng(1).normal(0, 0.05, 100)
    life = remaining(t, 2.0 + 0.02 * t + noise, limit=5.0)
    assert life is not None
    assert life.low <= 51 <= life.high
    assert life.left == pytest.approx(51, rel=0.15)


def test_a_falling_index_reaches_a_lower_limit() -> None:
    t = np.arange(60.0)
    life = remaining(t, 10.0 - 0.1 * t + np.random.default_rng(2).normal(0, 0.05, 60), limit=1.0)
    assert life is not None
    assert life.left == pytest.approx(31, rel=0.15)
    assert life.shape == "linear"


def test_an_exponential_is_taken_for_one() -> None:
    t = np.arange(120.0)
    index = 0.5 * np.exp(0.02 * t) * (1 + np.random.default_rng(3).normal(0, 0.01, 120))
    life = remaining(t, index, limit=10.0)
    assert life is not None
    assert life.shape == "exponential"
    assert life.left == pytest.approx(np.log(20) / 0.02 - 119, rel=0.15)


def test_three_wild_readings_in_ten_do_not_move_it_far() -> None:
    rng = np.random.default_rng(4)
    t = np.arange(100.0)
    index = 2.0 + 0.02 * t + rng.normal(0, 0.02, 100)
    index[rng.choice(90, 27, replace=False)] += 3.0
    life = remaining(t, index, limit=5.0)
    assert life is not None
    assert life.left == pytest.approx(51, rel=0.4)


@pytest.mark.parametrize("seed", range(20))
def test_no_trend_no_number(seed: int) -> None:
    noise = np.random.default_rng(seed + 300).normal(5.0, 1.0, 100)
    life = remaining(np.arange(100.0), noise, limit=9.0)
    assert life is None or life.left > 150  # one in twenty may show a trend by chance; never a short one


def test_a_trend_away_from_the_limit_gives_no_number() -> None:
    t = np.arange(100.0)
    assert remaining(t, 5.0 - 0.01 * t, limit=9.0) is None


def test_too_few_or_missing_values_give_no_number() -> None:
    assert remaining(np.arange(5.0), np.arange(5.0), limit=9.0) is None
    assert remaining(np.arange(50.0), np.full(50, np.nan), limit=9.0) is None


def engines(count: int, seed: int) -> list[np.ndarray]:
    """Units that wear out exponentially in 60 to 140 rows; three signals, one of which means nothing."""
    rng = np.random.default_rng(seed)
    units = []
    for _ in range(count):
        length = int(rng.integers(60, 140))
        wear = np.exp(-np.arange(length)[::-1] / 25.0)
        signals = np.column_stack([wear, -2 * wear, np.zeros(length)])
        units.append(signals + rng.normal(0, 0.03, signals.shape))
    return units


def test_histories_tell_the_life_of_an_unseen_unit() -> None:
    lives = Histories()
    lives.fit(engines(14, seed=1))
    errors, inside = [], []
    for unit in engines(12, seed=2):
        cut = len(unit) - 20
        left, low, high = lives.predict(unit[:cut])
        errors.append(left - 20)
        inside.append(low <= 20 <= high)
    assert np.sqrt(np.mean(np.square(errors))) < 6
    assert np.mean(inside) > 0.7


def test_nine_histories_are_too_few() -> None:
    with pytest.raises(ModelError, match="9 failure histories are too few"):
        Histories().fit(engines(9, seed=1))
