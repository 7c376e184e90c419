"""A time window over a recorded series in one go: what ``Ring.push`` says sample by sample, to the last bit.

The same sums in the same order: the samples of a sixtieth are added one by one (of all sixtieths at once), and the 59
before each are summed up by the function that the ring asks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rules.functions import FUNCTIONS, Floats, Function, Parts
from rules.windows import ANYTHING, PARTS, SIXTIETHS, Times, Window, ages, counted, width_of

_BLOCK = 2048  # sixtieths at a time: some MB


def history(window: Window, times: Times, x: Floats) -> Floats:
    """The window after each sample of a recorded series; NaN where unknown, or where the sample is not good."""
    out = np.full(x.shape, np.nan)
    good = np.isfinite(x)
    if good.any():
        with np.errstate(all="ignore"):
            out[good] = _known(window, times[good], x[good])
    return out


def _known(window: Window, times: Times, x: Floats) -> Floats:
    """Of good samples."""
    function, width = FUNCTIONS[window.function], width_of(window)
    part, every = times // width, np.arange(times.size)
    torn = np.concatenate(([True], np.diff(times) > window.max_gap))
    begun = times[np.maximum.accumulate(np.where(torn, every, 0))]
    before = np.where(torn, np.nan, np.roll(x, 1))
    y = counted(function.of, before, x, np.diff(times, prepend=times[0]), window.band or ANYTHING)
    new = torn | (np.diff(part, prepend=part[0]) != 0)
    first = np.flatnonzero(new)
    running = _running(function, first, y, (times - part * width) / 1e9)
    final = {name: field[np.append(first[1:], times.size) - 1] for name, field in running.items()}
    rest = _rests(function, width, final, part[first], torn[first])
    cell = np.cumsum(new) - 1
    value = function.result({name: field[cell] for name, field in rest.items()}, running)
    known: Floats = np.where(times - begun >= window.length - width, value, np.nan)
    return known


def _running(function: Function, first: NDArray[np.intp], y: Floats, lag: Floats) -> Parts:
    """The running sixtieth after each sample: sixtieths begin at ``first``, and the n-th samples of all go together."""
    fields = {name: np.full(y.size, empty) for name, empty in function.empty.items()}
    count = np.diff(first, append=y.size)
    longest_first = first[np.argsort(-count, kind="stable")]
    still = np.searchsorted(np.sort(count), np.arange(int(count.max())), side="right")
    for n, done in enumerate(still.tolist()):
        at = longest_first[: first.size - done] + n
        old = {
            name: field[at - 1] if n else np.full(at.size, function.empty[name])
            for name, field in fields.items()
        }
        for name, field in function.add(old, y[at], lag[at]).items():
            fields[name][at] = field
    return fields


def _rests(function: Function, width: int, final: Parts, part: Times, torn: NDArray[np.bool_]) -> Parts:
    """For each sixtieth what the 59 before it come to; after a gap (``torn``) none of them counts."""
    ahead = np.diff(part, prepend=part[0])
    far = torn | (ahead >= PARTS)
    place = part[0] % PARTS + np.cumsum(
        np.where(far, PARTS + ahead % PARTS, ahead)
    )  # far enough, and no further
    blocks = []
    for start in range(0, part.size, _BLOCK):
        low, end = max(0, start - PARTS), min(start + _BLOCK, part.size)
        at = place[low:end] - place[low] // PARTS * PARTS + PARTS
        here = at[start - low :, None]
        wanted = here - (here - SIXTIETHS) % PARTS  # in the order of the ring
        others = {}
        for name, field in final.items():
            dense = np.full(int(at[-1]) + 1, function.empty[name])
            dense[at] = field[low:end]
            others[name] = np.where(wanted == here, function.empty[name], dense[wanted])
        blocks.append(function.rest(others, ages(part[start:end], width)))
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
