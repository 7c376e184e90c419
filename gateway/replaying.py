"""A recording judged again, by the daemon's own parts: the same panel, the same way from alarm to order.

The scores of soft sensors are in the recording as they were. The work orders live in memory and are gone afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gateway import running
from gateway.building import build_panel, build_rules, maintained
from gateway.heartbeat import PULSE, started
from gateway.reorder import Reorder
from gateway.site import Site
from gateway.spool import Entry
from gateway.stages import Steps
from gateway.workbench.desk import trial_desk
from rules import Panel, Transition, View
from ticketing import Decision

_NS = 1e9


@dataclass(frozen=True, slots=True)
class Moment:
    """What one entry of the log led to, at its time (UTC ns)."""

    time: int
    samples: int
    transitions: tuple[Transition, ...]
    decisions: tuple[Decision, ...]


def replay(
    site: Site,
    entries: Iterable[Entry],
    steps: Steps | None = None,
    *,
    speed: float = 0.0,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Moment]:
    """Judge the entries in order, ``speed`` times as fast as they came; 0: as fast as it goes."""
    judge = _Judge(site, build_panel(site, steps))
    rules, lateness = build_rules(site), site.judge.ns
    before: int | None = None
    with trial_desk(site, rules, maintained(site)) as (_, dispatch):
        for entry in entries:
            if speed and before is not None:
                sleep(max(0.0, (entry.time - before) / _NS / speed))
            before = entry.time
            said = judge.entry(entry)
            now = entry.time - lateness
            decided: tuple[Decision, ...] = ()
            if said or dispatch.due(now):
                with dispatch.transaction(now, said) as tx:
                    pass
                decided = tuple(tx.decisions)
            of_alarms = tuple(happened for happened in said if not running.tells(happened.rule))
            yield Moment(entry.time, entry.samples, of_alarms, decided)


class _Judge:
    def __init__(self, site: Site, panel: Panel) -> None:
        self._panel, self._order = panel, Reorder(site.judge.ns)
        self._views: dict[object, View] = {}

    def entry(self, entry: Entry) -> list[Transition]:
        said: list[Transition] = []
        for batch in self._order.take(entry):
            if batch.signals is PULSE:
                said += self._panel.tick(batch.time, started(batch))
                continue
            view = self._views.get(batch.signals)
            if view is None:
                view = self._views[batch.signals] = self._panel.view(batch.signals.names)
            said += self._panel.judge(view, batch.time, batch.values, batch.quality)
        return said
