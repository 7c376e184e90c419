"""A detector's course in one operating mode: what the load explains, commissioning, then judging and drift."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.drift import Baseline
from models.load import LoadModel
from models.promise import Array, Detector, ModelError
from models.state import pack, unpack

TIMES = 2  # how often commissioning may begin while a signal still trends


class Course:
    """From the first row to the last, in the order it happens.

    With load signals, half of commissioning's length goes before it, to learn what they explain. If a signal still
    trends at the end of commissioning (a machine warming up, half of a cycle) commissioning begins anew
    once, and ``trouble`` says so; the second is taken as it is. A detector that cannot be fitted learns on
    and tries again after each further tenth.
    """

    def __init__(
        self,
        make: Callable[[], Detector],
        needed: int,
        load: Callable[[], LoadModel] | None,
        times: int = TIMES,
    ) -> None:
        """``needed`` rows of commissioning, begun at most ``times`` times."""
        self._make, self._needed, self._times = make, needed, times
        self.detector = make()
        self._load = load() if load else None
        self._before = needed // 2 if load else 0  # rows that teach what the load explains
        self.learned = 0
        self.trouble = ""
        self._begun = 1
        self._names = [name.partition("/")[2] for name in self.detector.signals]
        self._base = Baseline(len(self._names), needed)

    @property
    def progress(self) -> float:
        """How much of commissioning is done, 0…1."""
        done = self.learned / (self._before + self._needed)
        return 1.0 if self.detector.ready else min(1.0, done)

    @property
    def drifted(self) -> tuple[str, ...]:
        """Quantities that have left where commissioning saw them: ``"bearing_temp up"``."""
        return tuple(f"{self._names[i]} {'up' if way > 0 else 'down'}" for i, way in self._base.drifted())

    def forget_drift(self) -> None:
        """What a replay made of the baseline is no drift of the machine."""
        self._base.forget()

    def step(self, time: int, row: Array, *, learn: bool) -> Array | None:
        """Scores of ``row``, None while commissioning goes on."""
        if self._load is not None:
            if learn and self.learned < self._before:
                self._load.learn(time, row)
                self.learned += bool(np.isfinite(row).any())
                return None
            row = self._rest(time, row, learn=learn)
        if self.detector.ready:
            scores = self.detector.score(time, row)
            if learn:
                self.detector.learn(time, row)
                self._base.step(row)
            return scores
        if learn and np.isfinite(row).any():
            self.detector.learn(time, row)
            self._base.step(row)
            self.learned += 1
            self._settle()
        return None

    def _rest(self, time: int, row: Array, *, learn: bool) -> Array:
        """What the load does not explain, by what was known before this row; that is learned until the fit."""
        assert self._load is not None
        self._load.observe(time, row)
        rest = self._load.explain(row)
        if learn and not self.detector.ready:
            self._load.learn(time, row)
        return rest

    def _settle(self) -> None:
        """Fit when enough was learned."""
        over = self.learned - self._before - self._needed
        if over < 0 or over % max(1, self._needed // 10):
            return
        trending = ", ".join(self._names[i] for i in self._base.trending())
        if trending and self._begun < self._times:
            self._begun += 1
            self.detector = self._make()
            self._base = Baseline(len(self._names), self._needed)
            self.learned = self._before
            self.trouble = (
                f"{trending} still trending: commissioning begins anew ({self._begun} of {self._times})"
            )
            return
        try:
            self.detector.fit()
            self.trouble = "" if self.detector.ready else "no signal has shown enough normal running"
        except ModelError as error:
            self.trouble = str(error)
        if self.detector.ready:
            self._base.fit()

    def dump(self) -> bytes:
        """Everything, as bytes that ``load`` takes up bit for bit."""
        head = {"learned": self.learned, "begun": self._begun, "trouble": self.trouble}
        arrays: dict[str, NDArray[Any]] = {"detector": np.frombuffer(self.detector.dump(), np.uint8)}
        arrays |= {f"base_{name}": array for name, array in self._base.arrays().items()}
        if self._load is not None:
            arrays |= {f"load_{name}": array for name, array in self._load.arrays().items()}
        return pack(head, arrays)

    def load(self, data: bytes) -> None:
        """Take up a dump. ModelError if it is of other signals or settings."""
        head, arrays = unpack(data)
        if "detector" not in arrays or ("load_weights" in arrays) != (self._load is not None):
            raise ModelError("the model was made with other settings of load: train it again")
        self.detector.load(arrays["detector"].tobytes())
        self.learned, self._begun, self.trouble = head["learned"], head["begun"], head["trouble"]
        parts = {part: _of(arrays, part) for part in ("base_", "load_")}
        if parts["base_"]["total"].shape != self._base.total.shape:
            raise ModelError("the model was trained on other signals: train it again")
        self._base.take(parts["base_"])
        if self._load is not None:
            if parts["load_"]["weights"].shape != self._load.weights.shape:
                raise ModelError("the model was made with other load signals: train it again")
            self._load.take(parts["load_"])


def _of(arrays: dict[str, NDArray[Any]], part: str) -> dict[str, Array]:
    return {name.removeprefix(part): array for name, array in arrays.items() if name.startswith(part)}
