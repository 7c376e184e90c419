"""The promises of ``models/promise.py``, held by every detector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from models import Detector, ModelError
from models.ewma import EwmaChart
from models.machine import MachineWatch
from models.plausible import Plausible
from models.signals import SignalWatch
from models.t2 import MachineT2

SECOND = 1_000_000_000
SIGNALS = ("pump-1/vib_rms", "pump-1/bearing_temp", "pump-1/flow", "pump-1/current")
ROWS = 600
START = 1_700_000_000 * SECOND


@dataclass(frozen=True)
class Case:
    """One detector, and how to make it."""

    name: str
    make: Callable[[], Detector]
    slow: bool = False  # one signal in four moves too slowly for its commissioning
    flash: bool = False  # scores at the onset only


def machine(share: float) -> MachineWatch:
    return MachineWatch(SIGNALS, asset="pump-1", every=SECOND, false_alarm_share=share)


CASES = (
    Case("ewma", lambda: EwmaChart(SIGNALS, every=SECOND, rows=300)),
    Case("t2", lambda: MachineT2(SIGNALS, asset="pump-1", every=SECOND)),
    Case("machine, settled", lambda: machine(0.0002)),
    Case("machine, followed", lambda: machine(0.0002), slow=True),
    Case("plausible", lambda: Plausible(SIGNALS, every=SECOND, rows=300)),
    Case("signals", lambda: SignalWatch(SIGNALS, every=SECOND, rows=450), flash=True),
)


def plant(rows: int, seed: int = 7, *, slow: bool = False) -> np.ndarray:
    """Normal running (rows, 4): four signals that follow one load, with noise; a slow one if asked."""
    rng = np.random.default_rng(seed)
    load = np.convolve(rng.normal(size=rows + 20), np.ones(8) / 8, "valid")[:rows, None]
    mixing = np.array([[1.0, 4.0, 20.0, 3.0]])
    normal = np.array([2.0, 60.0, 120.0, 30.0]) + load * mixing
    if slow:
        normal[:, 2] += 60.0 * np.sin(np.arange(rows) * 2 * np.pi / ROWS)
    return np.asarray(normal + rng.normal(size=(rows, 4)) * [0.1, 0.5, 1.0, 0.2])


def times(rows: int, start: int = START) -> range:
    return range(start, start + rows * SECOND, SECOND)


def trained(case: Case) -> Detector:
    detector = case.make()
    for time, row in zip(times(ROWS), plant(ROWS, slow=case.slow), strict=True):
        detector.learn(time, row)
    detector.fit()
    return detector


def scores(detector: Detector, rows: np.ndarray, start: int = START + ROWS * SECOND) -> np.ndarray:
    return np.array([detector.score(t, row) for t, row in zip(times(len(rows), start), rows, strict=True)])


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Case:
    return request.param


def faulty(rows: int = 200) -> np.ndarray:
    """A bearing going: vibration up by ten of its sigmas, from row 100 on."""
    x = plant(rows, seed=11)
    x[100:, 0] += 10 * plant(ROWS)[:, 0].std()
    return x


def test_it_is_silent_when_cold(case: Case) -> None:
    detector = case.make()
    assert not detector.ready
    assert (scores(detector, plant(50) * 1000.0) == 0).all()


def test_it_is_silent_while_it_learns(case: Case) -> None:
    detector = case.make()
    for time, row in zip(times(400), plant(400), strict=True):
        detector.learn(time, row)
        assert (detector.score(time, row) == 0).all()


def test_scores_stand_between_0_and_1(case: Case) -> None:
    wild = np.random.default_rng(1).normal(size=(300, 4)) * np.logspace(-6, 12, 300)[:, None]
    found = scores(trained(case), wild)
    assert np.isfinite(found).all()
    assert found.min() >= 0
    assert 0.5 < found.max() <= 1


def test_scoring_never_learns(case: Case) -> None:
    plain, scored = trained(case), trained(case)
    scores(scored, faulty())
    later = START + 10_000 * SECOND  # beyond the gap: what is remembered starts again
    again = plant(100, seed=3)
    np.testing.assert_array_equal(scores(plain, again, later), scores(scored, again, later))


def test_scoring_a_row_twice_gives_the_same_number(case: Case) -> None:
    once, twice = trained(case), trained(case)
    rows = faulty()
    expected = scores(once, rows)
    start = START + ROWS * SECOND
    for time, row, want in zip(times(len(rows), start), rows, expected, strict=True):
        twice.score(time, row)
        np.testing.assert_array_equal(twice.score(time, row), want)


def test_learning_and_scoring_a_row_go_in_either_order(case: Case) -> None:
    first, second = trained(case), trained(case)
    for time, row in zip(times(50, START + ROWS * SECOND), plant(50, seed=4), strict=True):
        first.score(time, row)
        first.learn(time, row)
        second.learn(time, row)
        second.score(time, row)
    assert first.dump() == second.dump()


def test_it_leaves_the_row_alone(case: Case) -> None:
    detector = trained(case)
    row = plant(1)[0]
    row[2] = np.nan
    kept = row.copy()
    row.flags.writeable = False
    detector.score(START + ROWS * SECOND, row)
    detector.learn(START + ROWS * SECOND, row)
    np.testing.assert_array_equal(row, kept)


def test_it_keeps_nothing_of_the_callers_row(case: Case) -> None:
    own, reused = case.make(), case.make()
    buffer = np.empty(4)
    for time, row in zip(times(ROWS), plant(ROWS), strict=True):
        own.learn(time, row)
        buffer[:] = row
        reused.learn(time, buffer)
    own.fit()
    reused.fit()
    assert own.dump() == reused.dump()


def test_it_survives_a_restart_bit_for_bit(case: Case) -> None:
    whole = trained(case)
    rows = faulty()
    start = START + ROWS * SECOND
    scores(whole, rows[:90])
    resumed = case.make()
    resumed.load(whole.dump())
    assert resumed.dump() == whole.dump()
    later = start + 90 * SECOND
    np.testing.assert_array_equal(scores(whole, rows[90:], later), scores(resumed, rows[90:], later))
    assert whole.why() == resumed.why()


def test_it_survives_a_restart_in_the_middle_of_commissioning(case: Case) -> None:
    whole, first = case.make(), case.make()
    x = plant(ROWS)
    for time, row in zip(times(ROWS), x, strict=True):
        whole.learn(time, row)
    for time, row in zip(times(250), x, strict=False):
        first.learn(time, row)
    second = case.make()
    second.load(first.dump())
    for time, row in zip(times(ROWS - 250, START + 250 * SECOND), x[250:], strict=True):
        second.learn(time, row)
    whole.fit()
    second.fit()
    assert whole.dump() == second.dump()


def test_a_damaged_or_foreign_state_is_refused_with_a_sentence(case: Case) -> None:
    detector = trained(case)
    data = bytearray(detector.dump())
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(ModelError):
        case.make().load(bytes(data))
    with pytest.raises(ModelError):
        case.make().load(b"")
    for other in CASES:
        if other.make().kind != detector.kind:
            with pytest.raises(ModelError, match="train it again"):
                other.make().load(detector.dump())


def test_missing_values_are_missing_and_never_zero(case: Case) -> None:
    detector, holes = trained(case), plant(200, seed=5)
    gone = np.random.default_rng(2).random(holes.shape) < 0.3
    holes[gone] = np.nan
    found = scores(detector, holes)
    assert np.isfinite(found).all()
    assert found.max() < 0.5
    dark = scores(detector, np.full((5, 4), np.nan), START + (ROWS + 200) * SECOND)
    assert (dark == 0).all()


def test_it_learns_past_missing_values(case: Case) -> None:
    detector, x = case.make(), plant(ROWS)
    x[np.random.default_rng(3).random(x.shape) < 0.2] = np.nan
    for time, row in zip(times(ROWS), x, strict=True):
        detector.learn(time, row)
    detector.fit()
    found = scores(detector, faulty())
    assert found[:100].max() < 0.5 < found[100:].max()


def test_a_signal_that_never_comes_leaves_the_others_judged(case: Case) -> None:
    detector, x, bad = case.make(), plant(ROWS), faulty()
    x[:, 3] = bad[:, 3] = np.nan
    for time, row in zip(times(ROWS), x, strict=True):
        detector.learn(time, row)
    detector.fit()
    found = scores(detector, bad)
    assert found[:100].max() < 0.5 < found[100:].max()


def test_a_constant_signal_is_no_anomaly(case: Case) -> None:
    detector, x, bad = case.make(), plant(ROWS), faulty()
    x[:, 3] = 5.0
    bad[:, 3] = 5.0
    bad[50:, 3] = 5.1  # no spread is known, so nothing can be said
    for time, row in zip(times(ROWS), x, strict=True):
        detector.learn(time, row)
    detector.fit()
    found = scores(detector, bad)
    assert found[:100].max() < 0.5 < found[100:].max()


def test_it_is_deterministic(case: Case) -> None:
    assert trained(case).dump() == trained(case).dump()


def test_scaled_and_shifted_signals_score_the_same(case: Case) -> None:
    plain, scaled = trained(case), case.make()
    gain, offset = np.array([1e-3, 50.0, -1.0, 7.0]), np.array([3.0, -500.0, 0.0, 1e4])
    for time, row in zip(times(ROWS), plant(ROWS, slow=case.slow), strict=True):
        scaled.learn(time, row * gain + offset)
    scaled.fit()
    found, want = scores(scaled, faulty() * gain + offset), scores(plain, faulty())
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-6)


def test_it_sees_an_obvious_fault_and_says_where(case: Case) -> None:
    detector = trained(case)
    found = scores(detector, faulty())
    assert found[:100].max() < 0.5
    if case.flash:
        assert (found[100:, 0] >= 0.5).sum() == 1
    else:
        assert found[110:, 0].min() > 0.5
    assert detector.why()[0].signal == "pump-1/vib_rms"
    assert detector.why()[0].direction == 1
    assert 0.4 < detector.why()[0].share <= 1


def test_a_late_row_changes_nothing(case: Case) -> None:
    detector = trained(case)
    rows = faulty()
    scores(detector, rows[:50])
    before = detector.dump()
    detector.score(START + (ROWS + 45) * SECOND, rows[199])
    detector.learn(START + (ROWS + 45) * SECOND, rows[199])
    assert detector.dump() == before


@pytest.mark.parametrize("jump", [7 * 86_400, -3_600])
def test_a_weeks_gap_or_a_clock_set_back_starts_what_is_remembered_again(case: Case, jump: int) -> None:
    detector, fresh = trained(case), trained(case)
    scores(detector, faulty())
    start = START + (ROWS + 200 + jump) * SECOND
    rows = plant(50, seed=9)
    found = scores(detector, rows, start)
    np.testing.assert_array_equal(found, scores(fresh, rows, start))
    assert found.max() < 0.5


def test_it_beats_always_on_a_clock_and_chance(case: Case) -> None:
    """Average precision over forty runs whose fault begins at a random time, against the three controls."""
    rng = np.random.default_rng(12)
    detector, truth, found, clock = trained(case), [], [], []
    for run in range(40):
        rows, onset = plant(120, seed=100 + run), int(rng.integers(20, 100))
        rows[onset:, 1] += 4.0 * plant(ROWS)[:, 1].std()
        truth.append(np.arange(120) >= onset)
        found.append(scores(detector, rows, START + (ROWS + 1000 * (run + 1)) * SECOND).max(axis=1))
        clock.append(np.arange(120) / 120)
    label = np.concatenate(truth)
    own = average_precision(np.concatenate(found), label)
    controls = (np.ones(label.size), np.concatenate(clock), rng.random(label.size))
    assert own > max(average_precision(score, label) for score in controls) + 0.02


def average_precision(score: np.ndarray, label: np.ndarray) -> float:
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(label[order])
    return float((hits / np.arange(1, label.size + 1))[label[order]].mean())


def test_a_chart_takes_new_signals_cold_and_keeps_the_others() -> None:
    known = trained(CASES[0])
    wider = EwmaChart((*SIGNALS[:3], "pump-1/speed"), every=SECOND, rows=300)
    wider.load(known.dump())
    rows = faulty()
    found = scores(wider, rows)
    np.testing.assert_array_equal(found[:, :3], scores(known, rows)[:, :3])
    assert (found[:, 3] == 0).all()


def test_a_machine_of_other_signals_is_refused_with_a_sentence() -> None:
    known = trained(CASES[1])
    with pytest.raises(ModelError, match="gone: pump-1/current; new: pump-1/speed"):
        MachineT2((*SIGNALS[:3], "pump-1/speed"), asset="pump-1", every=SECOND).load(known.dump())
