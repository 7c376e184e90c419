"""Named places where a test may break the daemon.

``WATCHKEEPER_FAILPOINT=name:count:action`` (several by comma) arms them; otherwise a point costs one
look at an empty dictionary. ``count`` is which hit it is: ``3`` the third, ``2-4`` those, ``5-`` from the
fifth on. ``action`` is ``kill`` (SIGKILL to ourselves), ``error`` (EIO), ``full`` (ENOSPC) or
``sleep[:seconds]``.
"""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

VARIABLE: Final = "WATCHKEEPER_FAILPOINT"

NAMES: Final = {
    "spool.before_commit": "a group is written, its commit (and fsync) still to come",
    "spool.after_commit": "the group is durable, nobody has been told",
    "spool.create_file": "a new spool file is about to be made",
    "spool.rotate": "the next file exists, the previous is still open",
    "spool.gap_recorded": "a loss is in the ledger, its file still there",
    "spool.before_delete": "a file that everybody passed is about to go",
    "spool.read": "entries are about to be read back from disk",
    "judge.before_commit": "alarms, orders, state and cursor are written, their commit still to come",
    "judge.after_commit": "alarms, orders, state and cursor are durable, nobody has been told",
    "history.before_commit": "closed chunks are written, their commit still to come",
    "history.after_commit": "closed chunks are durable, the cursor still behind",
    "history.compact": "a day of minutes is written, its parts still there",
    "forwarder.before_write": "entries are about to be handed to the store",
    "forwarder.after_write": "the store has them, the cursor still behind",
    "reload.told": "the core knows the changed site folder, nothing else does",
    "relay.told": "the shared ticket core knows what waited, we do not know that it does",
    "influx.before_post": "lines are ready to be posted",
}

_ACTIONS: Final = ("kill", "error", "full", "sleep")


@dataclass(slots=True)
class Failpoint:
    """One armed place: acts on the hits from ``first`` to ``last``."""

    first: int
    last: int
    action: str
    seconds: float
    hits: int = 0


def parse(text: str) -> dict[str, Failpoint]:
    """The points that ``text`` arms; ValueError for a name or an action that does not exist."""
    points: dict[str, Failpoint] = {}
    for part in filter(None, text.split(",")):
        name, count, action, *rest = [*part.strip().split(":"), "", ""][:4]
        if name not in NAMES or action not in _ACTIONS:
            raise ValueError(f"{VARIABLE}: {part!r} is not name:count:{'|'.join(_ACTIONS)} of a known point")
        first, dash, last = count.partition("-")
        points[name] = Failpoint(
            first=int(first),
            last=int(last) if last else (2**62 if dash else int(first)),
            action=action,
            seconds=float(rest[0] or 1.0),
        )
    return points


# A module's state, as nowhere else in the house: a point must be reachable from anywhere, and free.
_armed = parse(os.environ.get(VARIABLE, ""))


def hit(name: str) -> None:
    """Pass the place ``name``: nothing happens unless a test armed it."""
    if _armed and (point := _armed.get(name)) is not None:
        _strike(name, point)


@contextmanager
def armed(text: str) -> Iterator[dict[str, Failpoint]]:
    """Arm the points of ``text`` within this process for the length of a ``with`` block."""
    points = parse(text)
    before = dict(_armed)
    _armed.update(points)
    try:
        yield points
    finally:
        _armed.clear()
        _armed.update(before)


def _strike(name: str, point: Failpoint) -> None:
    point.hits += 1
    if not point.first <= point.hits <= point.last:
        return
    if point.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif point.action == "sleep":
        time.sleep(point.seconds)
    else:
        code = errno.ENOSPC if point.action == "full" else errno.EIO
        raise OSError(code, f"failpoint {name}: {os.strerror(code)}")
