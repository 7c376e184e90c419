"""Chance and cycles as pure functions of time: the same at any time, in any order, for the same seed."""

from __future__ import annotations

from hashlib import blake2b
from math import atan, hypot, pi, sqrt

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

TICK = 0.1
"""Noise changes every 0.1 s; a sensor asked twice within a tick says the same."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class Noise:
    """A machine's own randomness; ``name`` keeps its signals independent of each other.

    Counter-based: the splitmix64 finaliser of (key, counter), so nothing is integrated from a start
    (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
    """

    def __init__(self, seed: int, asset: str) -> None:
        self._prefix = f"{seed}/{asset}/"

    def key(self, name: str) -> int:
        return int.from_bytes(blake2b((self._prefix + name).encode(), digest_size=8).digest(), "little")

    def white(self, name: str, t: Array) -> Array:
        """Independent from tick to tick, mean 0, sd 1; four uniforms added, so never beyond ±3.46."""
        bits = _mix(self.key(name), _ticks(t, TICK))
        lanes = bits.view(np.uint16).reshape(*bits.shape, 4)
        total = lanes[..., 0].astype(np.float64)
        for lane in (1, 2, 3):
            total += lanes[..., lane]
        total -= 2 * 65535
        total *= sqrt(3) / 65536
        return total

    def uniform(self, name: str, t: Array, period: float = TICK) -> Array:
        """0 … 1, a new draw every ``period`` seconds."""
        return _unit(_mix(self.key(name), _ticks(t, period)))

    def wander(self, name: str, t: Array, period: float) -> Array:
        """A smooth walk between draws ``period`` seconds apart, mean 0, within ±1."""
        left = np.floor(t / period)
        share = t / period - left
        index = left.astype(np.int64)
        first = int(index.min()) if index.size else 0
        span = int(np.ptp(index)) if index.size else 0
        if span < index.size:  # one table for all: neighbours share their draws
            draws = 2 * _unit(_mix(self.key(name), np.arange(first, first + span + 2))) - 1
            a, b = draws[index - first], draws[index - first + 1]
        else:
            a = 2 * _unit(_mix(self.key(name), index)) - 1
            b = 2 * _unit(_mix(self.key(name), index + 1)) - 1
        return a + (b - a) * share * share * (3 - 2 * share)


class Cycle:
    """A load that comes and goes within ±1: sines of given (share, period in s), phases by the seed."""

    def __init__(self, noise: Noise, name: str, *terms: tuple[float, float]) -> None:
        self._terms = [
            (share, period, noise.key(f"{name}/{period}") / 2**64 * 2 * pi) for share, period in terms
        ]

    def at(self, t: Array, lag: float = 0.0) -> Array:
        """The cycle, or what a first-order thermal mass with time constant ``lag`` (s) makes of it."""
        total = np.zeros(t.shape)
        for share, period, phase in self._terms:
            reach = 2 * pi / period * lag
            angle = (t % period) * (2 * pi / period)
            total += share / hypot(1, reach) * np.sin(angle + (phase - atan(reach)))
        return total


def _ticks(t: Array, period: float) -> NDArray[np.int64]:
    # A thousandth of a tick of slack: 1.7e9 s + n * 0.1 is not exact in binary.
    return np.floor(t / period + 1e-3).astype(np.int64)


def _mix(key: int, counter: NDArray[np.int64]) -> NDArray[np.uint64]:
    z = counter.astype(np.uint64)
    z *= _GOLDEN
    z += np.uint64(key)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def _unit(bits: NDArray[np.uint64]) -> Array:
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
