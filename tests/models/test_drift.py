"""The CUSUM: quiet on noise, soon on a shift, right about its direction."""

from __future__ import annotations

import numpy as np
import pytest

from models.drift import Cusum


def first(detector: Cusum, values: np.ndarray) -> int:
    for i, value in enumerate(values):
        if detector.step(np.array([value]))[0] >= 1:
            return i
    return -1


def test_noise_alone_is_no_drift() -> None:
    noise = np.random.default_rng(1).normal(size=3000)
    assert first(Cusum(1), noise) == -1


@pytest.mark.parametrize("sign", [1, -1])
def test_a_shift_of_one_sigma_is_found(sign: int) -> None:
    values = np.random.default_rng(2).normal(size=1000)
    values[500:] += sign
    assert 500 <= first(Cusum(1), values) < 620


def test_a_ramp_that_no_limit_sees_is_found_with_its_direction() -> None:
    values = np.random.default_rng(3).normal(size=2000) - np.maximum(0, np.arange(2000) - 500) / 500
    drift = Cusum(1)
    found = first(drift, values)
    assert 500 < found < 1100
    assert drift.direction()[0] == -1


def test_missing_values_change_nothing() -> None:
    plain, holes = Cusum(2), Cusum(2)
    for value in np.random.default_rng(4).normal(size=(200, 2)):
        want = plain.step(value)
        holes.step(np.full(2, np.nan))
        np.testing.assert_array_equal(holes.step(value), want)
