"""What every detector promises; ``tests/models/test_detectors.py`` holds each of them to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LIMIT = 0.5
"""The score at a detector's calibrated limit; rules on ``…/anomaly`` stand here unless told otherwise."""


class ModelError(Exception):
    """A model cannot be made, trained or taken up again; the message says why in one sentence."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """One signal's part in a score: its share of the whole (0…1) and how far it stands, in sigmas."""

    signal: str
    share: float
    sigmas: float

    @property
    def direction(self) -> int:
        """+1 where the signal stands above its normal, -1 below."""
        return 1 if self.sigmas >= 0 else -1


class Detector(Protocol):
    """Turns rows of one set of signals into scores. Two kinds of state are kept apart:

    * what it has **learned** (what is normal, where the limit stands) changes only by ``learn`` and ``fit``;
    * what it **remembers** (the last smoothed values) moves with time, once per time stamp, whoever is
      called first. So scoring the same row again gives the same number, and a late row changes nothing.

    ``time`` is UTC in ns. A row is (n,) float64 in the order of ``signals``, NaN where there is no good
    value; it is left as it was. A score is 0 (ordinary) … 1, 0.5 at the calibrated limit, and 0 until the
    detector is ready.
    """

    kind: str
    signals: tuple[str, ...]
    outputs: tuple[str, ...]

    @property
    def ready(self) -> bool:
        """Whether it has learned enough to score."""

    def learn(self, time: int, row: Array) -> None:
        """Take ``row`` as an example of normal running."""

    def fit(self) -> None:
        """End commissioning: settle what is normal and calibrate the limit. ModelError if it cannot."""

    def score(self, time: int, row: Array) -> Array:
        """How unusual ``row`` is: (len(outputs),), 0…1."""

    def why(self, output: int = 0) -> tuple[Contribution, ...]:
        """The greatest contributions to the last score of ``outputs[output]``, greatest first."""

    def dump(self) -> bytes:
        """Everything, as bytes that ``load`` takes up bit for bit."""

    def load(self, data: bytes) -> None:
        """Take up what ``dump`` gave. ModelError if it is of another kind, version or set of signals."""


def as_score(ratio: Array) -> Array:
    """Statistic over limit → 0…1, 0.5 at the limit; NaN (nothing to judge) → 0."""
    known = np.where(np.isnan(ratio), 0.0, np.maximum(ratio, 0.0))
    return 1.0 - 1.0 / (1.0 + known)
