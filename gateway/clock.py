"""The one clock of the daemon: wall time that never runs backwards while we live."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

_STEP = 2_000_000_000  # a difference of more than 2 s between wall and monotonic time is a step


class Clock:
    """UTC in ns, continuous over backward steps of the wall clock.

    A forward step is taken at once. A backward step is not: time goes on from where it was until the wall
    catches up or the daemon starts again, so no timer moves and no stored sample is overwritten.
    ``floor`` is the newest stored time: a machine that boots without a clock continues after it.
    """

    def __init__(
        self,
        floor: int = 0,
        wall: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        now = wall()
        if now <= floor:
            log.warning(
                "the clock stands %.0f s before the newest stored sample; going on after that",
                (floor - now) / 1e9,
            )
            now = floor + 1_000_000_000
        self._offset = now - monotonic()
        self.behind = 0.0  # seconds that the wall clock stands before ours; not 0: somebody should look

    def now(self) -> int:
        """UTC in ns; never less than before."""
        ours = self._monotonic() + self._offset
        ahead = self._wall() - ours
        if ahead < -_STEP:
            if not self.behind:
                log.warning(
                    "the wall clock was set back by %.1f s; sample times go on until it catches up",
                    -ahead / 1e9,
                )
            self.behind = -ahead / 1e9
            return ours
        if ahead > _STEP and not self.behind:
            log.warning("the wall clock was set forward by %.1f s", ahead / 1e9)
        self.behind = 0.0
        self._offset += max(0, ahead)
        return ours + max(0, ahead)
