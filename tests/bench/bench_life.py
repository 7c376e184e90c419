"""The calibration of ``kind = "life"``: ``python -m tests.bench.bench_life`` prints the table of models/life.py.

Simulated wear of known end goes through ``LifeWatch``; at each ratio of time left by its line to time watched, the
quantiles of what was really left. Then other shapes of wear say how often the interval holds the truth.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import numpy.typing as npt

from models import life
from models.lifetime import LifeWatch

MINUTE, HOUR = 60_000_000_000, 3600e9
EDGES = (0, 0.03, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 100)
SHARE = 0.07
PHASES = (0, 0.3, 0.5, 0.7, 0.85, 0.95, 1)
FITTED = (("exp", 1.0), ("exp", 2.0), ("exp", 4.0), ("pow", 1.0), ("pow", 2.0), ("pow", 3.0))
UNSEEN = (("exp", 1.5), ("exp", 3.0), ("exp", 5.0), ("pow", 1.0), ("pow", 1.5), ("pow", 2.5), ("pow", 4.0))
Shapes = tuple[tuple[str, float], ...]
BARE: dict[str, Any] = {
    "_KNOTS": np.array([0.0, 1e6]),
    "_LEFT": np.array([0.0, 1e6]),
    "_LOW": np.ones(2),
    "_HIGH": np.ones(2),
}
"""Tables that leave what the line says as it is, and tell how long it was drawn through as ``high``."""


def lives(seed: int, count: int, shapes: Shapes) -> npt.NDArray[np.float64]:
    """Rows (k, 5): hours really left, told, low, high, and how much of life is over."""
    rng, found = np.random.default_rng(seed), []
    for _ in range(count):
        kind, power = shapes[rng.integers(len(shapes))]
        hours, noise = (
            float(np.exp(rng.uniform(np.log(2), np.log(50)))),
            float(rng.choice([0.01, 0.02, 0.05])),
        )
        every = max(1, int(hours / 16)) * MINUTE
        rows = int(hours * HOUR / every)
        over = np.arange(rows) / rows
        wear = np.expm1(power * over) / np.expm1(power) if kind == "exp" else over**power
        watch = LifeWatch("m/v", asset="m", every=every, limit=4.5)
        values = 2.0 + 2.5 * np.concatenate([np.zeros(400), wear]) + rng.normal(0, 2.5 * noise, 400 + rows)
        for i in range(400):
            watch.learn(i * every, values[i : i + 1])
        watch.fit()
        for i in range(rows):
            told = watch.score((400 + i) * every, values[400 + i : 401 + i])
            if i % 6 == 0 and np.isfinite(told[0]):
                found.append([(rows - i) * every / HOUR, *told, over[i]])
    return np.array(found)


def main() -> None:
    with patch.multiple(life, **BARE):
        real, told, _, watched, _ = lives(1, 400, FITTED).T
    for low, high in pairwise(EDGES):
        inside = (told / watched >= low) & (told / watched < high)
        lowest, left, highest = np.quantile((real / watched)[inside], [SHARE, 0.5, 1 - SHARE])
        at = np.median((told / watched)[inside])
        print(f"at {at:6.3f}: low {lowest:.3f}, left {left:.3f}, high {highest:.3f}")
    for name, seed, shapes in (("as fitted", 1, FITTED), ("unseen shapes", 2, UNSEEN)):
        real, told, lowest, highest, over = lives(seed, 300, shapes).T
        holds = (real >= lowest) & (real <= highest)
        print(f"{name}: held in {holds.mean():.0%} of the rows (median error); by how much of life is over:")
        for low, high in pairwise(PHASES):
            part = (over >= low) & (over < high)
            off = np.median(told[part] / real[part] - 1)
            print(f"  {low:4.0%} to {high:4.0%}: {holds[part].mean():.0%} ({off:+.0%})")


if __name__ == "__main__":
    main()
