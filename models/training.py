"""Training on a stretch of history: the first part is learned, the rest is held out and says how good it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from models.mode import Mode
from models.promise import LIMIT, Array, Contribution, ModelError
from models.sensor import SoftSensor, State
from models.settings import ModelSettings, ns

LEARNED_SHARE = 0.7
_ON_DELAY = timedelta(seconds=60)
_DAY = 86_400e9
_TELL = 2000  # rows between two words of progress

Times = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class History:
    """Rows of an asset's inputs, ``every`` apart: ``times`` (k,) UTC ns, ``rows`` (k, n), NaN where missing.

    ``normal`` (k,) is False while an alarm was active or somebody worked on the machine: nothing is learned then.
    """

    times: Times
    rows: Array
    normal: Mask


@dataclass(frozen=True, slots=True)
class Onset:
    """An alarm that would have been raised: when, on which output, how high, because of what."""

    time: int
    output: str
    score: float
    why: tuple[Contribution, ...]
    known: bool
    """Whether an alarm was active then, or somebody at work."""


@dataclass(frozen=True, slots=True)
class Replay:
    """Scores (k, outputs) of a history, NaN while nothing was judged, and the alarms they would have raised."""

    scores: Array
    onsets: tuple[Onset, ...]


@dataclass(frozen=True, slots=True)
class Trained:
    """A trained soft sensor's state and what its held-out part shows. ``split`` is its first time."""

    state: bytes
    kind: str
    signals: tuple[str, ...]
    outputs: tuple[str, ...]
    left_out: dict[str, str]
    learned: int
    split: int
    replay: Replay
    figures: dict[str, float]


def train(
    settings: ModelSettings,
    asset: str,
    quantities: Sequence[str],
    history: History,
    progress: Callable[[float], object] = float,
) -> Trained:
    """Learn from the first 70 % of the normal rows of each operating mode and replay the rest.

    ModelError where there are too few rows, or no signal can be learned from.
    """
    sensor = SoftSensor(settings, asset, quantities)
    needed = _needed(settings, asset, sensor, history)
    whole = settings.model_copy(update={"commissioning": settings.every * min(n for n in needed if n)})
    sensor = SoftSensor(whole, asset, quantities, needed=needed)
    replay, split, learned = _run(sensor, history, progress)
    if split is None:
        why = sensor.trouble or "the signals came too rarely"
        raise ModelError(f"{asset} cannot be learned from these rows: {why}")
    sensor.forget_drift()  # of the held-out part, which may hold a fault
    detector = sensor.detector
    return Trained(
        sensor.dump(),
        detector.kind,
        sensor.signals,
        sensor.outputs,
        dict(getattr(detector, "left_out", {})),
        learned,
        split,
        replay,
        _figures(settings, replay, history, len(sensor.outputs)),
    )


def rescore(
    settings: ModelSettings, asset: str, quantities: Sequence[str], state: bytes, history: History
) -> Replay:
    """What a trained state says to ``history``. ModelError if it is of other settings."""
    sensor = SoftSensor(settings, asset, quantities)
    sensor.load(state)
    return _run(sensor, history, float)[0]


def _needed(settings: ModelSettings, asset: str, sensor: SoftSensor, history: History) -> list[int]:
    """Rows to learn from in each operating mode; 0 for a mode with too little of it."""
    mode = Mode(settings.running, sensor.signals, asset)
    count = np.zeros(mode.bands, dtype=int)
    seen = np.isfinite(history.rows[:, : len(sensor.signals)]).any(axis=1) & history.normal
    for time, row, good in zip(history.times.tolist(), history.rows, seen, strict=True):
        band = mode.step(time, row)
        if band is not None and good:
            count[band] += 1
    least = round(settings.commissioning / settings.every)
    share = LEARNED_SHARE / (1.5 if settings.load else 1.0)
    needed = [n if (n := int(share * band)) >= least else 0 for band in count]
    if not any(needed):
        raise ModelError(
            f"{asset} has {count.max()} rows of normal running here; commissioning of {settings.commissioning} at "
            f"every {settings.every} and something to hold out ask for {math.ceil(least / share)}"
        )
    return needed


def _run(
    sensor: SoftSensor, history: History, progress: Callable[[float], object]
) -> tuple[Replay, int | None, int]:
    """Every row through ``sensor``; with the time of the first score and the rows learned before it."""
    scores = np.full((len(history.times), len(sensor.outputs)), np.nan)
    split, learned = None, 0
    watch = _Onsets(sensor)
    for i, (time, row, normal) in enumerate(
        zip(history.times.tolist(), history.rows, history.normal.tolist(), strict=True)
    ):
        found = sensor.step(time, row, learn=normal)
        if sensor.state is State.LIVE:
            split = time if split is None else split
            scores[i] = found
            watch.step(time, found, known=not normal)
        elif split is None:
            learned = max(learned, sensor.learned)
        if i % _TELL == 0:
            progress(i / len(history.times))
    progress(1.0)
    return Replay(scores, tuple(watch.onsets)), split, learned


class _Onsets:
    """Turns scores into alarms as the usual rule does: a minute over the limit raises, 0.6 of it clears."""

    def __init__(self, sensor: SoftSensor) -> None:
        flash = sensor.settings.kind == "signals"
        self._sensor = sensor
        self._judged = sensor.settings.kind != "life"
        self._hold = 1 if flash else max(1, math.ceil(_ON_DELAY / sensor.settings.every))
        self._active = [False] * len(sensor.outputs)
        self._above, self._below = (np.zeros(len(sensor.outputs), int) for _ in range(2))
        self.onsets: list[Onset] = []

    def step(self, time: int, scores: Array, *, known: bool) -> None:
        if not self._judged:
            return
        self._above = np.where(scores >= LIMIT, self._above + 1, 0)
        self._below = np.where(scores < 0.75 * LIMIT, self._below + 1, 0)
        for i in np.flatnonzero(self._above >= self._hold):
            if not self._active[i]:
                self._active[i] = True
                why = self._sensor.detector.why(int(i))
                self.onsets.append(Onset(time, self._sensor.outputs[i], float(scores[i]), why, known))
        for i in np.flatnonzero(self._below >= self._hold):
            self._active[i] = False


def _figures(settings: ModelSettings, replay: Replay, history: History, outputs: int) -> dict[str, float]:
    """What the held-out normal rows show, beside what was stated."""
    judged = np.isfinite(replay.scores).any(axis=1) & history.normal
    days = float(judged.sum() * ns(settings.every) / _DAY)
    found = {"days": days}
    if settings.kind == "life" or not days:
        return found
    false = sum(not onset.known for onset in replay.onsets)
    highest = np.nan_to_num(replay.scores[judged]).max(axis=1)
    found |= {
        "alarms": float(false),
        "alarms_a_day": false / days,
        "share_beyond": float((highest >= LIMIT).mean()),
        "highest": float(highest.max()),
        "alarms_known": float(len(replay.onsets) - false),
    }
    stated = getattr(settings, "false_alarms_per_day", None)
    return found | ({"stated_a_day": stated * (outputs if settings.kind == "ewma" else 1)} if stated else {})
