"""What the owner of a line needs of the wire and of the units on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from devices.batch import SignalSet
from devices.changes import Changes


class Reading(NamedTuple):
    """What a poll read: ``values`` and ``quality`` as in its batch; start and end in monotonic seconds."""

    started: float
    ended: float
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]


class Request(NamedTuple):
    """One question of a poll: what it asks for, how many registers travel (holes too), predicted line time in s."""

    what: str
    registers: int
    seconds: float


class Poll(Protocol):
    """Points of one device that are read together, at one period."""

    @property
    def signals(self) -> SignalSet:
        """The points' names; the last one is the device's "online"."""
        ...

    @property
    def period(self) -> float:
        """Seconds."""
        ...

    @property
    def cost(self) -> float:
        """Predicted seconds of line time."""
        ...

    @property
    def requests(self) -> Sequence[Request]:
        """The questions of one reading, in their order."""
        ...

    @property
    def changes(self) -> Changes | None:
        """What tells which readings are worth a report; None if all are."""
        ...

    async def read(self, retry: bool) -> Reading:
        """Read once, with the unit's retries if ``retry``; raises DeviceError."""
        ...


class Unit(Protocol):
    """One device on the line."""

    @property
    def name(self) -> str: ...
    @property
    def polls(self) -> Sequence[Poll]: ...
    @property
    def patience(self) -> float:
        """Seconds of line time that one attempt takes when nothing answers."""
        ...

    @property
    def is_measured(self) -> bool:
        """Is its latency known by measurement?"""
        ...

    async def probe(self) -> None:
        """One short question that any living unit answers; raises DeviceError."""
        ...

    def notes(self) -> tuple[str, ...]:
        """Lasting findings, for people."""
        ...

    def texts(self) -> Mapping[str, str]:
        """What it says of itself in letters, such as its serial number."""
        ...


class OwnedWire(Protocol):
    """The line's wire."""

    @property
    def counts(self) -> Mapping[str, int]: ...
    @property
    def is_open(self) -> bool: ...
    async def open(self) -> None: ...
    def close(self) -> None: ...
