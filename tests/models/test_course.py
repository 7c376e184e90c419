"""Commissioning and what comes after it: trends, load, operating bands, drift."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from models import ModelError, ModelSettings, SoftSensor, State
from models.drift import Baseline

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
QUANTITIES = ("vib_rms", "winding_temp", "current", "speed")


def sensor(kind: str = "t2", **more: object) -> SoftSensor:
    table = {"kind": kind, "scope": {"class": "motor"}, "commissioning": timedelta(minutes=10)}
    adapter: TypeAdapter[ModelSettings] = TypeAdapter(ModelSettings)
    return SoftSensor(adapter.validate_python(table | more), "motor-1", QUANTITIES)


def feed(model: SoftSensor, rows: np.ndarray, second: int = 0) -> np.ndarray:
    return np.array([model.step(START + i * SECOND, row) for i, row in enumerate(rows, second)])


def motor(rows: int, seed: int = 1, speed: float = 1480.0) -> np.ndarray:
    """A motor whose winding follows the square of its current, ten minutes late; it works in long spells."""
    rng = np.random.default_rng(seed)
    current = 30 + 15 * np.repeat(rng.random(rows // 150 + 1), 150)[:rows]
    winding, level = np.empty(rows), 60.0
    for i, amps in enumerate(current):
        level += ((40 + amps**2 / 25) - level) / 600
        winding[i] = level
    columns = [rng.normal(2.0 * speed / 1480, 0.1, rows), winding, current, rng.normal(speed, 3.0, rows)]
    return np.column_stack(columns) + rng.normal(0, [0, 0.3, 0.5, 0], (rows, 4))


def test_what_the_load_explains_is_no_anomaly_and_the_rest_still_is() -> None:
    rows = motor(12_000)
    rows[10_000:, 1] += 25.0  # the fan is blocked: a winding warmer than its current explains
    both = {"signals": ("winding_temp", "current"), "commissioning": timedelta(minutes=80)}
    plain, loaded = sensor(**both), sensor(**both, load=("current",))
    found, known = (feed(model, rows[:, [1, 2]]) for model in (plain, loaded))
    assert known[:10_000].max() < 0.5 < known[10_200:].min()
    assert found[10_200:].max() < known[10_200:].min()


def test_each_band_of_speed_is_commissioned_and_judged_by_itself() -> None:
    running = {"signal": "speed", "above": 100.0, "settle": timedelta(seconds=10), "bands": (1000.0,)}
    model = sensor(signals=("vib_rms",), running=running)
    slow, fast = (motor(700, seed, speed)[:, [0, 3]] for seed, speed in ((2, 800.0), (3, 1480.0)))
    feed(model, fast)
    assert model.state is State.LIVE
    feed(model, slow[:300], 700)
    assert model.state is State.COMMISSIONING
    assert model.progress < 0.5
    feed(model, slow, 1000)
    assert model.state is State.LIVE
    assert feed(model, fast[:60], 1700).max() < 0.5
    assert feed(model, slow[:60], 1760).max() < 0.5
    high = slow[:60].copy()
    high[:, 0] = 2.0  # usual at full speed
    assert feed(model, high, 1820)[30:].min() > 0.5


def test_a_restart_keeps_bands_load_and_drift() -> None:
    settings = {
        "load": ("current",),
        "running": {"signal": "speed", "above": 100.0, "settle": timedelta(seconds=5), "bands": (1000.0,)},
    }
    whole, rows = sensor(**settings), motor(1500)
    feed(whole, rows[:1100])
    resumed = sensor(**settings)
    resumed.load(whole.dump())
    assert resumed.dump() == whole.dump()
    np.testing.assert_array_equal(feed(resumed, rows[1100:], 1100), feed(whole, rows[1100:], 1100))
    with pytest.raises(ModelError, match="train it again"):
        sensor(load=("current",)).load(whole.dump())
    with pytest.raises(ModelError, match="train it again"):
        sensor().load(sensor(load=("current",)).dump())


def test_a_machine_that_still_warms_up_begins_commissioning_anew() -> None:
    model, rows = sensor(signals=("vib_rms", "winding_temp")), motor(2600)
    rows[:, 1] = 80 - 40 * np.exp(-np.arange(2600) / 90) + np.random.default_rng(2).normal(0, 0.3, 2600)
    feed(model, rows[:700])
    assert model.state is State.COMMISSIONING
    assert "winding_temp still trending: commissioning begins anew (2 of 2)" in model.trouble
    feed(model, rows[700:], 700)
    assert model.state is State.LIVE
    assert model.trouble == ""
    assert model.detector.left_out == {}  # type: ignore[attr-defined]


def test_slow_drift_is_named_and_normal_running_is_not() -> None:
    model, rng = sensor("ewma", signals=("vib_rms", "winding_temp")), np.random.default_rng(5)
    rows = np.column_stack([rng.normal(2.0, 0.1, 4000), rng.normal(60.0, 0.5, 4000)])
    rows = np.hstack([rows, np.full((4000, 2), np.nan)])
    feed(model, rows[:2500])
    assert model.drifted == ()
    rows[2500:, 1] += np.linspace(0, 0.6, 1500)
    feed(model, rows[2500:], 2500)
    assert model.drifted == ("winding_temp up",)


def test_a_baseline_says_nothing_of_signals_it_hardly_saw() -> None:
    base, rng = Baseline(2, 100), np.random.default_rng(1)
    for value in rng.normal(size=100):
        base.step(np.array([value, np.nan]))
    assert base.trending() == []
    base.fit()
    for _ in range(200):
        base.step(np.array([5.0, 5.0]))
    assert base.drifted() == [(0, 1.0)]


@pytest.mark.parametrize("kind", ["ewma", "t2", "machine", "signals", "plausible"])
def test_without_any_good_value_it_is_blind_and_says_so(kind: str) -> None:
    model = sensor(kind)
    feed(model, motor(900))
    assert (feed(model, np.full((30, 4), np.nan), 900) == 0).all()
    assert model.state is State.BLIND
    assert (feed(model, np.full((5, 4), np.inf), 930) == 0).all()


@pytest.mark.parametrize("kind", ["t2", "machine", "plausible"])
def test_a_temperature_that_suddenly_speaks_fahrenheit_is_seen(kind: str) -> None:
    model, rows = sensor(kind), motor(1100)
    rows[:, 1] = np.random.default_rng(3).normal(60.0, 0.5, 1100)
    rows[1000:, 1] = rows[1000:, 1] * 9 / 5 + 32
    found = feed(model, rows).max(axis=1)
    assert found[:1000].max() < 0.5 < found[1000:].max()


def test_settings_that_contradict_themselves_are_refused() -> None:
    with pytest.raises(ValidationError, match="bands must rise"):
        sensor(running={"signal": "speed", "above": 100.0, "bands": (900.0, 800.0)})
    with pytest.raises(ValidationError, match="load names current"):
        sensor(signals=("vib_rms",), load=("current",))
