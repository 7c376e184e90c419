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


# -------------------------------------------------------------------------------------- the others, summed up


def _totals(parts: Parts, _age: Floats) -> Parts:
    return {name: field.sum(axis=1) for name, field in parts.items()}


def _bounds(parts: Parts, _age: Floats) -> Parts:
    return {"low": parts["low"].min(axis=1), "high": parts["high"].max(axis=1)}


def _spreads(parts: Parts, age: Floats) -> Parts:
    """Squares within the sixtieths and those between their means (Chan 1979); times and slopes by the means alone."""
    n = parts["n"]
    every = n.sum(axis=1, keepdims=True)
    weight = n / np.maximum(every, 1)
    t = parts["lag"] / np.maximum(n, 1) - age
    mean, middle = ((weight * x).sum(axis=1, keepdims=True) for x in (parts["mean"], t))
    x, t = parts["mean"] - mean, t - middle
    return {
        "n": every[:, 0], "mean": mean[:, 0], "t": middle[:, 0], "m2": (parts["m2"] + n * x * x).sum(axis=1),
        "tt": (n * t * t).sum(axis=1), "tx": (n * t * x).sum(axis=1),
    }  # fmt: skip


def _neighbours(level: float) -> Callable[[Parts, Floats], Parts]:
    """Between which of the others the quantile falls when one more joins them."""

    def neighbours(parts: Parts, _age: Floats) -> Parts:
        ordered = np.sort(np.where(np.isnan(parts["newest"]), np.inf, parts["newest"]), axis=1)
        among = np.concatenate([np.full((ordered.shape[0], 1), -np.inf), ordered], axis=1)
        place = np.count_nonzero(np.isfinite(ordered), axis=1) * level
        below, above = (edge(place).astype(np.intp)[:, None] for edge in (np.floor, np.ceil))
        picked = (np.take_along_axis(among, at, axis=1)[:, 0] for at in (below, below + 1, above, above + 1))
        edges = dict(zip(("below", "below_next", "above", "above_next"), picked, strict=True))
        return {**edges, "share": place - below[:, 0]}

    return neighbours


# -------------------------------------------------------------------------------------- what comes out


def _mean(rest: Parts, running: Parts) -> Floats:
    found: Floats = _total(rest, running) / _count(rest, running)
    return found


def _rms(rest: Parts, running: Parts) -> Floats:
    found: Floats = np.sqrt(_mean(rest, running))
    return found


def _count(rest: Parts, running: Parts) -> Floats:
    return rest["n"] + running["n"]


def _total(rest: Parts, running: Parts) -> Floats:
    return rest["total"] + running["total"]


def _low(rest: Parts, running: Parts) -> Floats:
    found: Floats = np.minimum(rest["low"], running["low"])
    return found


def _high(rest: Parts, running: Parts) -> Floats:
    found: Floats = np.maximum(rest["high"], running["high"])
    return found


def _spread(rest: Parts, running: Parts) -> Floats:
    return _high(rest, running) - _low(rest, running)


def _quantile(rest: Parts, running: Parts) -> Floats:
    """Of the newest samples of the sixtieths; interpolated as NumPy does."""
    x = running["newest"]
    low = np.minimum(np.maximum(x, rest["below"]), rest["below_next"])
    high = np.minimum(np.maximum(x, rest["above"]), rest["above_next"])
    found: Floats = low + (high - low) * rest["share"]
    return found


def _std(rest: Parts, running: Parts) -> Floats:
    every = _count(rest, running)
    apart = running["mean"] - rest["mean"]
    between = apart * apart * (rest["n"] * running["n"] / every)
    found: Floats = np.sqrt((rest["m2"] + running["m2"] + between) / every)
    return found


def _rate(rest: Parts, running: Parts) -> Floats:
    """Least squares through the mean of each sixtieth, weighted by its samples, per second."""
    shared = rest["n"] * running["n"] / _count(rest, running)
    t = running["lag"] / running["n"] - rest["t"]
    x = running["mean"] - rest["mean"]
    found: Floats = (rest["tx"] + shared * t * x) / (rest["tt"] + shared * t * t)
    return found


@dataclass(frozen=True, slots=True)
class Function:
    """What a sixtieth keeps (``empty``), how a sample is added, and what comes out of sixty of them.

    ``add`` takes the running sixtieth's fields, the sample and its time within it in s. ``rest`` sums up the others: of
    all fields (rows, PARTS), the running one empty, and how many s ago each began before the running one. That holds
    until the next sixtieth begins, so ``result`` of it and the running one's fields is all that a sample costs. ``of``
    says what is counted.
    """

    empty: Mapping[str, float]
    add: Callable[[Parts, Floats, Floats], Parts]
    rest: Callable[[Parts, Floats], Parts]
    result: Callable[[Parts, Parts], Floats]
    of: Literal["value", "hit", "gain", "held"] = "value"
    same_unit: bool = True


_SUM = {"n": 0.0, "total": 0.0}
_EXTREMES = {"low": np.inf, "high": -np.inf}
_NEWEST = {"newest": np.nan}
_MOMENTS = {"n": 0.0, "mean": 0.0, "m2": 0.0, "lag": 0.0}

FUNCTIONS = {
    "mean": Function(_SUM, _add_sum, _totals, _mean),
    "rms": Function(_SUM, _add_squares, _totals, _rms),
    "std": Function(_MOMENTS, _add_moments, _spreads, _std),
    "min": Function(_EXTREMES, _add_extremes, _bounds, _low),
    "max": Function(_EXTREMES, _add_extremes, _bounds, _high),
    "spread": Function(_EXTREMES, _add_extremes, _bounds, _spread),
    "median": Function(_NEWEST, _keep_newest, _neighbours(0.5), _quantile),
    "p5": Function(_NEWEST, _keep_newest, _neighbours(0.05), _quantile),
    "p10": Function(_NEWEST, _keep_newest, _neighbours(0.1), _quantile),
    "p90": Function(_NEWEST, _keep_newest, _neighbours(0.9), _quantile),
    "p95": Function(_NEWEST, _keep_newest, _neighbours(0.95), _quantile),
    "count": Function(_SUM, _add_sum, _totals, _count, same_unit=False),
    "rate": Function(_MOMENTS, _add_moments, _spreads, _rate, same_unit=False),
    "increase": Function(_SUM, _add_sum, _totals, _total, of="gain", same_unit=False),
    "share": Function(_SUM, _add_sum, _totals, _mean, of="hit", same_unit=False),
    "hours": Function(_SUM, _add_sum, _totals, _total, of="held", same_unit=False),
}
