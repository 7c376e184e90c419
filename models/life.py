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


def remaining(times: Array, index: Array, limit: float, alike: float = 1.0) -> Life | None:
    """How long until ``index`` (k,) reaches ``limit``; None where it does not clearly move towards it.

    Robust line by Theil–Sen (P. K. Sen, JASA 63, 1968) on the index and, where it is positive, on its
    logarithm; the shape with the smaller median residual is taken; with ``alike`` = 2, where that of the other is no
    more than twice it, the geometric mean of both, with an interval that holds both. The interval comes from the
    5 % and 95 % of the pairs' slopes' rank interval (Sen's, by Kendall's variance); a slope whose interval
    holds zero is no trend.
    """
    good = np.isfinite(times) & np.isfinite(index)
    t, y = times[good], index[good]
    if len(y) > _MOST:
        keep = np.linspace(0, len(y) - 1, _MOST).round().astype(int)
        t, y = t[keep], y[keep]
    if len(y) < _FEWEST or limit == y[-1]:
        return None
    toward = 1.0 if limit > np.median(y) else -1.0
    lines = [("linear", _line(t, toward * y), toward * limit, toward * y)]
    if toward > 0 and y.min() > 0 and limit > 0:
        lines.append(("exponential", _line(t, np.log(y)), float(np.log(limit)), np.log(y)))
    found = [line for line in lines if line[1][1] > 0]
    if not found:
        return None
    misfits = [_misfit(line, t, y, toward) for line in found]
    best = int(np.argmin(misfits))
    believed = [line for line, misfit in zip(found, misfits, strict=True) if misfit <= alike * misfits[best]]
    told = []
    for _, (slope, slow, fast, start), goal, _ in believed:
        gap = max(goal - (start + slope * t[-1]), 0.0)
        told.append((gap / slope, gap / fast, gap / slow))
    lefts, lows, highs = zip(*told, strict=True)
    return Life(
        float(np.exp(np.mean(np.log(np.maximum(lefts, 1e-300))))), min(lows), max(highs), found[best][0]
    )


def _line(t: Array, y: Array) -> tuple[float, float, float, float]:
    """Slope, its 90 % interval, and intercept."""
    i, j = np.triu_indices(len(t), 1)
    apart = t[j] - t[i] > 0
    slopes = np.sort((y[j] - y[i])[apart] / (t[j] - t[i])[apart])
    if not len(slopes):
        return 0.0, 0.0, 0.0, float(np.median(y))
    n = len(t)
    half = 1.645 * np.sqrt(n * (n - 1) * (2 * n + 5) / 18.0) / 2
    low = int(max(0, len(slopes) / 2 - half))
    high = int(min(len(slopes) - 1, len(slopes) / 2 + half))
    slope = float(np.median(slopes))
    return slope, float(slopes[low]), float(slopes[high]), float(np.median(y - slope * t))


def _misfit(
    line: tuple[str, tuple[float, float, float, float], float, Array], t: Array, y: Array, toward: float
) -> float:
    """Median distance of the index itself from the line."""
    shape, (slope, _, _, start), _, _ = line
    drawn = start + slope * t
    drawn = np.exp(drawn) if shape == "exponential" else toward * drawn
    return float(np.median(np.abs(y - drawn)))
