"""Pieces that the settings of several kinds share."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """A table of the site file: frozen, and a key that nobody knows is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LineSettings(Settings):
    """A wire or a broker. Its ``kind`` says which."""

    kind: str


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
    """How a raw number becomes an engineering value: ``raw * scale + offset``."""

    scale: float = 1.0
    offset: float = 0.0
    sentinel: tuple[float, ...] = ()
    range: Annotated[tuple[float, float] | None, AfterValidator(_ordered)] = None

    @property
    def sentinels(self) -> tuple[float, ...]:
        """Raw numbers that mean "not available"."""
        return self.sentinel


PointName = Annotated[str, Field(pattern=r"^[^/\s]+/[^/\s]+$")]
