"""Training from history: what is learned, what is held out, and what is refused."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from pydantic import TypeAdapter

from models import ModelError, ModelSettings, SoftSensor, State
from models.training import History, rescore, train

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
QUANTITIES = ("vib_rms", "bearing_temp", "speed")


def settings(kind: str = "t2", **more: object) -> ModelSettings:
    table = {"kind": kind, "scope": {"class": "pump"}, "commissioning": timedelta(minutes=5)}
    adapter: TypeAdapter[ModelSettings] = TypeAdapter(ModelSettings)
    return adapter.validate_python(table | more)


def history(rows: int = 2000, seed: int = 1) -> History:
    values = np.random.default_rng(seed).normal([2.0, 60.0, 1480.0], [0.1, 0.5, 3.0], (rows, 3))
    return History(START + np.arange(rows) * SECOND, values, np.ones(rows, dtype=bool))


@pytest.mark.parametrize("kind", ["ewma", "t2", "machine", "plausible"])
def test_what_was_trained_scores_on_as_the_held_out_part_did(kind: str) -> None:
    past = history()
    found = train(settings(kind), "pump-1", QUANTITIES, past)
    assert found.figures["alarms"] == 0
    assert found.figures["days"] == pytest.approx(600 / 86_400, rel=0.02)
    assert found.learned == 1400
    assert found.split == START + 1400 * SECOND
    sensor = SoftSensor(settings(kind), "pump-1", QUANTITIES)
    sensor.load(found.state)
    assert sensor.state is State.LIVE
    bad = history(60, seed=9).rows
    bad[:, 0] += 3.0
    scores = [sensor.step(START + (2000 + i) * SECOND, row).max() for i, row in enumerate(bad)]
    assert scores[-1] > 0.5


def test_a_fault_in_the_held_out_part_is_told_with_its_reason_and_a_known_one_apart() -> None:
    past = history()
    past.rows[1700:1800, 0] += 3.0
    found = train(settings(), "pump-1", QUANTITIES, past)
    assert found.figures["alarms"] == 1
    assert found.replay.onsets[0].why[0].signal == "pump-1/vib_rms"
    assert not found.replay.onsets[0].known
    past.normal[1690:1900] = False
    sensor = SoftSensor(settings(), "pump-1", QUANTITIES)
    sensor.load(found.state)
    assert sensor.drifted == ()
    known = train(settings(), "pump-1", QUANTITIES, past)
    assert (known.figures["alarms"], known.figures["alarms_known"]) == (0, 1)


def test_rows_of_alarms_and_work_are_not_learned() -> None:
    past = history()
    past.rows[200:700, 0] += 3.0
    past.normal[200:700] = False
    found = train(settings(), "pump-1", QUANTITIES, past)
    assert found.learned == 1050
    assert np.nanmax(found.replay.scores) < 0.5


def test_each_band_holds_out_its_own_part() -> None:
    past = history(4000)
    past.rows[:, 2] = np.where(np.arange(4000) // 1000 % 2, 800.0, 1480.0)
    running = {"signal": "speed", "above": 100.0, "settle": timedelta(seconds=5), "bands": (1000.0,)}
    sensor_settings = settings(signals=("vib_rms", "bearing_temp"), running=running)
    found = train(sensor_settings, "pump-1", QUANTITIES[:2] + QUANTITIES[2:], past)
    sensor = SoftSensor(sensor_settings, "pump-1", QUANTITIES)
    sensor.load(found.state)
    for second, speed in ((4000, 800.0), (4100, 1480.0)):
        for i in range(30):
            sensor.step(START + (second + i) * SECOND, np.array([2.0, 60.0, speed]))
        assert sensor.state is State.LIVE


def test_another_version_can_be_heard_on_the_same_rows() -> None:
    past, later = history(), history(500, seed=4)
    found = train(settings(), "pump-1", QUANTITIES, past)
    later.rows[200:, 0] += 3.0
    heard = rescore(settings(), "pump-1", QUANTITIES, found.state, later)
    assert [onset.output for onset in heard.onsets] == ["pump-1/anomaly"]
    with pytest.raises(ModelError, match="train it again"):
        rescore(settings(signals=("vib_rms",)), "pump-1", QUANTITIES, found.state, later)


def test_too_little_history_is_refused_with_what_would_do() -> None:
    with pytest.raises(ModelError, match="ask for 429"):
        train(settings(), "pump-1", QUANTITIES, history(350))
    empty = history(2000)
    empty.rows[:] = np.nan
    with pytest.raises(ModelError, match="has 0 rows"):
        train(settings(), "pump-1", QUANTITIES, empty)
    still = history(2000)
    still.rows[:] = 5.0
    with pytest.raises(ModelError, match="cannot be learned from"):
        train(settings(), "pump-1", QUANTITIES, still)


def test_progress_goes_from_nothing_to_all() -> None:
    told: list[float] = []
    train(settings(), "pump-1", QUANTITIES, history(), told.append)
    assert told[0] == 0.0
    assert told[-1] == 1.0
