"""The gateway's own pulse: one sample a second in the log, so that time passes where nothing else arrives.

It says since when this gateway has been listening. The judge takes its time and its start from there and from no
clock: what was stale, and whose silence is only our own start, is the same whenever the log is judged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import numpy as np

from devices.batch import GOOD, Batch, Emit, signal_set

PULSE: Final = signal_set("watchkeeper", ("watchkeeper/start_time",))  # s since 1970, as Prometheus names it
EVERY: Final = 1.0  # s
_S: Final = 1_000_000_000


def pulse(now: int, started: int) -> Batch:
    """The pulse at ``now`` (UTC ns) of a gateway that began at ``started``."""
    return Batch(PULSE, now, now, np.array([float(started // _S)]), np.array([GOOD], np.uint8))


def started(batch: Batch) -> int:
    """Since when (UTC ns, whole seconds) the gateway that gave this pulse has been listening."""
    return int(batch.values[0]) * _S


async def beat(emit: Emit, now: Callable[[], int]) -> None:
    """Give a pulse each second until cancelled; one that finds no room is left out."""
    began = now()
    while True:
        emit(pulse(now(), began))
        await asyncio.sleep(EVERY)
