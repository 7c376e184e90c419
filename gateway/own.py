"""What the gateway watches about itself: a few signals of its own, judged by the rules of ``own.toml`` like any other.

They go the way of every batch: into the log, to the judge, to the store. So an order about the gateway has evidence and
history, and closes like an order about a machine.
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import shutil
import time
import tomllib
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from devices.batch import GOOD, Batch, Emit, Reason, bad, signal_set
from devices.certificates import ends
from devices.source import SourceStatus

if TYPE_CHECKING:
    from gateway.site import Site

GATEWAY: Final = "gateway"
EVERY: Final = 5.0  # s
_WINDOW: Final = 600.0  # s that "in 10 min" means
_MB: Final = 1_000_000
_UNSYNCHRONISED: Final = 5  # TIME_ERROR of adjtimex(2)


@cache
def tables() -> dict[str, Any]:
    """The classes and rules of ``own.toml``."""
    return tomllib.loads(Path(__file__).with_name("own.toml").read_text(encoding="utf-8"))


class OwnSignals:
    """Emits the gateway's signals, and ``<line>/online`` of each of ``lines``, every five seconds.

    ``gateway()`` is what the health report is made of; ``state`` lies on the disk that matters. ``name`` is what this
    gateway is called.
    """

    def __init__(
        self,
        gateway: Callable[[], Mapping[str, Any]],
        lines: Callable[[], list[str]],
        state: Path,
        clock: Callable[[], int],
        name: str = GATEWAY,
    ) -> None:
        self._name = name
        self._gateway, self._lines, self._state, self._clock = gateway, lines, state, clock
        self._away_since: float | None = None
        self._past: deque[tuple[float, dict[str, int]]] = deque()

    async def run(self, emit: Emit) -> None:
        """Say how it goes until cancelled."""
        while True:
            emit(self.batch())
            await asyncio.sleep(EVERY)

    def batch(self) -> Batch:
        """How it goes now; what cannot be told is without value."""
        body, now = self._gateway(), time.monotonic()
        up = {source.name: float(source.up) for source in body["sources"]}
        found = {f"{self._name}/{name}": value for name, value in self._own(body, now).items()}
        found |= {f"{line}/online": up.get(line, math.nan) for line in self._lines()}
        values = np.array(list(found.values()))
        quality = np.where(np.isnan(values), bad(Reason.STALE), GOOD).astype(np.uint8)
        at = self._clock()
        return Batch(signal_set(self._name, tuple(found)), at, at, values, quality)

    def _own(self, body: Mapping[str, Any], now: float) -> dict[str, float]:
        spool, store = body["spool"], body["store"]
        if not store["detail"]:
            self._away_since = None
        elif self._away_since is None:
            self._away_since = now
        recent = self._since_window(now, _running(body))
        expected = recent["expected"]
        found = {
            "disk_free": shutil.disk_usage(self._state).free / _MB,
            "spool_used": 100 * spool["bytes"] / spool["max_bytes"],
            "store_away": 0.0 if self._away_since is None else now - self._away_since,
            "samples_shed": float(recent["shed"]),
            "dead_letters": float(recent["dead"]),
            "slots_missed": 100 * recent["missed"] / expected if expected > 0 else 0.0,
            "judge_lag": body["judge"]["lag"],
            "clock_behind": body["clock_behind"],
            "clock_synchronised": _synchronised(),
        }
        if body["certificates"]:
            found["certificate_days"] = min(body["certificates"].values())
        return found

    def _since_window(self, now: float, running: dict[str, int]) -> dict[str, int]:
        """What was counted in the last ten minutes; sources that were replaced begin anew, which counts as nothing."""
        self._past.append((now, running))
        while len(self._past) > 1 and self._past[1][0] <= now - _WINDOW:
            self._past.popleft()
        before = self._past[0][1]
        return {name: max(0, n - before[name]) for name, n in running.items()}


def certificates(site: Site, now: float) -> dict[str, float]:
    """Days until each certificate file that the site names has to be renewed; ``now`` is UTC in seconds.

    Of our own chains the first to end counts, of authorities the last.
    """
    lines = site.lines.values()
    shown = [site.web.certificate, *(line.certificate for line in lines)]
    trusted = [line.authorities for line in lines]
    found = [(path, min) for path in shown if path] + [(path, max) for path in trusted if path]
    days = {}
    for path, which in found:
        if until := ends(site.folder / path):
            days[str(path)] = (which(until) - now) / 86_400
    return days


def _running(body: Mapping[str, Any]) -> dict[str, int]:
    """Running totals of what is judged by how much came lately."""
    sources: Sequence[SourceStatus] = body["sources"]
    tallies = [device.tally for source in sources for device in source.devices]
    letters = sum(source.counts.get("dead_letters", 0) for source in sources)
    return {
        "shed": body["spool"]["shed"],
        "dead": letters + body["store"]["refused"],
        "expected": sum(tally.expected for tally in tallies),
        "missed": sum(tally.skipped.get("late", 0) for tally in tallies),
    }


def _synchronised() -> float:
    """1 while the kernel's clock is disciplined, 0 while not; NaN where nobody can tell (adjtimex(2))."""
    adjtimex = getattr(ctypes.CDLL(None), "ntp_adjtime", None)
    if adjtimex is None:
        return math.nan
    state = adjtimex(ctypes.create_string_buffer(512))  # struct timex, all zero: only look
    return math.nan if state < 0 else float(state != _UNSYNCHRONISED)
