"""Remaining life as a signal: no trend, no number; a trend gives one that holds."""

from __future__ import annotations

import numpy as np

from models.lifetime import LifeWatch

MINUTE = 60_000_000_000
START = 1_700_000_000_000_000_000


def watch(limit: float = 4.5) -> LifeWatch:
    found = LifeWatch("pump-1/vib_rms", asset="pump-1", every=MINUTE, limit=limit)
    for i, value in enumerate(np.random.default_rng(1).normal(2.0, 0.05, 300)):
        found.learn(START + i * MINUTE, np.array([value]))
    found.fit()
    return found


def run(model: LifeWatch, values: np.ndarray, first: int = 300) -> np.ndarray:
    return np.array(
        [model.score(START + i * MINUTE, np.array([value])) for i, value in enumerate(values, first)]
    )


def wearing(minutes: int, ramp: float, seed: int = 2) -> np.ndarray:
    """Vibration that grows exponentially from 2 to 4.5 mm/s in ``ramp`` minutes."""
    x = np.arange(minutes) / ramp
    return 2.0 + 2.5 * np.expm1(2 * x) / np.expm1(2) + np.random.default_rng(seed).normal(0, 0.05, minutes)


def test_no_trend_no_number() -> None:
    model = watch()
    assert np.isnan(run(model, np.random.default_rng(3).normal(2.0, 0.05, 2000))).all()
    assert model.forecast is None


def test_a_step_that_stays_is_no_trend() -> None:
    found = run(watch(), np.random.default_rng(3).normal(3.0, 0.05, 600))
    assert np.isfinite(found[:, 0]).mean() < 0.2


def test_wear_gives_hours_that_hold() -> None:
    model, ramp = watch(), 600.0
    found = run(model, wearing(500, ramp))
    assert np.isnan(found[:20]).all()
    left = (ramp - np.arange(500)) / 60
    late = slice(300, 500)
    assert np.isfinite(found[late, 0]).all()
    assert np.abs(found[late, 0] - left[late]).max() < 0.5 * left[late].max()
    assert (found[late, 1] <= found[late, 0]).all()
    assert (found[late, 0] <= found[late, 2]).all()
    told = model.forecast
    assert told is not None
    assert (told.signal, told.limit) == ("pump-1/vib_rms", 4.5)
    assert model.why()[0].sigmas > 4


def test_falling_pressure_is_a_life_too() -> None:
    model = watch(limit=1.0)
    found = run(model, 2.0 - np.arange(200) / 300 + np.random.default_rng(5).normal(0, 0.02, 200))
    assert abs(found[-1, 0] - 100 / 60) < 0.7
    assert found[-1, 1] < 100 / 60 < found[-1, 2]


def test_after_the_repair_the_number_goes() -> None:
    model = watch()
    run(model, wearing(500, 600.0))
    assert np.isnan(run(model, np.random.default_rng(7).normal(2.0, 0.05, 60), 800)[-1]).all()


def test_it_survives_a_restart_bit_for_bit_and_scoring_twice_is_one() -> None:
    whole, values = watch(), wearing(500, 600.0)
    run(whole, values[:400])
    again = LifeWatch("pump-1/vib_rms", asset="pump-1", every=MINUTE, limit=4.5)
    again.load(whole.dump())
    assert again.dump() == whole.dump()
    run(again, values[399:400], 699)
    np.testing.assert_array_equal(run(again, values[400:], 700), run(whole, values[400:], 700))


def test_a_gap_a_clock_set_back_and_silence_neither_crash_nor_invent() -> None:
    model = watch()
    run(model, wearing(300, 600.0))
    assert np.isnan(model.score(START + 601 * MINUTE, np.array([np.nan]))).all()
    later = START + 20_000 * MINUTE
    assert np.isnan(model.score(later, np.array([2.0]))).all()
    assert np.isnan(model.score(START, np.array([2.0]))).all()


def test_a_signal_that_never_moved_has_no_life_to_tell() -> None:
    model = LifeWatch("pump-1/vib_rms", asset="pump-1", every=MINUTE, limit=4.5)
    for i in range(200):
        model.learn(START + i * MINUTE, np.array([2.0]))
    model.fit()
    assert not model.ready
    assert np.isnan(run(model, np.full(50, 3.0))).all()
