"""A soft sensor's life on one asset: commissioning, live, stopped, restarted."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from models import ModelError, ModelSettings, SoftSensor, State

SECOND = 1_000_000_000
QUANTITIES = ("vib_rms", "bearing_temp", "speed")
START = 1_700_000_000 * SECOND


def settings(kind: str = "t2", **more: object) -> ModelSettings:
    table = {
        "kind": kind,
        "scope": {"class": "pump"},
        "commissioning": timedelta(minutes=5),
        "running": {"signal": "speed", "above": 100.0, "settle": timedelta(seconds=30)},
    }
    adapter: TypeAdapter[ModelSettings] = TypeAdapter(ModelSettings)
    return adapter.validate_python(table | more)


def normal(rows: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal([2.0, 60.0, 1480.0], [0.1, 0.5, 3.0], (rows, 3))


def feed(sensor: SoftSensor, rows: np.ndarray, second: int = 0, *, learn: bool = True) -> np.ndarray:
    steps = enumerate(rows, second)
    return np.array([sensor.step(START + i * SECOND, row, learn=learn) for i, row in steps])


def test_it_commissions_itself_and_then_finds_a_fault() -> None:
    sensor = SoftSensor(settings(), "pump-1", QUANTITIES)
    assert sensor.outputs == ("pump-1/anomaly",)
    feed(sensor, normal(200))
    assert sensor.state is State.COMMISSIONING
    assert 0.5 < sensor.progress < 0.6
    feed(sensor, normal(300, seed=2), 200)
    assert sensor.state is State.LIVE
    assert sensor.progress == 1.0
    bad = normal(60, seed=3)
    bad[:, 0] += 1.0
    assert feed(sensor, bad, 500)[30:].min() > 0.5
    assert sensor.detector.why()[0].signal == "pump-1/vib_rms"


def test_per_signal_scores_become_signals_of_their_own() -> None:
    sensor = SoftSensor(settings("ewma", signals=("vib_rms", "bearing_temp")), "pump-1", QUANTITIES)
    assert sensor.outputs == ("pump-1/vib_rms_anomaly", "pump-1/bearing_temp_anomaly")
    assert sensor.inputs == ("pump-1/vib_rms", "pump-1/bearing_temp", "pump-1/speed")
    feed(sensor, normal(400))
    bad = normal(60, seed=3)
    bad[:, 1] -= 4.0
    last = feed(sensor, bad, 400)[-1]
    assert last[0] < 0.5 < last[1]
    assert sensor.detector.why(1)[0].direction == -1


@pytest.mark.parametrize("kind", ["ewma", "t2", "machine", "signals", "plausible"])
def test_a_stopped_machine_is_no_anomaly_and_is_not_learned(kind: str) -> None:
    sensor = SoftSensor(settings(kind), "pump-1", QUANTITIES)
    feed(sensor, normal(400))
    learned = sensor.detector.dump()
    stopped = np.array([[0.0, 25.0, 0.0]] * 120)
    assert (feed(sensor, stopped, 400) == 0).all()
    assert sensor.state is State.STOPPED
    assert sensor.detector.dump() == learned
    again = feed(sensor, normal(100, seed=4), 520)
    assert (again[:30] == 0).all()  # settling
    assert sensor.state is State.LIVE
    assert again.max() < 0.5


def test_an_unknown_speed_leaves_the_mode_as_it_was() -> None:
    sensor = SoftSensor(settings(), "pump-1", QUANTITIES)
    feed(sensor, normal(400))
    blind = normal(20, seed=5)
    blind[:, 2] = np.nan
    feed(sensor, blind, 400)
    assert sensor.state is State.LIVE


def test_nothing_is_learned_while_the_asset_is_under_work() -> None:
    sensor = SoftSensor(settings(), "pump-1", QUANTITIES)
    feed(sensor, normal(100), learn=False)
    assert sensor.learned == 0


def test_a_trending_signal_prolongs_commissioning_and_says_so() -> None:
    one = SoftSensor(settings("t2", signals=("bearing_temp",), running=None), "pump-1", QUANTITIES)
    warming = (40 + 20 * (1 - np.exp(-np.arange(1500) / 200)))[:, None]
    noise = np.random.default_rng(6).normal(0, 0.05, warming.shape)
    found = [one.step(START + i * SECOND, row) for i, row in enumerate((warming + noise)[:400])]
    assert np.max(found) == 0
    assert one.state is State.COMMISSIONING
    assert "trending" in one.trouble
    for i, row in enumerate((warming + noise)[400:], 400):
        one.step(START + i * SECOND, row)
    for i, row in enumerate(np.random.default_rng(8).normal(60.0, 0.05, (4000, 1)), 1500):
        one.step(START + i * SECOND, row)
    assert one.state is State.LIVE


@pytest.mark.parametrize("kind", ["ewma", "t2", "machine", "signals", "plausible"])
@pytest.mark.parametrize("cut", [150, 450])
def test_a_restart_changes_no_score(kind: str, cut: int) -> None:
    whole, first = (SoftSensor(settings(kind), "pump-1", QUANTITIES) for _ in range(2))
    rows = normal(600)
    rows[500:, 0] += 0.5
    expected = feed(whole, rows)
    feed(first, rows[:cut])
    second = SoftSensor(settings(kind), "pump-1", QUANTITIES)
    second.load(first.dump())
    assert second.state is first.state
    np.testing.assert_array_equal(feed(second, rows[cut:], cut), expected[cut:])
    assert second.dump() == whole.dump()


def test_nonsense_is_refused_with_a_sentence() -> None:
    with pytest.raises(ModelError, match="pump-1 has none of the signals humidity"):
        SoftSensor(settings(signals=("humidity",)), "pump-1", QUANTITIES)
    with pytest.raises(ModelError, match="no model file"):
        SoftSensor(settings(), "pump-1", QUANTITIES).load(b"\xff\xff")
    with pytest.raises(ValidationError, match="at least 100 rows"):
        settings(commissioning=timedelta(seconds=20))
    with pytest.raises(ValidationError, match="either class"):
        settings(scope={})


def test_the_daemons_part_loads_neither_pandas_nor_scikit_learn() -> None:
    program = "import sys, models; sys.exit(bool({'pandas', 'sklearn', 'scipy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_slow_rise_is_found_however_the_baseline_follows() -> None:
    """A followed baseline must not take a bearing's slow wear for the machine's own movement."""
    rows = normal(4000)
    rows[:, 1] += 8.0 * np.sin(np.arange(4000) * 2 * np.pi / 600)  # slow: the machine is not settled
    rows[1000:, 0] += np.arange(3000) / 3000 * 6.0
    sensor = SoftSensor(settings("machine"), "pump-1", QUANTITIES)
    found = feed(sensor, rows)
    assert found[:1000].max() < 0.5 < found[-1].max()
    assert sensor.detector.why()[0].signal == "pump-1/vib_rms"


def test_commissioning_longer_than_the_rows_kept_is_refused() -> None:
    with pytest.raises(ValidationError, match="choose a longer every"):
        settings("machine", commissioning=timedelta(days=1))
