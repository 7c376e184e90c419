"""A soft sensor: one model watching one asset, as the hall runs it."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.course import TIMES, Course
from models.ewma import EwmaChart
from models.lifetime import Forecast, LifeWatch
from models.load import LoadModel
from models.machine import MachineWatch
from models.mode import Mode
from models.plausible import Plausible
from models.promise import Array, Detector, ModelError
from models.settings import (
    EwmaSettings,
    LifeSettings,
    MachineSettings,
    ModelSettings,
    PlausibleSettings,
    SignalsSettings,
    T2Settings,
    ns,
)
from models.signals import SignalWatch
from models.state import pack, unpack
from models.t2 import MachineT2


class State(StrEnum):
    """What a soft sensor is doing."""

    COMMISSIONING = "commissioning"
    LIVE = "live"
    STOPPED = "stopped"  # the machine stands or has just started: nothing is learned or judged
    BLIND = "blind"  # no signal has a good value


class SoftSensor:
    """Feeds one detector for each operating mode: learns while commissioning, then scores.

    A machine that stands is neither learned nor judged. ``step`` is a function of the rows it was given:
    replaying the log gives the same scores.
    """

    def __init__(
        self,
        settings: ModelSettings,
        asset: str,
        quantities: Sequence[str],
        *,
        needed: Sequence[int] | None = None,
    ) -> None:
        """``quantities``: what the asset has, in its order; those the settings name are watched.

        ``needed``: rows to commission each operating mode on, once, as training from history does (0: as the settings
        say); without it commissioning begins anew while a signal still trends.
        """
        chosen = [q for q in quantities if not settings.signals or q in settings.signals]
        if not chosen:
            raise ModelError(f"{asset} has none of the signals {', '.join(settings.signals)}")
        self.settings, self.asset = settings, asset
        signals = tuple(f"{asset}/{q}" for q in chosen)
        self._mode = Mode(settings.running, signals, asset)
        self.inputs = signals + self._mode.extra
        loads = np.array([i for i, q in enumerate(chosen) if q in settings.load], dtype=np.intp)

        def detector() -> Detector:
            return make(settings, asset, signals)

        def load() -> LoadModel:
            return LoadModel(len(signals), loads, ns(settings.every))

        length = round(settings.commissioning / settings.every)
        self._courses = [
            Course(detector, rows or length, load if len(loads) else None, times=1 if needed else TIMES)
            for rows in needed or [0] * self._mode.bands
        ]
        self.signals, self.outputs = signals, self.detector.outputs
        self._silent = np.full(len(self.outputs), np.nan if settings.kind == "life" else 0.0)
        self.state = State.COMMISSIONING

    @property
    def detector(self) -> Detector:
        """The detector of the present operating mode."""
        return self._courses[self._mode.band].detector

    @property
    def learned(self) -> int:
        """Rows learned in the present operating mode."""
        return self._courses[self._mode.band].learned

    @property
    def progress(self) -> float:
        """How much of commissioning is done, 0…1."""
        return self._courses[self._mode.band].progress

    @property
    def trouble(self) -> str:
        """Why commissioning goes on although its time is up; empty when all is well."""
        return self._courses[self._mode.band].trouble

    @property
    def drifted(self) -> tuple[str, ...]:
        """Quantities that have left where commissioning saw them: ``"bearing_temp up"``."""
        return self._courses[self._mode.band].drifted

    @property
    def forecast(self) -> Forecast | None:
        """Where the signal is going, if this model says so."""
        return self.detector.forecast if isinstance(self.detector, LifeWatch) else None

    def step(self, time: int, row: Array, *, learn: bool = True) -> Array:
        """Scores (len(outputs),) for ``row`` in the order of ``inputs``, NaN where there is no good value.

        Zeros (of remaining life: NaN) while commissioning or stopped. Give ``learn=False`` while an alarm of the
        asset is active or it is under work.
        """
        row = np.where(np.isfinite(row), row, np.nan)
        band, values = self._mode.step(time, row), row[: len(self.signals)]
        if band is None:
            self.state = State.STOPPED
            return self._silent.copy()
        scores = self._courses[band].step(time, values, learn=learn)
        if np.isnan(values).all():
            self.state = State.BLIND
        else:
            self.state = State.COMMISSIONING if scores is None else State.LIVE
        return self._silent.copy() if scores is None else scores

    def forget_drift(self) -> None:
        """Begin to look for drift anew."""
        for course in self._courses:
            course.forget_drift()

    def dump(self) -> bytes:
        """The state, as bytes that ``load`` takes up bit for bit."""
        head = {"since": self._mode.since, "band": self._mode.band, "state": self.state}
        courses: dict[str, NDArray[Any]] = {
            f"course_{i}": np.frombuffer(course.dump(), np.uint8) for i, course in enumerate(self._courses)
        }
        return pack(head, courses)

    def load(self, data: bytes) -> None:
        """Take up a dump. ModelError if the settings or signals have changed since."""
        head, courses = unpack(data)
        if set(courses) != {f"course_{i}" for i in range(len(self._courses))} or "since" not in head:
            raise ModelError("this is no soft sensor's state, or one with other bands: train it again")
        for i, course in enumerate(self._courses):
            course.load(courses[f"course_{i}"].tobytes())
        self._mode.since, self._mode.band = head["since"], head["band"]
        self.state = State(head["state"])


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
        case PlausibleSettings():
            return Plausible(signals, every=ns(settings.every), rows=_least(settings))
        case LifeSettings():
            return LifeWatch(signals[0], asset=asset, every=ns(settings.every), limit=settings.limit)


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


def _least(settings: EwmaSettings | SignalsSettings | PlausibleSettings) -> int:
    """A signal may miss a tenth of commissioning."""
    return round(settings.commissioning / settings.every * 0.9)
