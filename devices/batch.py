"""The unit that travels: what one reading of a device returned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

GOOD = 0
UNCERTAIN = 0x40
BAD = 0x80


class Reason(IntEnum):
    """Why a sample is not good; the low six bits of its quality (OPC UA Part 4, 7.11 in spirit)."""

    NONE = 0
    COMM_LOST = 1
    STALE = 2
    FROZEN = 3
    OUT_OF_RANGE = 4
    SENTINEL = 5
    RETAINED = 6
    LATE = 7
    TIME_UNCERTAIN = 8
    DECODE = 9
    SLOPE = 10
    FUTURE = 11
    REFUSED = 12


def bad(reason: Reason) -> int:
    """Quality of a sample that has no value (its value is NaN)."""
    return BAD | reason


def uncertain(reason: Reason) -> int:
    """Quality of a sample that is kept and shown, and never judged."""
    return UNCERTAIN | reason


def describe(quality: int) -> str:
    """``good``, ``uncertain:late``, ``bad:comm_lost`` …, as shown to people and stored."""
    if quality == GOOD:
        return "good"
    return f"{'bad' if quality & BAD else 'uncertain'}:{Reason(quality & 0x3F).name.lower()}"


@dataclass(frozen=True, slots=True, eq=False)
class SignalSet:
    """Names that are always read together, in fixed order; equal sets are one object (see ``signal_set``)."""

    source: str
    names: tuple[str, ...]


@cache
def signal_set(source: str, names: tuple[str, ...]) -> SignalSet:
    """The one ``SignalSet`` of this source with these names (``"pump-7/bearing_temp"``)."""
    return SignalSet(source, names)


class Batch(NamedTuple):
    """What one reading returned, already in engineering units.

    ``time`` is UTC in ns and is when the device was read (or the payload's own, when trusted);
    ``arrival`` is UTC in ns when it reached us. ``values`` (n,) float64 and ``quality`` (n,) uint8
    stand in the order of ``signals``; a value is NaN exactly where its quality is BAD.
    """

    signals: SignalSet
    time: int
    arrival: int
    values: NDArray[np.float64]
    quality: NDArray[np.uint8]


class Emit(Protocol):
    """Where a source hands its batches over; called from the event loop."""

    def __call__(self, batch: Batch, done: Callable[[], None] | None = None) -> bool:
        """Take ``batch``; ``done`` is called in the loop once it is durable. False: no room, counted by the caller."""
        ...


class DeviceError(Exception):
    """Equipment or its line failed; the text names device, unit id and register."""
