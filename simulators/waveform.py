"""What an accelerometer on the fan's bearing hears: noise, the shaft, and the blows of a spalled outer ring."""

from __future__ import annotations

import json
from collections.abc import Iterable

import numpy as np

from simulators.faults import Fault, growth
from simulators.noise import Array

RATE, COUNT = 5120.0, 4096  # Hz, samples: 0.8 s
OUTER_RING = 3.585  # blows a revolution: a 6205 bearing's BPFO
_RINGING, _DECAY = 1500.0, 800.0  # Hz, 1/s: how the housing answers a blow
_STRENGTH = 6.0  # m/s2 of a blow when the wear has reached its limit; the noise has 1


def block(wear: float, speed: float, seed: int) -> Array:
    """Acceleration (COUNT,) in m/s2 at ``wear`` (0 sound, 1 at its limit) and ``speed`` (r/min)."""
    rng, t = np.random.default_rng(seed), np.arange(COUNT) / RATE
    heard = rng.normal(0, 1, COUNT) + 0.5 * np.sin(2 * np.pi * speed / 60 * t)
    apart = 60 / (OUTER_RING * speed)
    blows = np.cumsum(apart * (1 + rng.normal(0, 0.01, int(t[-1] / apart) + 1)))  # rollers slip
    since = t - np.concatenate([[-1.0], blows])[np.searchsorted(blows, t)]
    return np.asarray(
        heard + _STRENGTH * wear * np.exp(-_DECAY * since) * np.sin(2 * np.pi * _RINGING * since)
    )


def waveform(asset: str, tick: int, t: float, faults: Iterable[Fault], speed: float) -> str:
    """The JSON of one block at ``tick`` (UTC ns), plant time ``t`` (s)."""
    worn = [f.progress(np.array([t])) for f in faults if f.asset == asset and f.scenario == "bearing_wear"]
    wear = max((float(growth(x)[0]) for x in worn), default=0.0)
    samples = [round(value, 3) for value in block(wear, speed, tick // 1_000_000).tolist()]
    return json.dumps({"ts": tick // 1_000_000, "rate": RATE, "speed": round(speed, 1), "samples": samples})
