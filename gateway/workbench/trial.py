"""Rules over the past, up to the work orders they would have opened.

The evaluator is the daemon's (``step``, by way of ``replay``), and so is the way from an alarm to an order; the desk
is one in memory. Nobody works on its orders: later alarms of a fault join the order that is still open.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from gateway.building import maintained
from gateway.site import Site
from gateway.workbench.desk import trial_desk
from gateway.workbench.recorded import Track
from gateway.workbench.stretch import Stretch
from rules import Bound, Transition
from rules.replay import by_the_clock, replay, rows, ticked
from ticketing import Alarm, Order

Progress = Callable[[str, float], object]  # what is being done, and how much of it (0 … 1)
_PULSE = 5_000_000_000  # ns: how often rules that are judged by the clock are asked


def silent(_what: str, _share: float) -> None:
    """Nobody watches."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An order of the trial, the alarms that it gathered, and why it opened in both languages."""

    order: Order
    alarms: tuple[Alarm, ...]
    sentence: Mapping[str, str]


@dataclass(slots=True)
class RuleFigures:
    """What one rule did over the stretch: ``active`` in ns over all assets, ``samples`` of all its inputs."""

    assets: int = 0
    samples: int = 0
    alarms: int = 0
    swings: int = 0
    active: int = 0
    orders: int = 0


@dataclass(slots=True)
class Trial:
    """What came of playing ``bounds`` over a stretch of the past."""

    stretch: Stretch
    bounds: Sequence[Bound]
    orders: list[Opened] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    figures: dict[str, RuleFigures] = field(default_factory=dict)
    unheard: dict[str, list[str]] = field(default_factory=dict)  # rule → signals without a single sample
    condensed: int = 0
    samples: int = 0

    @property
    def length(self) -> int:
        """ns"""
        return self.stretch.end - self.stretch.start


def play(site: Site, bounds: Sequence[Bound], stretch: Stretch, progress: Progress = silent) -> Trial:
    """Judge the stretch and open the orders; raises StoreError."""
    trial = Trial(stretch, bounds)
    happened = _judge(trial, progress)
    _open_orders(site, trial, happened, progress)
    return trial


def _judge(trial: Trial, progress: Progress) -> list[Transition]:
    """All transitions in the order of time; what the clock decides comes last, for it asks when anything was heard."""
    stretch, bounds = trial.stretch, trial.bounds
    happened: list[Transition] = []
    pulses: list[NDArray[np.int64]] = []
    clocked: list[tuple[Bound, list[Track]]] = []
    ask_the_clock = any(map(by_the_clock, bounds))
    done = 0
    for asset, group in groupby(bounds, key=lambda bound: bound.asset):
        tracks: dict[str, Track] = {}
        for bound in group:
            progress(f"judging {asset}", done / len(bounds))
            for signal in bound.inputs:
                if signal not in tracks:
                    tracks[signal] = stretch.past.track(signal, stretch.start, stretch.end)
            series = [tracks[signal] for signal in bound.inputs]
            if _count(trial, bound, series):
                if by_the_clock(bound):
                    clocked.append((bound, series))
                else:
                    happened += judged(bound, series)
            done += 1
        if ask_the_clock:
            pulses += [pulse(track.times) for track in tracks.values()]
        trial.samples += sum(len(track) for track in tracks.values())
        trial.condensed += sum(track.condensed for track in tracks.values())
    if clocked:
        heard = np.unique(np.concatenate(pulses))
        for n, (bound, series) in enumerate(clocked):
            progress(f"judging {bound.asset} by the clock", n / len(clocked))
            happened += ticked(bound, [(track.times, track.values) for track in series], heard)
    return sorted(happened, key=lambda transition: transition.time)


def pulse(times: NDArray[np.int64]) -> NDArray[np.int64]:
    """One tick for every few seconds in which there was a sample."""
    slots = times // _PULSE
    return slots[np.flatnonzero(np.diff(slots, prepend=-1))] * _PULSE


def judged(bound: Bound, series: Sequence[Track]) -> list[Transition]:
    """What the rule says to these tracks, one for each of its inputs."""
    return replay(bound, *rows(bound, [(track.times, track.values) for track in series]))[1]


def _count(trial: Trial, bound: Bound, series: Sequence[Track]) -> bool:
    """Whether there is anything to judge; what there is, is counted."""
    figures = trial.figures.setdefault(bound.rule.id, RuleFigures())
    figures.assets += 1
    figures.samples += sum(len(track) for track in series)
    missing = [signal for signal, track in zip(bound.inputs, series, strict=True) if not len(track)]
    if missing:
        trial.unheard.setdefault(bound.rule.id, []).extend(missing)
    return any(len(track) for track in series)


def _open_orders(site: Site, trial: Trial, happened: Sequence[Transition], progress: Progress) -> None:
    rules = {bound.rule.id: bound.rule for bound in trial.bounds}
    start, end = trial.stretch.start, trial.stretch.end
    with trial_desk(site, rules, maintained(site)) as (desk, dispatch):
        of_orders = (each for each in happened if each.kind != "reactivated")  # a swing changes no order
        for time, together in groupby(of_orders, key=lambda transition: transition.time):
            progress("opening orders", (time - start) / (end - start))
            with dispatch.transaction(time, list(together)):
                pass
        with dispatch.transaction(end):
            pass
        with desk.read() as reading:
            trial.alarms = sorted(reading.alarms(limit=None), key=lambda alarm: alarm.raised_at)
            orders = reading.orders(state=None, limit=reading.count_orders() or 1)
            for order in sorted(orders, key=lambda order: (order.opened_at, order.number)):
                alarms = tuple(reading.alarms(number=order.number, limit=None))
                evidence = reading.evidence(order.number)
                sentence = (
                    evidence[0].body["sentence"] if evidence else {"zh": order.title_zh, "en": order.title_en}
                )
                trial.orders.append(Opened(order, alarms[::-1], sentence))
    _sum_up(trial, happened)


def _sum_up(trial: Trial, happened: Iterable[Transition]) -> None:
    for alarm in trial.alarms:
        figures = trial.figures[alarm.rule_id]
        figures.alarms += 1
        end = trial.stretch.end if alarm.cleared_at is None else alarm.cleared_at * 1_000_000
        figures.active += end - alarm.raised_at * 1_000_000
    for transition in happened:
        if transition.kind == "reactivated":
            trial.figures[transition.rule].swings += 1
    for opened in trial.orders:
        if opened.alarms:
            trial.figures[opened.alarms[0].rule_id].orders += 1
