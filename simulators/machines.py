"""Five healthy machines: what each quantity is at any time, coupled as physics couples them.

Load cycles are sums of sines and heat follows them through a first-order mass, both in closed form.
Speed drives flow, head and power by the affinity laws Q ~ n, H ~ n², P ~ n³ (Gülich, Centrifugal Pumps,
3rd ed., 3.1; ISO 5801 for fans), vibration grows with the square of speed (centrifugal force), and a
motor's current is its magnetising and its load current at right angles (Chapman, Electric Machinery
Fundamentals, 5th ed., ch. 6). Healthy vibration stays in zones A and B of ISO 20816-3: below 2.8 mm/s
rms for machines up to 300 kW on rigid feet. Times are seconds since the epoch, UTC.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from simulators.noise import Array, Cycle, Noise

Signals = dict[str, Array]

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Quantity:
    """A measured quantity: its unit, the decimals its sensor gives, and where it stays while all is well."""

    unit: str
    decimals: int
    healthy: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Machine:
    """A kind of machine; ``run`` gives its healthy quantities at the times asked."""

    kind: str
    quantities: Mapping[str, Quantity]
    nominal_speed: float
    run: Callable[[Noise, Array], Signals]


def _ambient(noise: Noise, t: Array) -> Array:
    """Air in the hall in degC: 22 ± 2 over the day, warmest in the afternoon."""
    return 22 + 2 * np.sin((t % DAY) * (2 * np.pi / DAY) - 2.3) + 0.6 * noise.wander("ambient", t, 10_800)


def _pump(noise: Noise, t: Array) -> Signals:
    """A 22 kW centrifugal pump on an inverter, 85 m³/h at 62 m."""
    demand = Cycle(noise, "demand", (0.6, 7_200), (0.3, 1_060), (0.1, 143))
    ratio = 1 + 0.02 * demand.at(t)
    valve = 1 + 0.05 * noise.wander("valve", t, 900)  # the process opens and throttles
    return {
        "vib_rms": (1.87 + 2 * (valve - 1) ** 2) * ratio**2
        + 0.07 * noise.wander("vib", t, 240)
        + 0.03 * noise.white("vib_rms", t),
        "bearing_temp": _ambient(noise, t)
        + 27.8
        + 1.5 * demand.at(t, lag=900)
        + 0.08 * noise.white("bearing_temp", t),
        "discharge_pressure": 6.2 * ratio**2 * (1.18 - 0.18 * valve**2)
        + 0.015 * noise.white("discharge_pressure", t),
        "flow": 85 * ratio * valve + 0.35 * noise.white("flow", t),
        "speed": 1450 * ratio + 0.8 * noise.white("speed", t),
        "current": np.hypot(14.0, 33.7 * ratio**3 * valve) + 0.12 * noise.white("current", t),
    }


def _motor(noise: Noise, t: Array) -> Signals:
    """A 30 kW four-pole motor driving a conveyor at 55 … 85 % load."""
    batches = Cycle(noise, "batches", (0.5, 3_600), (0.35, 900), (0.15, 127))
    load = 0.70 + 0.15 * batches.at(t)
    ambient = _ambient(noise, t)
    speed = 1500 - 28 * load  # slip
    return {
        "vib_rms": 1.40 * (speed / 1480) ** 2
        + 0.6 * (load - 0.70)
        + 0.05 * noise.wander("vib", t, 300)
        + 0.03 * noise.white("vib_rms", t),
        # 80 K rise at full load, class B; copper loss goes with the square of the load
        "winding_temp": ambient
        + 80 * (0.49 + 0.21 * batches.at(t, lag=1_500))
        + 0.15 * noise.white("winding_temp", t),
        "bearing_temp": ambient + 30 + 4 * batches.at(t, lag=1_200) + 0.1 * noise.white("bearing_temp", t),
        "current": np.hypot(22.0, 55 * load) + 0.2 * noise.white("current", t),
        "speed": speed + 0.6 * noise.white("speed", t),
    }


def _compressor(noise: Noise, t: Array) -> Signals:
    """A 45 kW oil-injected screw compressor that loads and idles between 6.7 and 7.3 bar."""
    shift = Cycle(noise, "shift", (0.7, 5_400), (0.3, 1_700))
    phase = (t / 96 + noise.key("phase") / 2**64) % 1
    loaded = phase < 0.6
    # Pressure climbs while loaded and falls while the net draws on the receiver.
    saw = np.where(loaded, phase / 0.6, (1 - phase) / 0.4)
    oil_temp = _ambient(noise, t) + 59 + 2 * shift.at(t, lag=1_200)
    return {
        "discharge_pressure": 6.7 + 0.6 * saw + 0.012 * noise.white("discharge_pressure", t),
        "oil_temp": oil_temp + 0.15 * noise.white("oil_temp", t),
        # warm oil is thin: the pressure across the bearings falls a little
        "oil_pressure": 2.30 * (1 - 0.004 * (oil_temp - 81)) + 0.012 * noise.white("oil_pressure", t),
        "vib_rms": 2.02
        + 0.12 * loaded
        + 0.05 * noise.wander("vib", t, 420)
        + 0.03 * noise.white("vib_rms", t),
        "speed": 2962 - 12 * loaded + 0.8 * noise.white("speed", t),
    }


def _fan(noise: Noise, t: Array) -> Signals:
    """A 7.5 kW supply fan on an inverter behind an F7 filter, 12 000 m³/h."""
    demand = Cycle(noise, "demand", (0.6, DAY), (0.4, 2_400))
    ratio = 1 + 0.04 * demand.at(t)
    return {
        "vib_rms": 1.35 * ratio**2 + 0.06 * noise.wander("vib", t, 360) + 0.03 * noise.white("vib_rms", t),
        "bearing_temp": _ambient(noise, t)
        + 21
        + 1.5 * demand.at(t, lag=700)
        + 0.1 * noise.white("bearing_temp", t),
        "flow": 12_000 * ratio + 45 * noise.white("flow", t),
        "filter_dp": 120 * ratio**2 + 1.5 * noise.white("filter_dp", t),
        "current": np.hypot(4.5, 9.5 * ratio**3) + 0.05 * noise.white("current", t),
        "speed": 1180 * ratio + 0.7 * noise.white("speed", t),
    }


def _gearbox(noise: Noise, t: Array) -> Signals:
    """A 55 kW two-stage helical gear unit with forced lubrication, driven at 1480 r/min."""
    batches = Cycle(noise, "batches", (0.5, 5_400), (0.35, 1_300), (0.15, 181))
    load = 0.70 + 0.15 * batches.at(t)
    ambient = _ambient(noise, t)
    # what is lost grows with the load; the oil sump takes an hour to follow
    sump = ambient + 38 + 4 * batches.at(t, lag=2_400)
    return {
        "vib_rms": 1.70
        + 0.9 * (load - 0.70)
        + 0.06 * noise.wander("vib", t, 300)
        + 0.04 * noise.white("vib_rms", t),
        "oil_temp": sump + 0.15 * noise.white("oil_temp", t),
        "bearing_temp": sump + 5 + 2 * batches.at(t, lag=900) + 0.1 * noise.white("bearing_temp", t),
        # warm oil is thin: the pump's pressure falls a little
        "oil_pressure": 2.00 * (1 - 0.004 * (sump - 60)) + 0.012 * noise.white("oil_pressure", t),
        "speed": 1500 - 28 * load + 0.6 * noise.white("speed", t),
    }


MACHINES: Mapping[str, Machine] = {
    machine.kind: machine
    for machine in (
        Machine(
            "pump",
            {
                "vib_rms": Quantity("mm/s", 2, (1.6, 2.25)),
                "bearing_temp": Quantity("degC", 1, (45, 55)),
                "discharge_pressure": Quantity("bar", 2, (5.7, 6.7)),
                "flow": Quantity("m3/h", 1, (77, 93)),
                "speed": Quantity("rpm", 0, (1415, 1485)),
                "current": Quantity("A", 1, (32, 41)),
            },
            1450,
            _pump,
        ),
        Machine(
            "motor",
            {
                "vib_rms": Quantity("mm/s", 2, (1.1, 1.75)),
                "winding_temp": Quantity("degC", 1, (52, 70)),
                "bearing_temp": Quantity("degC", 1, (47, 57)),
                "current": Quantity("A", 1, (36, 53)),
                "speed": Quantity("rpm", 0, (1473, 1487)),
            },
            1480,
            _motor,
        ),
        Machine(
            "compressor",
            {
                "discharge_pressure": Quantity("bar", 2, (6.6, 7.4)),
                "oil_temp": Quantity("degC", 1, (75, 87)),
                "oil_pressure": Quantity("bar", 2, (2.18, 2.42)),
                "vib_rms": Quantity("mm/s", 2, (1.85, 2.35)),
                "speed": Quantity("rpm", 0, (2945, 2968)),
            },
            2950,
            _compressor,
        ),
        Machine(
            "fan",
            {
                "vib_rms": Quantity("mm/s", 2, (1.05, 1.65)),
                "bearing_temp": Quantity("degC", 1, (38, 48)),
                "flow": Quantity("m3/h", 0, (11_300, 12_700)),
                "filter_dp": Quantity("Pa", 0, (104, 136)),
                "current": Quantity("A", 1, (9, 12)),
                "speed": Quantity("rpm", 0, (1129, 1231)),
            },
            1180,
            _fan,
        ),
        Machine(
            "gearbox",
            {
                "vib_rms": Quantity("mm/s", 2, (1.35, 2.05)),
                "oil_temp": Quantity("degC", 1, (55, 65)),
                "bearing_temp": Quantity("degC", 1, (59, 71)),
                "oil_pressure": Quantity("bar", 2, (1.92, 2.09)),
                "speed": Quantity("rpm", 0, (1473, 1487)),
            },
            1480,
            _gearbox,
        ),
    )
}


def machine_of(asset: str) -> Machine:
    """The kind of machine an asset's name says: ``pump-7`` is a pump. ValueError for any other name."""
    kind, _, number = asset.rpartition("-")
    if kind not in MACHINES or not number.isdigit():
        known = ", ".join(f"{kind}-1" for kind in MACHINES)
        raise ValueError(f"no asset {asset!r} in the simulated plant; there are {known} (and -2, -3 …)")
    return MACHINES[kind]
