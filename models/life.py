"""Remaining life from one machine's own trend: a number with an interval, and no number without a trend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.promise import Array

_FEWEST = 10
_MOST = 200


@dataclass(frozen=True, slots=True)
class Life:
    """Time left until the limit is reached, with its 90 % interval, in the unit of the times given."""

    left: float
    low: float
    high: float
    shape: str
    """``linear`` or ``exponential``."""


_KNOTS = np.array([0.0, 0.07, 0.15, 0.297, 0.57, 1.112, 2.257, 6.396])
"""Time left by the line, over the time that the line was drawn through."""
_LEFT = np.array([0.025, 0.054, 0.131, 0.272, 0.533, 0.979, 1.974, 6.035])
_LOW = np.array([0.0, 0.005, 0.055, 0.165, 0.333, 0.617, 1.219, 2.904])
_HIGH = np.array([0.074, 0.128, 0.237, 0.44, 0.845, 1.573, 3.386, 13.263])
"""What was really left then, over that same time: median, 7 and 93 % (tests/bench/bench_life.py prints them)."""


def remaining(times: Array, index: Array, limit: float, alike: float = 1.0) -> Life | None:
    """How long until ``index`` (k,) reaches ``limit``; None where it does not clearly move towards it.

    Robust line by Theil–Sen (P. K. Sen, JASA 63, 1968) on the index and, where it is positive, on its
    logarithm; the shape with the smaller median residual is taken; with ``alike`` = 2, where that of the other is no
    more than twice it, the geometric mean of both. A slope whose 90 % rank interval (Sen's, by Kendall's variance)
    holds zero is no trend. Where the line ends is then corrected, and given its interval, by what was really left
    on 400 simulated lives at the same ratio of time left to time watched (split-conformal by bins, H. Boström et
    al., Machine Learning 106, 2017): wear as exp(px) - 1 or x to the p, p 1 to 4, noise 1 to 5 % of the way.
    """
    good = np.isfinite(times) & np.isfinite(index)
    t, y = times[good], index[good]
    if len(y) > _MOST:
        keep = np.linspace(0, len(y) - 1, _MOST).round().astype(int)
        t, y = t[keep], y[keep]
    if len(y) < _FEWEST or limit == y[-1]:
        return None
    toward = 1.0 if limit > np.median(y) else -1.0
    lines = [("linear", _line(t, toward * y), toward * limit)]
    if toward > 0 and y.min() > 0 and limit > 0:
        lines.append(("exponential", _line(t, np.log(y)), float(np.log(limit))))
    found = [line for line in lines if line[1][1] > 0]
    if not found:
        return None
    misfits = [_misfit(shape, line, t, y, toward) for shape, line, _ in found]
    best = int(np.argmin(misfits))
    lefts = [
        max(goal - (start + slope * t[-1]), 0.0) / slope
        for (_, (slope, _, start), goal), misfit in zip(found, misfits, strict=True)
        if misfit <= alike * misfits[best]
    ]
    drawn, watched = float(np.exp(np.mean(np.log(np.maximum(lefts, 1e-300))))), float(t[-1] - t[0])
    left, low, high = (_calibrated(drawn / watched, real) * watched for real in (_LEFT, _LOW, _HIGH))
    return Life(left, low, high, found[best][0])


def _calibrated(ratio: float, real: Array) -> float:
    """What was ``real`` at ``ratio``, between the knots; beyond the last in proportion."""
    return float(np.interp(ratio, _KNOTS, real)) * max(1.0, ratio / float(_KNOTS[-1]))


def _line(t: Array, y: Array) -> tuple[float, float, float]:
    """Slope, the lower end of its 90 % interval, and intercept."""
    i, j = np.triu_indices(len(t), 1)
    apart = t[j] - t[i] > 0
    slopes = np.sort((y[j] - y[i])[apart] / (t[j] - t[i])[apart])
    if not len(slopes):
        return 0.0, 0.0, float(np.median(y))
    n = len(t)
    half = 1.645 * np.sqrt(n * (n - 1) * (2 * n + 5) / 18.0) / 2
    slope = float(np.median(slopes))
    return slope, float(slopes[int(max(0, len(slopes) / 2 - half))]), float(np.median(y - slope * t))


def _misfit(shape: str, line: tuple[float, float, float], t: Array, y: Array, toward: float) -> float:
    """Median distance of the index itself from the line."""
    slope, _, start = line
    drawn = start + slope * t
    drawn = np.exp(drawn) if shape == "exponential" else toward * drawn
    return float(np.median(np.abs(y - drawn)))
