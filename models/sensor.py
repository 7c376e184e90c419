"""A soft sensor: one model watching one asset, as the hall runs it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import numpy as np

from models.ewma import EwmaChart
from models.machine import MachineWatch
from models.promise import Array, Detector, ModelError
from models.settings import EwmaSettings, MachineSettings, ModelSettings, Running, SignalsSettings, T2Settings
from models.signals import SignalWatch
from models.t2 import MachineT2


class State(StrEnum):
    """What a soft sensor is doing."""

    COMMISSIONING = "commissioning"
    LIVE = "live"
    STOPPED = "stopped"  # the machine stands or has just started: nothing is learned or judged


class SoftSensor:
    """Feeds one detector: learns while commissioning, then scores; a stopped machine is neither.

    ``step`` is a function of the rows it was given: replaying the log gives the same scores.
    """

    def __init__(self, settings: ModelSettings, asset: str, quantities: Sequence[str]) -> None:
        """``quantities``: what the asset has, in its order; those the settings name are watched."""
        chosen = [q for q in quantities if not settings.signals or q in settings.signals]
        if not chosen:
            raise ModelError(f"{asset} has none of the signals {', '.join(settings.signals)}")
        self.settings, self.asset = settings, asset
        self.detector = make(settings, asset, [f"{asset}/{q}" for q in chosen])
        self.signals = self.detector.signals
        self.outputs = self.detector.outputs
        self._mode = _Mode(settings.running, self.signals, asset)
        self.inputs = self.signals + self._mode.extra
        self._needed = round(settings.commissioning / settings.every)
        self.state = State.COMMISSIONING
        self.learned = 0
        self.trouble = ""
        """Why commissioning goes on although its time is up; empty when all is well."""

    @property
    def progress(self) -> float:
        """How much of commissioning is done, 0…1."""
        return 1.0 if self.detector.ready else min(1.0, self.learned / self._needed)

    def step(self, time: int, row: Array, *, learn: bool = True) -> Array:
        """Scores (len(outputs),) for ``row`` in the order of ``inputs``, NaN where there is no good value.

        Zeros while commissioning or stopped. Give ``learn=False`` while an alarm of the asset is active or
        it is under work.
        """
        values, silent = row[: len(self.signals)], np.zeros(len(self.outputs))
        if not self._mode.runs(time, row):
            self.state = State.STOPPED
            return silent
        if self.detector.ready:
            self.state = State.LIVE
            scores = self.detector.score(time, values)
            if learn:
                self.detector.learn(time, values)
            return scores
        self.state = State.COMMISSIONING
        if learn and np.isfinite(values).any():
            self.detector.learn(time, values)
            self.learned += 1
            self._settle()
        return silent

    def _settle(self) -> None:
        """Fit when enough was learned; try again after another tenth of commissioning if it cannot yet."""
        over = self.learned - self._needed
        if over < 0 or over % max(1, self._needed // 10):
            return
        try:
            self.detector.fit()
            self.trouble = "" if self.detector.ready else "no signal has shown enough normal running"
        except ModelError as error:
            self.trouble = str(error)

    def dump(self) -> bytes:
        """The state, as bytes that ``load`` takes up bit for bit."""
        head = json.dumps({"learned": self.learned, "since": self._mode.since, "state": self.state})
        return head.encode() + b"\n" + self.detector.dump()

    def load(self, data: bytes) -> None:
        """Take up a dump. ModelError if the settings or signals have changed since."""
        try:
            head, _, body = data.partition(b"\n")
            known = json.loads(head)
            self.detector.load(body)
        except ValueError as error:
            raise ModelError(f"this is no soft sensor's state: {error}") from error
        self.learned, self._mode.since = known["learned"], known["since"]
        self.state = State(known["state"])


@dataclass
class _Mode:
    """Whether the machine runs, and has done so for long enough to be judged."""

    running: Running | None
    signals: tuple[str, ...]
    asset: str
    since: int | None = None

    def __post_init__(self) -> None:
        name = f"{self.asset}/{self.running.signal}" if self.running else ""
        self.extra = () if not name or name in self.signals else (name,)
        self._column = (self.signals + self.extra).index(name) if name else -1

    def runs(self, time: int, row: Array) -> bool:
        """Unknown (NaN) counts as whatever it was."""
        if self.running is None:
            return True
        value = row[self._column]
        if value <= self.running.above:
            self.since = None
        elif value > self.running.above and (self.since is None or time < self.since):
            self.since = time
        return self.since is not None and time - self.since >= ns(self.running.settle)


def make(settings: ModelSettings, asset: str, signals: Sequence[str]) -> Detector:
    """The detector that ``settings`` ask for."""
    match settings:
        case EwmaSettings():
            return _ewma(settings, asset, signals)
        case T2Settings():
            return _t2(settings, asset, signals)
        case MachineSettings():
            return _machine(settings, asset, signals)
        case SignalsSettings():
            return _signals(settings, asset, signals)


def ns(duration: timedelta) -> int:
    """A duration in nanoseconds, exactly."""
    return duration // timedelta(microseconds=1) * 1000


def _ewma(settings: EwmaSettings, _asset: str, signals: Sequence[str]) -> Detector:
    return EwmaChart(
        signals,
        every=ns(settings.every),
        rows=_least(settings),
        memory=round(settings.memory / settings.every),
        smoothing=settings.smoothing,
        false_alarms_per_day=settings.false_alarms_per_day,
    )


def _t2(settings: T2Settings, asset: str, signals: Sequence[str]) -> Detector:
    return MachineT2(
        signals,
        asset=asset,
        every=ns(settings.every),
        smoothing=settings.smoothing,
        false_alarms_per_day=settings.false_alarms_per_day,
    )


def _machine(settings: MachineSettings, asset: str, signals: Sequence[str]) -> Detector:
    share = settings.false_alarm_share
    return MachineWatch(signals, asset=asset, every=ns(settings.every), false_alarm_share=share)


def _signals(settings: SignalsSettings, _asset: str, signals: Sequence[str]) -> Detector:
    silence = round(settings.refractory / settings.every)
    return SignalWatch(signals, every=ns(settings.every), rows=_least(settings), refractory=silence)


def _least(settings: EwmaSettings | SignalsSettings) -> int:
    """A signal may miss a tenth of commissioning."""
    return round(settings.commissioning / settings.every * 0.9)
