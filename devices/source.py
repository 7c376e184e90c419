"""What the hall runs and asks: a source of batches, and what it says about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from devices.batch import Emit


@dataclass(slots=True)
class Tally:
    """A device's ledger since start; ``expected == read + failed + sum(skipped.values())`` always holds.

    A slot is read, failed (its batch says so) or skipped with a reason and without a batch: ``late``, or read and
    ``unchanged`` where only changes are reported. ``refused``
    counts batches, read or failed, for which the hall had no room. Times are in seconds, smoothed.
    """

    expected: int = 0
    read: int = 0
    failed: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    refused: int = 0
    latency: float | None = None
    achieved_period: float | None = None
    worst_lateness: float = 0.0

    def skip(self, reason: str, slots: int = 1) -> None:
        """Count slots that yield no batch."""
        self.skipped[reason] = self.skipped.get(reason, 0) + slots


@dataclass(frozen=True, slots=True)
class DeviceStatus:
    """One device as the health page shows it.

    ``state`` is healthy, suspect or parked; ``since`` is UTC in ns; ``detail`` is the last error's text,
    kept while it lasts; ``notes`` are lasting findings ("refuses holding 12..13"), ``texts`` what it says
    of itself in letters ("serial").
    """

    name: str
    state: str
    since: int
    detail: str
    period: float
    tally: Tally
    notes: tuple[str, ...] = ()
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One line or broker: is it up, why not, what was odd on it (strangers, garbled …), its devices."""

    name: str
    kind: str
    up: bool
    detail: str
    counts: Mapping[str, int]
    devices: tuple[DeviceStatus, ...]


class Source(Protocol):
    """Something that is read for as long as the gateway runs: a line with its devices, or a broker."""

    @property
    def name(self) -> str:
        """The line's name in the site file."""
        ...

    async def run(self, emit: Emit) -> None:
        """Read until cancelled; no fault of equipment ends it."""
        ...

    def status(self) -> SourceStatus:
        """How it goes now; cheap, may be called at any time from the loop."""
        ...
