"""What a time window is made of: for each function, what a sixtieth keeps of its samples and what comes of sixty."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Parts = Mapping[str, Floats]


def gain(before: Floats, x: Floats) -> Floats:
    """What a counter has gained; one that goes back was reset and has gained its value since."""
    gained: Floats = np.where(np.isnan(before), 0.0, np.where(x < before, x, x - before))
    return gained


def _add_sum(old: Parts, y: Floats, _lag: Floats) -> Parts:
    return {"n": old["n"] + 1, "total": old["total"] + y}


def _add_squares(old: Parts, y: Floats, _lag: Floats) -> Parts:
    return {"n": old["n"] + 1, "total": old["total"] + y * y}


def _add_extremes(old: Parts, y: Floats, _lag: Floats) -> Parts:
    return {"low": np.minimum(old["low"], y), "high": np.maximum(old["high"], y)}


def _keep_newest(_old: Parts, y: Floats, _lag: Floats) -> Parts:
    return {"newest": y}


def _add_moments(old: Parts, y: Floats, lag: Floats) -> Parts:
    """Mean and squared deviations as they come (Welford 1962): a small spread on a large value is not drowned."""
    n = old["n"] + 1
    mean = old["mean"] + (y - old["mean"]) / n
    return {"n": n, "mean": mean, "m2": old["m2"] + (y - old["mean"]) * (y - mean), "lag": old["lag"] + lag}


# -------------------------------------------------------------------------------------- what comes out


def _mean(parts: Parts, _age: Floats) -> Floats:
    found: Floats = parts["total"].sum(axis=1) / parts["n"].sum(axis=1)
    return found


def _rms(parts: Parts, age: Floats) -> Floats:
    found: Floats = np.sqrt(_mean(parts, age))
    return found


def _count(parts: Parts, _age: Floats) -> Floats:
    found: Floats = parts["n"].sum(axis=1)
    return found


def _total(parts: Parts, _age: Floats) -> Floats:
    found: Floats = parts["total"].sum(axis=1)
    return found


def _low(parts: Parts, _age: Floats) -> Floats:
    found: Floats = parts["low"].min(axis=1)
    return found


def _high(parts: Parts, _age: Floats) -> Floats:
    found: Floats = parts["high"].max(axis=1)
    return found


def _quantile(level: float) -> Callable[[Parts, Floats], Floats]:
    """Of the newest samples of the sixtieths, those without any left out; interpolated as NumPy does."""

    def quantile(parts: Parts, _age: Floats) -> Floats:
        ordered = np.sort(parts["newest"], axis=1)  # NaN comes last
        place = (np.count_nonzero(~np.isnan(ordered), axis=1) - 1) * level
        below = np.floor(place).astype(np.intp)[:, None]
        low = np.take_along_axis(ordered, below, axis=1)[:, 0]
        high = np.take_along_axis(ordered, np.ceil(place).astype(np.intp)[:, None], axis=1)[:, 0]
        found: Floats = low + (high - low) * (place - below[:, 0])
        return found

    return quantile


def _spread(parts: Parts, age: Floats) -> Floats:
    return _high(parts, age) - _low(parts, age)


def _std(parts: Parts, _age: Floats) -> Floats:
    """Of all samples: the squares within the sixtieths and those between their means (Chan 1979)."""
    n = parts["n"]
    every = n.sum(axis=1, keepdims=True)
    mean = (n * parts["mean"]).sum(axis=1, keepdims=True) / every
    between = n * (parts["mean"] - mean) ** 2
    found: Floats = np.sqrt((parts["m2"] + between).sum(axis=1) / every[:, 0])
    return found


def _rate(parts: Parts, age: Floats) -> Floats:
    """Least squares through the mean of each sixtieth, weighted by its samples, per second."""
    weight = parts["n"] / parts["n"].sum(axis=1, keepdims=True)
    t = parts["lag"] / np.maximum(parts["n"], 1) - age
    t = t - (weight * t).sum(axis=1, keepdims=True)
    x = parts["mean"] - (weight * parts["mean"]).sum(axis=1, keepdims=True)
    found: Floats = (weight * t * x).sum(axis=1) / (weight * t * t).sum(axis=1)
    return found


@dataclass(frozen=True, slots=True)
class Function:
    """What a sixtieth keeps (``empty``), how a sample is added, and what comes out of sixty of them.

    ``add`` takes the running sixtieth's fields, the sample and its time within it in s; ``result`` all fields
    (rows, PARTS) and how many s ago each sixtieth began before the running one. ``of`` says what is counted.
    """

    empty: Mapping[str, float]
    add: Callable[[Parts, Floats, Floats], Parts]
    result: Callable[[Parts, Floats], Floats]
    of: Literal["value", "hit", "gain", "held"] = "value"
    same_unit: bool = True


_SUM = {"n": 0.0, "total": 0.0}
_EXTREMES = {"low": np.inf, "high": -np.inf}
_NEWEST = {"newest": np.nan}
_MOMENTS = {"n": 0.0, "mean": 0.0, "m2": 0.0, "lag": 0.0}

FUNCTIONS = {
    "mean": Function(_SUM, _add_sum, _mean),
    "rms": Function(_SUM, _add_squares, _rms),
    "std": Function(_MOMENTS, _add_moments, _std),
    "min": Function(_EXTREMES, _add_extremes, _low),
    "max": Function(_EXTREMES, _add_extremes, _high),
    "spread": Function(_EXTREMES, _add_extremes, _spread),
    "median": Function(_NEWEST, _keep_newest, _quantile(0.5)),
    "p5": Function(_NEWEST, _keep_newest, _quantile(0.05)),
    "p10": Function(_NEWEST, _keep_newest, _quantile(0.1)),
    "p90": Function(_NEWEST, _keep_newest, _quantile(0.9)),
    "p95": Function(_NEWEST, _keep_newest, _quantile(0.95)),
    "count": Function(_SUM, _add_sum, _count, same_unit=False),
    "rate": Function(_MOMENTS, _add_moments, _rate, same_unit=False),
    "increase": Function(_SUM, _add_sum, _total, of="gain", same_unit=False),
    "share": Function(_SUM, _add_sum, _mean, of="hit", same_unit=False),
    "hours": Function(_SUM, _add_sum, _total, of="held", same_unit=False),
}
