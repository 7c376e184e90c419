"""Vibration features on signals whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from models import ModelError
from models.vibration import Bearing, block_features, spectrum_features

RATE = 25_600.0
SKF_6205 = Bearing(rollers=9, roller_diameter=7.94, pitch_diameter=39.04)


def struck(per_second: float, seed: int = 1, strength: float = 3.0, seconds: float = 1.0) -> np.ndarray:
    """Noise, with a ringing at 6 kHz whenever a roller passes the spot; each blow slips by one per cent."""
    rng = np.random.default_rng(seed)
    t = np.arange(0, seconds, 1 / RATE)
    x = rng.normal(0, 1.0, len(t)) + 0.5 * np.sin(2 * np.pi * 25 * t)
    at = 0.01
    while at < seconds - 0.01:
        since = t - at
        ring = np.where(since >= 0, np.exp(-np.abs(since) * 800) * np.sin(2 * np.pi * 6000 * since), 0.0)
        x += strength * ring
        at += (1 + rng.normal(0, 0.01)) / per_second
    return np.asarray(x)


def test_a_bearings_orders_are_those_of_its_maker() -> None:
    orders = SKF_6205.orders()
    assert orders["bpfi"] == pytest.approx(5.4152, abs=0.01)
    assert orders["bpfo"] == pytest.approx(3.5848, abs=0.01)
    assert orders["ftf"] == pytest.approx(0.39828, abs=0.001)
    assert 2 * orders["bsf"] == pytest.approx(4.7135, abs=0.02)  # the maker counts both rings
    assert orders["bpfo"] + orders["bpfi"] == pytest.approx(9)


def test_a_sine_has_the_figures_of_the_textbook() -> None:
    t = np.arange(0, 1, 1 / RATE)
    found = block_features(3.0 * np.sin(2 * np.pi * 50 * t) + 7.0, RATE)
    assert found["rms"] == pytest.approx(3 / np.sqrt(2), rel=1e-3)
    assert found["crest"] == pytest.approx(np.sqrt(2), rel=1e-3)
    assert found["kurtosis"] == pytest.approx(1.5, rel=1e-3)


@pytest.mark.parametrize("fault", ["bpfo", "bpfi", "bsf"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_faulty_part_speaks_loudest(fault: str, seed: int) -> None:
    speed, orders = 1480.0, SKF_6205.orders()
    found = block_features(struck(orders[fault] * speed / 60, seed), RATE, orders, speed)
    lines = {name: value for name, value in found.items() if name.startswith("env_")}
    assert max(lines, key=lines.__getitem__) == f"env_{fault}"
    assert lines[f"env_{fault}"] > 3
    assert found["kurtosis"] > 3.1


def test_a_sound_bearing_says_nothing() -> None:
    speed, orders = 1480.0, SKF_6205.orders()
    for seed in range(5):
        found = block_features(struck(100.0, seed, strength=0.0), RATE, orders, speed)
        assert found["kurtosis"] < 3.2
        assert all(found[f"env_{name}"] < 3 for name in orders)


def test_a_spectrum_gives_rms_and_bands() -> None:
    frequency, amplitude = np.arange(0.0, 1000.0, 10), np.zeros(100)
    amplitude[[5, 20]] = 3.0, 4.0
    found = spectrum_features(
        frequency, amplitude, {"low": (10, 100), "high": (100, 1000), "none": (500, 600)}
    )
    assert found["rms"] == pytest.approx(5 / np.sqrt(2))
    assert found["band_low"] == pytest.approx(3 / np.sqrt(2))
    assert found["band_high"] == pytest.approx(4 / np.sqrt(2))
    assert found["band_none"] == 0


def test_silence_is_no_fault_and_a_gap_is_refused() -> None:
    still = block_features(np.full(1000, 5.0), RATE, SKF_6205.orders(), 1480.0)
    assert still == {"rms": 0.0, "peak": 0.0, "crest": 0.0, "kurtosis": 0.0}
    standing = block_features(struck(100.0), RATE, SKF_6205.orders(), 0.0)
    assert set(standing) == {"rms", "peak", "crest", "kurtosis"}
    holed = struck(100.0)
    holed[77] = np.nan
    for bad in (holed, np.zeros(10), np.zeros((300, 2))):
        with pytest.raises(ModelError, match="a block is"):
            block_features(bad, RATE)
    with pytest.raises(ModelError, match="sampling rate"):
        block_features(struck(100.0), 0.0)
    with pytest.raises(ModelError, match="frequencies that rise"):
        spectrum_features(np.array([2.0, 1.0]), np.ones(2), {})
    with pytest.raises(ModelError, match="three rollers"):
        Bearing(9, 40.0, 39.0)
