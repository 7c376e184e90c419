"""What the store knows of a signal before an alarm: asked when the order stands, and added to its evidence then."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from gateway.store import Readable, Series, StoreError
from ticketing import EngineState, Forwarding, Tx

log = logging.getLogger(__name__)

NAME = "lookback"  # of our state in the ticket core
WINDOW = 1800  # s of the series before the alarm
POINTS = 300
SETTLE = 1.0  # s until a sample that was accepted can be read from the store
PAUSE = 30.0  # s without questions after one that was not answered
MOST = 1000  # questions that wait; an alarm beyond them stays without its series
_MS = 1_000_000
_S = 1_000_000_000
_HOURS = 24

NOTHING: dict[str, Any] = {"series": {"time": [], "min": [], "mean": [], "max": []}, "statistics": {}}


class Question(NamedTuple):
    """Of which alarm, at which severity; what its signal was before ``at`` (UTC ns)."""

    episode: str
    severity: int
    signal: str
    at: int


class Lookback:
    """Asks in a thread of its own: no order waits for a store. What is not answered yet survives a restart.

    Without a store nothing is asked.
    """

    def __init__(self, store: Readable | None) -> None:
        self._store = store
        self._asker = ThreadPoolExecutor(1, NAME)
        self._over = threading.Event()
        self._asked: dict[Question, dict[str, Any] | None] = {}

    @property
    def answered(self) -> bool:
        """Whether there is something to keep."""
        return any(answer is not None for answer in list(self._asked.values()))

    def resume(self, kept: EngineState | None) -> None:
        """Ask again what was not answered before."""
        if kept is not None and self._store:
            self._ask([Question(*each) for each in json.loads(kept.blob)])

    def keep(self, tx: Tx | Forwarding, alarms: Iterable[Question]) -> Kept:
        """In the transaction of these alarms: keep what was answered, and what is still to be asked."""
        answers = {asked: answer for asked, answer in self._asked.items() if answer is not None}
        for asked, answer in answers.items():
            tx.look_back(asked.episode, asked.severity, answer)
        waiting = [asked for asked in self._asked if asked not in answers]
        fresh = list(alarms)[: max(0, MOST - len(waiting))] if self._store else []
        if answers or fresh:
            tx.save_state(NAME, 0, json.dumps([*waiting, *fresh]).encode())
        return Kept(list(answers), fresh)

    def kept(self, done: Kept) -> None:
        """The transaction is committed."""
        for asked in done.answered:
            del self._asked[asked]
        self._ask(done.fresh)

    def close(self) -> None:
        """Ask no more."""
        self._over.set()
        self._asker.shutdown(wait=False, cancel_futures=True)

    def _ask(self, questions: Iterable[Question]) -> None:
        for asked in questions:
            self._asked[asked] = None
            self._asker.submit(self._answer, asked, time.monotonic() + SETTLE)

    def _answer(self, asked: Question, when: float) -> None:
        while not self._over.wait(max(0.0, when - time.monotonic())):
            try:
                self._asked[asked] = self.before(asked.signal, asked.at)
            except StoreError:
                when = time.monotonic() + PAUSE
            except Exception:  # whatever it is, the alarms after this one want their answers
                if not self._over.is_set():
                    log.exception("nothing is known of %s before %s", asked.signal, asked.episode)
                self._asked[asked] = NOTHING
            if self._asked[asked] is not None:
                return

    def before(self, signal: str, at: int) -> dict[str, Any]:
        """``{"series": {"time", "min", "mean", "max"}, "statistics": {"1h", "24h"}}`` up to ``at`` (UTC ns)."""
        assert self._store is not None
        series = self._store.series(signal, at - WINDOW * _S, at + 1, POINTS)
        return _told(series, self._store.series(signal, at - _HOURS * 3600 * _S, at, _HOURS))


class Kept(NamedTuple):
    """What one transaction keeps: answers, and questions to ask after it."""

    answered: list[Question]
    fresh: list[Question]


def _told(series: Series, hours: Series) -> dict[str, Any]:
    columns = {"min": series.min, "mean": series.mean, "max": series.max}
    rounded = {name: [_compact(x) for x in column.tolist()] for name, column in columns.items()}
    spans = {"1h": hours.part(slice(-1, None)), "24h": hours}
    return {
        "series": {"time": (series.time // _MS).tolist(), **rounded},
        "statistics": {
            name: {
                "min": _compact(float(span.min.min())),
                "mean": _compact(float(span.mean.mean())),
                "max": _compact(float(span.max.max())),
            }
            for name, span in spans.items()
            if len(span)
        },
    }


def _compact(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None
