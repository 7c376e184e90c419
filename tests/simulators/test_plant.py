"""The plant is a pure function of time, its values are physical, and its faults do what they say."""

from dataclasses import replace

import numpy as np
import pytest

from simulators import faults, plant
from simulators.faults import SCENARIOS
from simulators.machines import Signals, machine_of
from simulators.noise import TICK, Cycle, Noise

START = 1_790_000_000.0
MONTH = START + 60.0 * np.arange(30 * 1440)
FITTING = [(name, kind) for name, scenario in SCENARIOS.items() for kind in scenario.limits]
LIMITED = [(name, kind) for name, kind in FITTING if SCENARIOS[name].limits[kind]]


@pytest.mark.parametrize("asset", plant.DEMO_ASSETS)
def test_the_same_time_gives_the_same_value_in_any_order_and_portion(asset: str) -> None:
    t = START + 0.7 * np.arange(3000)
    struck = [faults.fault(asset, name, START + 500, 900) for name in ("bearing_wear", "sensor_drift")]
    whole = plant.signals(asset, t, struck, seed=7)
    backwards = plant.signals(asset, t[::-1], struck, seed=7)
    for quantity, values in whole.items():
        assert (backwards[quantity][::-1] == values).all()
    for i in np.random.default_rng(1).integers(0, t.size, 40):
        alone = plant.signals(asset, t[i], struck, seed=7)
        assert all(alone[quantity][0] == values[i] for quantity, values in whole.items())


def test_another_seed_is_another_plant_and_another_asset_another_machine() -> None:
    one = plant.signals("pump-1", MONTH, seed=1)["flow"]
    assert not np.array_equal(one, plant.signals("pump-1", MONTH, seed=2)["flow"])
    assert abs(np.corrcoef(one, plant.signals("pump-2", MONTH, seed=1)["flow"])[0, 1]) < 0.2


@pytest.mark.parametrize("asset", plant.DEMO_ASSETS)
@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_month_stays_where_it_should_and_moves(asset: str, seed: int) -> None:
    for quantity, values in plant.signals(asset, MONTH, seed=seed).items():
        low, high = machine_of(asset).quantities[quantity].healthy
        assert low <= values.min() < values.max() <= high, quantity
        assert np.ptp(values) > 0.2 * (high - low), quantity


@pytest.mark.parametrize("asset", plant.DEMO_ASSETS)
def test_healthy_vibration_stays_in_zones_a_and_b(asset: str) -> None:
    assert machine_of(asset).quantities["vib_rms"].healthy[1] < 2.8  # mm/s, ISO 20816-3


def test_the_pump_obeys_the_affinity_laws() -> None:
    v = plant.signals("pump-1", MONTH)
    log = {quantity: np.log(v[quantity]) for quantity in ("speed", "flow", "discharge_pressure")}
    # The valve moves flow as well, so the exponents are met on the average.
    assert np.polyfit(log["speed"], log["flow"], 1)[0] == pytest.approx(1, abs=0.15)
    assert np.polyfit(log["speed"], log["discharge_pressure"], 1)[0] == pytest.approx(2, abs=0.15)
    assert np.corrcoef(v["speed"], v["current"])[0, 1] > 0.6
    assert np.corrcoef(v["speed"], v["vib_rms"])[0, 1] > 0.4


def test_heat_comes_after_load() -> None:
    minutes = START + 60.0 * np.arange(4 * 1440)
    v = plant.signals("motor-1", minutes, seed=5)
    load, heat = (v[name] - v[name].mean() for name in ("current", "winding_temp"))
    shifted = [np.dot(load[: load.size - lag], heat[lag:]) for lag in range(40)]
    assert 3 <= int(np.argmax(shifted)) <= 25  # minutes


def test_a_thermal_mass_follows_its_differential_equation() -> None:
    cycle = Cycle(Noise(0, "x"), "load", (0.6, 700), (0.4, 90))
    t = START + np.linspace(0, 700, 200_001)
    warm = cycle.at(t, lag=60)
    assert np.allclose(60 * np.gradient(warm, t) + warm, cycle.at(t), atol=1e-4)


def test_noise_is_white_of_sd_one_and_constant_within_a_tick() -> None:
    noise, t = Noise(3, "pump-1"), START + TICK * np.arange(200_000.0)
    white = noise.white("w", t)
    assert abs(white.mean()) < 0.01
    assert white.std() == pytest.approx(1, abs=0.01)
    assert abs(np.corrcoef(white[1:], white[:-1])[0, 1]) < 0.01
    assert (noise.white("w", t + 0.09) == white).all()
    assert np.abs(noise.wander("w", t, 30)).max() <= 1


@pytest.mark.parametrize(("scenario", "kind"), LIMITED)
@pytest.mark.parametrize("ramp", [25, None])
def test_a_fault_crosses_its_limit_in_its_time(scenario: str, kind: str, ramp: float | None) -> None:
    fault = faults.fault(f"{kind}-1", scenario, START, ramp)
    limit = SCENARIOS[scenario].limits[kind]
    assert limit is not None
    for seed in range(5):
        t = START + fault.ramp * np.linspace(-1, 2, 3001)
        values = plant.signals(f"{kind}-1", t, [fault], seed)[limit.quantity]
        crossed = values > limit.value if limit.above else values < limit.value
        first = (t[crossed][0] - START) / fault.ramp
        assert 0.3 < first <= 1.0
        assert crossed[t > START + 1.1 * fault.ramp].all()


@pytest.mark.parametrize(("scenario", "kind"), FITTING)
def test_a_fault_changes_nothing_before_its_onset_nor_after_its_repair_nor_elsewhere(
    scenario: str, kind: str
) -> None:
    asset = f"{kind}-1"
    t = START + np.arange(-200.0, 600.0)
    fault = replace(faults.fault(asset, scenario, START, 100), end=START + 400)
    struck, healthy = plant.signals(asset, t, [fault]), plant.signals(asset, t)
    away = (t < START) | (t >= START + 400)
    assert all((struck[q][away] == healthy[q][away]).all() for q in healthy)
    assert any((struck[q][~away] != healthy[q][~away]).any() for q in healthy)
    other = f"{kind}-2"
    assert all(
        (values == plant.signals(other, t)[q]).all() for q, values in plant.signals(other, t, [fault]).items()
    )


def test_a_faulty_bearing_warms_after_it_shakes() -> None:
    fault = faults.fault("pump-1", "bearing_wear", START, 3600)
    t = START + np.array([1800.0, 3600.0])
    rise = {
        q: plant.signals("pump-1", t, [fault])[q] - plant.signals("pump-1", t)[q]
        for q in ("vib_rms", "bearing_temp", "flow", "speed")
    }
    assert rise["bearing_temp"][0] / 9 < rise["vib_rms"][0] / 2.9
    assert rise["bearing_temp"][1] > 3
    assert not rise["flow"].any()
    assert not rise["speed"].any()


def test_sensors_lie_without_the_machine() -> None:
    t = START + np.arange(0.0, 1200.0)
    healthy = plant.signals("pump-1", t)

    def struck(scenario: str, sensor: str = "") -> Signals:
        return plant.signals("pump-1", t, [faults.fault(f"pump-1{sensor}", scenario, START + 100, 600)])

    stuck = struck("sensor_stuck", "/flow")
    assert set(stuck["flow"][100:]) == {healthy["flow"][100]}
    assert all((stuck[q] == healthy[q]).all() for q in healthy if q != "flow")
    gaps = np.isnan(struck("sensor_dropout")["vib_rms"])
    assert 0.4 < gaps[600:800].mean() < 0.6
    assert not gaps[:100].any()
    drift = struck("sensor_drift")["bearing_temp"] - healthy["bearing_temp"]
    assert drift[700] == pytest.approx(50 / 3)
    assert all(np.isnan(values[100:]).all() for values in struck("cable_cut").values())


def test_two_faults_of_one_machine_add() -> None:
    worn = faults.fault("pump-1", "bearing_wear", START, 60)
    stuck = faults.fault("pump-1", "sensor_stuck", START + 30)
    t = START + np.arange(0.0, 60.0)
    both = plant.signals("pump-1", t, [worn, stuck])["vib_rms"]
    assert set(both[30:]) == {plant.signals("pump-1", t, [worn])["vib_rms"][30]}


def test_labels_say_when_the_function_is_lost() -> None:
    fault = faults.parse("pump-1:bearing_wear@30x25", START)
    assert (fault.onset, fault.ramp, fault.failure_mode) == (START + 30, 25, "VIB")
    assert fault.failure == START + 30 + 1.3 * 25
    assert faults.parse("fan-2:clogged_filter", START).ramp == SCENARIOS["clogged_filter"].ramp


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pump-1", "ASSET:SCENARIO@SECONDS"),
        ("pump-1:rust", "no scenario 'rust'; there are bearing_wear"),
        ("crane-1:bearing_wear", "no asset 'crane-1'"),
        ("pump-1:clogged_filter", "does not happen to a pump; it fits: fan"),
        ("pump-1:imbalance@5x0", "longer than 0 s"),
        ("pump-1/flow:imbalance", "whole machine"),
        ("pump-1/torque:sensor_stuck", "no sensor 'torque'"),
    ],
)
def test_a_fault_that_does_not_fit_is_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        faults.parse(text, START)
