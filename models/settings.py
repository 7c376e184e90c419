"""The tables of ``models.toml``: ``[model.<id>]``, one per model, bound to a class of assets or to some."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, model_validator

from models.machine import MOST_ROWS


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Scope(_Settings):
    """Which assets a model watches: ``{ class = "pump" }`` or ``{ assets = ["pump-1"] }``."""

    asset_class: str | None = Field(default=None, alias="class")
    assets: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_of_the_two(self) -> Scope:
        if (self.asset_class is None) == (not self.assets):
            raise ValueError('say either class = "…" or assets = ["…"]')
        return self


class Running(_Settings):
    """When the machine runs: while ``signal`` (a quantity of the asset) is above ``above``, and in which band."""

    signal: str
    above: float
    settle: timedelta = timedelta(minutes=1)
    """Neither learned nor judged for this long after a start or a change of band."""
    bands: tuple[float, ...] = ()
    """Edges of speed or load bands, rising; each band is commissioned and judged by itself."""

    @model_validator(mode="after")
    def _edges_rise(self) -> Running:
        edges = (self.above, *self.bands)
        if any(low >= high for low, high in pairwise(edges)):
            raise ValueError("bands must rise, and begin beyond above")
        return self


class BearingSettings(_Settings):
    """A rolling bearing of an asset, ``[asset.<id>.bearings.<name>]``: its maker's geometry."""

    rollers: Annotated[int, Field(ge=3)]
    roller_diameter: PositiveFloat
    pitch_diameter: PositiveFloat
    """Between the centres of opposite rollers; in the unit of ``roller_diameter``."""
    contact_angle: Annotated[float, Field(ge=0, lt=90)] = 0.0

    @model_validator(mode="after")
    def _rollers_fit(self) -> BearingSettings:
        if self.roller_diameter >= self.pitch_diameter:
            raise ValueError("a roller is smaller than the pitch circle")
        return self


class _Model(_Settings):
    scope: Scope
    signals: tuple[str, ...] = ()
    """Quantities of the asset; empty means all it has."""
    every: timedelta = timedelta(seconds=1)
    commissioning: timedelta = timedelta(minutes=30)
    """Normal running to learn from before the first score; prolonged while channels still trend."""
    running: Running | None = None
    load: tuple[str, ...] = ()
    """Quantities that say how hard the machine works; what they explain of the others is no news."""
    retrain: timedelta | None = None
    """A promoted version older than this is due for another, trained as a shadow; drift makes it due earlier."""

    @property
    def watched(self) -> tuple[str, ...]:
        """Every quantity that the settings name."""
        running = (self.running.signal,) if self.running else ()
        return tuple(dict.fromkeys((*self.signals, *self.load, *running)))

    @model_validator(mode="after")
    def _enough_to_learn_from(self) -> _Model:
        if self.every <= timedelta(0):
            raise ValueError("every must be longer than nothing")
        if self.commissioning / self.every < 100:
            raise ValueError(f"commissioning must hold at least 100 rows, here {100 * self.every}")
        if self.signals and (unwatched := set(self.load) - set(self.signals)):
            raise ValueError(f"load names {', '.join(sorted(unwatched))}, which signals does not")
        return self


class EwmaSettings(_Model):
    """One EWMA chart per signal; writes ``<asset>/<quantity>_anomaly``."""

    kind: Literal["ewma"]
    smoothing: Annotated[float, Field(gt=0, le=1)] = 0.1
    """λ of the chart: the weight of the newest value."""
    memory: timedelta = timedelta(days=1)
    """How slowly the chart's centre follows normal running after commissioning."""
    false_alarms_per_day: PositiveFloat = 0.01
    """Per signal, for a signal that runs as it did in commissioning."""

    def outputs(self, quantities: Sequence[str]) -> list[str]:
        """The soft quantities that it gives an asset with ``quantities``."""
        return [f"{q}_anomaly" for q in quantities if not self.signals or q in self.signals]


class T2Settings(_Model):
    """One shrunk Hotelling T² per machine; writes ``<asset>/anomaly``."""

    kind: Literal["t2"]
    smoothing: Annotated[float, Field(gt=0, le=1)] = 0.1
    false_alarms_per_day: PositiveFloat = 0.01
    """Per machine."""

    def outputs(self, _quantities: Sequence[str]) -> list[str]:
        """The soft quantities that it gives an asset."""
        return ["anomaly"]


class MachineSettings(_Model):
    """The workhorse: DPCA and T², or followed charts; writes ``<asset>/anomaly``."""

    kind: Literal["machine"]
    false_alarm_share: Annotated[float, Field(gt=0, lt=0.25)] = 0.005
    """Share of normal rows beyond the limit of a settled machine, before the rule's on-delay."""

    @model_validator(mode="after")
    def _rows_are_kept_whole(self) -> MachineSettings:
        if self.commissioning / self.every > MOST_ROWS:
            raise ValueError(f"commissioning holds more than {MOST_ROWS} rows: choose a longer every")
        return self

    def outputs(self, _quantities: Sequence[str]) -> list[str]:
        """The soft quantities that it gives an asset."""
        return ["anomaly"]


class SignalsSettings(_Model):
    """The per-signal set, ranked and fused; writes ``<asset>/<quantity>_anomaly``."""

    kind: Literal["signals"]
    refractory: timedelta = timedelta(minutes=30)
    """Silence of a signal after an onset."""

    def outputs(self, quantities: Sequence[str]) -> list[str]:
        """The soft quantities that it gives an asset with ``quantities``."""
        return [f"{q}_anomaly" for q in quantities if not self.signals or q in self.signals]


class PlausibleSettings(_Model):
    """Range, rate and standstill of each signal; writes ``<asset>/<quantity>_suspect``."""

    kind: Literal["plausible"]

    def outputs(self, quantities: Sequence[str]) -> list[str]:
        """The soft quantities that it gives an asset with ``quantities``."""
        return [f"{q}_suspect" for q in quantities if not self.signals or q in self.signals]


class LifeSettings(_Model):
    """Remaining life from one signal's trend to its limit; writes ``<asset>/rul``, ``…/rul_low``, ``…/rul_high``."""

    kind: Literal["life"]
    signals: tuple[str, ...] = Field(min_length=1, max_length=1)
    limit: float
    """Where the signal's life ends, in its own unit."""

    def outputs(self, _quantities: Sequence[str]) -> list[str]:
        """The soft quantities that it gives an asset."""
        return ["rul", "rul_low", "rul_high"]


ModelSettings = Annotated[
    EwmaSettings | T2Settings | MachineSettings | SignalsSettings | PlausibleSettings | LifeSettings,
    Field(discriminator="kind"),
]
MODEL_KINDS: dict[
    str,
    type[EwmaSettings]
    | type[T2Settings]
    | type[MachineSettings]
    | type[SignalsSettings]
    | type[PlausibleSettings]
    | type[LifeSettings],
] = {
    "ewma": EwmaSettings,
    "t2": T2Settings,
    "machine": MachineSettings,
    "signals": SignalsSettings,
    "plausible": PlausibleSettings,
    "life": LifeSettings,
}


def ns(duration: timedelta) -> int:
    """A duration in nanoseconds, exactly."""
    return duration // timedelta(microseconds=1) * 1000
