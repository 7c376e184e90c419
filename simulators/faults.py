"""Faults as labelled timelines: what each does to which signals, as a function of time since onset.

A fault's clock is ``x``, the time since its onset divided by its ``ramp``: at x = 1 the scenario's
principal signal has crossed its documented limit, whatever the ramp. A short ramp is the same story told
faster, thermal inertia included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf

import numpy as np

from simulators.machines import MACHINES, Machine, Signals, machine_of
from simulators.noise import Array, Noise


@dataclass(frozen=True, slots=True)
class Moment:
    """What an effect may look at: the machine, its readings so far, and how far the fault has come."""

    machine: Machine
    t: Array  # s since the epoch
    x: Array  # time since onset / ramp; negative before the onset and after the repair
    signals: Signals
    noise: Noise
    quantity: str  # the sensor meant, for faults of a sensor
    at_onset: Callable[[], Signals]  # readings at the moment of onset


@dataclass(frozen=True, slots=True)
class Limit:
    """The documented limit that the principal signal crosses by x = 1."""

    quantity: str
    value: float
    above: bool = True


@dataclass(frozen=True, slots=True)
class Scenario:
    """A way to fail. ``ramp`` is its natural pace in s; ``failed_at`` is x when the function is lost.

    ``failure_mode`` is the ISO 14224:2016 code (tables B.6, B.9) of what is observed, save ``COM``, our own
    for a device that fell silent. ``limits`` says which kinds of machine it fits, and the limit crossed;
    None where nothing crosses a limit (a sensor that lies, a cable).
    """

    name: str
    summary: str
    failure_mode: str
    ramp: float
    failed_at: float
    limits: Mapping[str, Limit | None]
    effect: Callable[[Moment], Signals]


@dataclass(frozen=True, slots=True)
class Fault:
    """One occurrence of a scenario on an asset; times in s since the epoch, ``end`` is the repair."""

    asset: str
    scenario: str
    onset: float
    ramp: float
    end: float = inf
    quantity: str = ""

    @property
    def failure(self) -> float:
        """When the function is lost, if nobody repairs."""
        return self.onset + SCENARIOS[self.scenario].failed_at * self.ramp

    @property
    def failure_mode(self) -> str:
        return SCENARIOS[self.scenario].failure_mode

    def progress(self, t: Array) -> Array:
        """``x`` at the times asked, -1 outside the fault's life."""
        alive = (t >= self.onset) & (t < self.end)
        return np.where(alive, (t - self.onset) / self.ramp, -1.0)


def growth(x: Array, lag: float = 0.0) -> Array:
    """Wear that feeds on itself: 0 at onset, 1 at x = 1, and no more than 3.

    Damage grows exponentially (Gebraeel et al., Residual-life distributions from component degradation
    signals, IIE Transactions 37, 2005). With ``lag``: its heat behind a first-order mass, in closed form.
    """
    rate, full = 2.0, np.expm1(2.0)
    top = np.log1p(3 * full) / rate  # growth is 3 from here on
    rising = np.clip(x, 0, top)
    if lag == 0:
        return np.asarray(np.expm1(rate * rising) / full)
    share = rate * lag / (1 + rate * lag)
    warm = (np.exp(rate * rising) * (1 - share) - 1 + share * np.exp(-rising / lag)) / full
    return np.asarray(3 - (3 - warm) * np.exp(-np.maximum(x - top, 0) / lag))


def settling(x: Array) -> Array:
    """A new balance being reached (heat, a leak): 0 at onset, 1 at x = 1, at most 1.29."""
    return np.asarray(np.expm1(-1.5 * np.maximum(x, 0)) / np.expm1(-1.5))


def _bearing_wear(m: Moment) -> Signals:
    """Spalling: vibration grows and grows rough, friction warms the bearing later and costs some current."""
    s = growth(m.x)
    reach = VIBRATION - m.machine.quantities["vib_rms"].healthy[0]
    warmth = growth(m.x, lag=0.3)
    changed = {"vib_rms": m.signals["vib_rms"] + reach * s + 0.08 * s * m.noise.white("spalls", m.t)}
    for quantity, rise in (("bearing_temp", 9 * warmth), ("oil_temp", 3 * warmth)):
        if quantity in m.signals:
            changed[quantity] = m.signals[quantity] + rise
    if "current" in m.signals:
        changed["current"] = m.signals["current"] * (1 + 0.01 * s)
    return changed


def _imbalance(m: Moment) -> Signals:
    """Deposit or a lost blade tip: vibration at running speed, so it follows the square of speed."""
    low, _ = m.machine.quantities["vib_rms"].healthy
    slowest = m.machine.quantities["speed"].healthy[0] / m.machine.nominal_speed
    reach = np.sqrt(VIBRATION**2 - low**2) / slowest**2
    ratio = m.signals["speed"] / m.machine.nominal_speed
    return {"vib_rms": np.hypot(m.signals["vib_rms"], reach * growth(m.x) * ratio**2)}


def _cavitation(m: Moment) -> Signals:
    """Vapour in the inlet: head and flow fall and turn erratic, the motor unloads, the casing rattles.

    Head falls off as NPSH available drops below NPSH required (ISO 9906; Gülich, ch. 6).
    """
    s = settling(m.x)
    rattle = m.noise.white("vapour", m.t)
    return {
        "discharge_pressure": m.signals["discharge_pressure"] * (1 - 0.22 * s + 0.015 * s * rattle),
        "flow": m.signals["flow"] * (1 - 0.18 * s + 0.02 * s * rattle),
        "current": m.signals["current"] * (1 - 0.15 * s + 0.01 * s * rattle),
        "vib_rms": m.signals["vib_rms"] + 1.7 * s + 0.15 * s * np.abs(rattle),
    }


def _clogged_filter(m: Moment) -> Signals:
    """Dust: the pressure across the filter rises, the fan moves less air and draws less current."""
    s = growth(m.x)
    return {
        "filter_dp": m.signals["filter_dp"] * (1 + 1.5 * s),
        "flow": m.signals["flow"] * (1 - 0.12 * s),
        "current": m.signals["current"] * (1 - 0.08 * s),
    }


def _overheating(m: Moment) -> Signals:
    """Cooling fails: the hottest part climbs to a new balance, its neighbours follow some way."""
    limit = HOTTEST[m.machine.kind]
    rise = (limit.value - m.machine.quantities[limit.quantity].healthy[0]) * settling(m.x)
    changed = {limit.quantity: m.signals[limit.quantity] + rise}
    if m.machine.kind == "motor":
        changed["bearing_temp"] = m.signals["bearing_temp"] + 0.25 * rise
    if m.machine.kind == "gearbox":
        changed["bearing_temp"] = m.signals["bearing_temp"] + 0.9 * rise
    if "oil_pressure" in m.signals:
        changed["oil_pressure"] = m.signals["oil_pressure"] * (1 - 0.004 * rise)
    return changed


def _oil_loss(m: Moment) -> Signals:
    """A leak: oil pressure falls, what is left runs hot, and at last the screws run rough."""
    return {
        "oil_pressure": m.signals["oil_pressure"] * (1 - 0.5 * settling(m.x)),
        "oil_temp": m.signals["oil_temp"] + 8 * growth(m.x, lag=0.3),
        "vib_rms": m.signals["vib_rms"] + 0.5 * growth(m.x, lag=0.5),
    }


def _sensor_drift(m: Moment) -> Signals:
    """The sensor gains a third of its usual value by x = 1, evenly; the machine is well."""
    usual = float(np.mean(m.machine.quantities[m.quantity].healthy))
    return {m.quantity: m.signals[m.quantity] + usual / 3 * np.clip(m.x, 0, 3)}


def _sensor_stuck(m: Moment) -> Signals:
    """The sensor repeats the value of the moment of onset."""
    return {m.quantity: np.where(m.x >= 0, m.at_onset()[m.quantity], m.signals[m.quantity])}


def _sensor_dropout(m: Moment) -> Signals:
    """A loose contact: half of the samples are missing at x = 1, all from x = 2."""
    missing = m.noise.uniform(f"dropout/{m.quantity}", m.t) < 0.5 * m.x
    return {m.quantity: np.where(missing, np.nan, m.signals[m.quantity])}


def _cable_cut(m: Moment) -> Signals:
    """Nothing arrives any more; on a wire the whole device is silent."""
    return {quantity: np.where(m.x >= 0, np.nan, values) for quantity, values in m.signals.items()}


VIBRATION = 4.5
"""mm/s rms; boundary of zones C and D, ISO 20816-3, machines of 15 … 300 kW on rigid feet."""

HOTTEST = {
    "pump": Limit("bearing_temp", 80),
    "motor": Limit("winding_temp", 120),
    "compressor": Limit("oil_temp", 105),
    "fan": Limit("bearing_temp", 80),
    "gearbox": Limit("oil_temp", 90),
}
"""The part that suffers first, and the limit usual for it (winding: class B, IEC 60034-1)."""

_ROUGH = {kind: Limit("vib_rms", VIBRATION) for kind in MACHINES}
_ANY = dict.fromkeys(MACHINES)
_MINUTE, _HOUR = 60.0, 3600.0

SCENARIOS: Mapping[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        Scenario(
            name="bearing_wear",
            summary="a rolling bearing spalls: vibration grows and grows rough, warmth follows",
            failure_mode="VIB",
            ramp=6 * _HOUR,
            failed_at=1.3,
            limits=_ROUGH,
            effect=_bearing_wear,
        ),
        Scenario(
            name="imbalance",
            summary="deposit on the rotor: vibration with the square of speed, nothing else",
            failure_mode="VIB",
            ramp=1 * _HOUR,
            failed_at=1.3,
            limits=_ROUGH,
            effect=_imbalance,
        ),
        Scenario(
            name="cavitation",
            summary="vapour at the pump's inlet: pressure and flow fall and turn erratic",
            failure_mode="ERO",
            ramp=10 * _MINUTE,
            failed_at=2,
            limits={"pump": Limit("discharge_pressure", 5.2, above=False)},
            effect=_cavitation,
        ),
        Scenario(
            name="clogged_filter",
            summary="dust in the fan's filter: its pressure drop rises, flow falls",
            failure_mode="PLU",
            ramp=6 * _HOUR,
            failed_at=1.3,
            limits={"fan": Limit("filter_dp", 250)},
            effect=_clogged_filter,
        ),
        Scenario(
            name="overheating",
            summary="cooling fails: winding, bearing or oil climbs past its limit",
            failure_mode="OHE",
            ramp=30 * _MINUTE,
            failed_at=2,
            limits=HOTTEST,
            effect=_overheating,
        ),
        Scenario(
            name="oil_loss",
            summary="compressor or gearbox leaks oil: its pressure falls, it runs hot",
            failure_mode="ELU",
            ramp=20 * _MINUTE,
            failed_at=2,
            limits={
                "compressor": Limit("oil_pressure", 1.3, above=False),
                "gearbox": Limit("oil_pressure", 1.2, above=False),
            },
            effect=_oil_loss,
        ),
        Scenario(
            name="sensor_drift",
            summary="a sensor gains a third of its value though the machine is well",
            failure_mode="AIR",
            ramp=6 * _HOUR,
            failed_at=1,
            limits=_ANY,
            effect=_sensor_drift,
        ),
        Scenario(
            name="sensor_stuck",
            summary="a sensor repeats one value for ever",
            failure_mode="AIR",
            ramp=_MINUTE,
            failed_at=0,
            limits=_ANY,
            effect=_sensor_stuck,
        ),
        Scenario(
            name="sensor_dropout",
            summary="a loose contact: more and more samples of a sensor are missing",
            failure_mode="AIR",
            ramp=10 * _MINUTE,
            failed_at=2,
            limits=_ANY,
            effect=_sensor_dropout,
        ),
        Scenario(
            name="cable_cut",
            summary="the device's cable is cut: it is dead on its wire",
            failure_mode="COM",
            ramp=_MINUTE,
            failed_at=0,
            limits=_ANY,
            effect=_cable_cut,
        ),
    )
}

_USUAL_SENSOR = {"sensor_drift": "bearing_temp", "sensor_stuck": "vib_rms", "sensor_dropout": "vib_rms"}


def fault(asset: str, scenario: str, onset: float, ramp: float | None = None) -> Fault:
    """A checked fault; ``asset`` may name a sensor (``pump-1/flow``) for the faults of sensors.

    ValueError says in one sentence what does not fit.
    """
    asset, _, quantity = asset.partition("/")
    machine = machine_of(asset)
    if scenario not in SCENARIOS:
        raise ValueError(f"no scenario {scenario!r}; there are {', '.join(SCENARIOS)}")
    if machine.kind not in SCENARIOS[scenario].limits:
        fits = ", ".join(SCENARIOS[scenario].limits)
        raise ValueError(f"{scenario} does not happen to a {machine.kind}; it fits: {fits}")
    if ramp is not None and not ramp > 0:
        raise ValueError(f"a ramp is longer than 0 s, not {ramp:g}")
    if quantity and scenario not in _USUAL_SENSOR:
        raise ValueError(f"{scenario} happens to the whole machine: say {asset}, not {asset}/{quantity}")
    if quantity and quantity not in machine.quantities:
        raise ValueError(f"{asset} has no sensor {quantity!r}; it has {', '.join(machine.quantities)}")
    usual = _USUAL_SENSOR.get(scenario, "")
    if usual and usual not in machine.quantities:
        usual = "oil_temp"  # a compressor has its thermometer in the oil
    return Fault(asset, scenario, onset, ramp or SCENARIOS[scenario].ramp, quantity=quantity or usual)


_SPELLING = re.compile(
    r"(?P<asset>[^:@]+):(?P<scenario>[a-z_]+)(?:@(?P<after>\d+(?:\.\d+)?))?(?:x(?P<ramp>\d+(?:\.\d+)?))?"
)


def parse(text: str, start: float) -> Fault:
    """``ASSET[/SENSOR]:SCENARIO[@SECONDS][xRAMP]``, seconds from ``start``; ValueError if it is not."""
    found = _SPELLING.fullmatch(text)
    if not found:
        raise ValueError(
            f"a fault is written ASSET:SCENARIO@SECONDS[xRAMP], like pump-1:bearing_wear@30x25, not {text!r}"
        )
    ramp = float(found["ramp"]) if found["ramp"] else None
    return fault(found["asset"], found["scenario"], start + float(found["after"] or 0), ramp)
