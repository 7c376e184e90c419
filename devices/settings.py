"""Pieces that the settings of several kinds share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from devices.changes import Changes, SlopeLimit


class Settings(BaseModel):
    """A table of the site file: frozen, and a key that nobody knows is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LineSettings(Settings):
    """A wire or a broker. Its ``kind`` says which."""

    kind: str

    @property
    def certificate(self) -> Path | None:
        """Our own, which it shows to the other end."""
        return None

    @property
    def authorities(self) -> Path | None:
        """Whom it trusts."""
        return None


class DeviceSettings(Settings):
    """Something that is talked to over a line."""

    line: str

    def signals(self) -> tuple[str, ...]:
        """The names of the signals that it yields, in the order of the file."""
        raise NotImplementedError

    def units(self) -> dict[str, str]:
        """The engineering units of those signals that a profile states."""
        return {}


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta():
        raise ValueError("a duration above zero would do")
    return value


def _not_negative(value: timedelta) -> timedelta:
    if value < timedelta():
        raise ValueError("a duration of zero or more would do")
    return value


Positive = Annotated[timedelta, AfterValidator(_positive)]
NotNegative = Annotated[timedelta, AfterValidator(_not_negative)]


def _ordered(value: tuple[float, float] | None) -> tuple[float, float] | None:
    if value is not None and not value[0] < value[1]:
        raise ValueError(f"[{value[0]:g}, {value[1]:g}] is empty; [lowest, highest] would do")
    return value


class Scaled(Settings):
    """How a raw number becomes an engineering value, ``raw * scale + offset``; ``slope`` is the fastest per second."""

    scale: float = 1.0
    offset: float = 0.0
    sentinel: tuple[float, ...] = ()
    range: Annotated[tuple[float, float] | None, AfterValidator(_ordered)] = None
    slope: float | None = Field(default=None, gt=0)

    @property
    def sentinels(self) -> tuple[float, ...]:
        """Raw numbers that mean "not available"."""
        return self.sentinel


class Reported(Scaled):
    """A number, and what change of it is worth a report."""

    deadband: float = Field(default=0.0, ge=0)


class Reporting(DeviceSettings):
    """With ``longest_silence`` only changes are reported, and one reading at least so often."""

    longest_silence: Positive | None = None

    def changes(self, points: Sequence[Reported], period: float) -> Changes | None:
        """What reports these points by exception, the device's "online" after them."""
        if self.longest_silence is None:
            return None
        return Changes([*(p.deadband for p in points), 0.0], self.longest_silence.total_seconds(), period)

    def check_reports(self, points: Mapping[str, Reported]) -> None:
        """Raises ValueError when the settings of its reports contradict each other."""
        if self.longest_silence is None:
            for name, point in points.items():
                if point.deadband:
                    raise ValueError(
                        f'{name} has a deadband: the device needs longest_silence, such as "60s"'
                    )


class PolledDevice(Reporting):
    """A device that is asked."""

    period: Positive = timedelta(seconds=1)

    def check_reports(self, points: Mapping[str, Reported]) -> None:
        """See Reporting."""
        super().check_reports(points)
        if self.longest_silence is not None and self.longest_silence < self.period:
            raise ValueError("longest_silence is shorter than period: readings come less often than that")


def slope_limit(points: Sequence[Scaled]) -> SlopeLimit | None:
    """What watches how fast these points move."""
    return SlopeLimit([p.slope for p in points]) if any(p.slope for p in points) else None


PointName = Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$")]
