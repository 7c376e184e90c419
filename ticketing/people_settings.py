"""People and shifts as ``people.toml`` says them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from ticketing.calendar import Calendar

Role = Literal["viewer", "technician", "lead", "engineer", "admin", "manager", "director"]
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
NAME = re.compile(r"(?!(local|engine|timer|console)$)[a-z0-9][a-z0-9_.-]{0,31}")  # as ticketing.people has it


def _span(text: str) -> str:
    _minutes(text)
    return text


def _minutes(text: str) -> tuple[int, int]:
    """``"22:00-06:00"`` as minutes of the day; an end before its start is on the next day."""
    try:
        (h1, m1), (h2, m2) = (map(int, part.split(":")) for part in text.split("-"))
    except ValueError:
        raise ValueError('hours such as "06:00-14:00" would do') from None
    start, end = 60 * h1 + m1, 60 * h2 + m2
    if not (0 <= start < 1440 and 0 < end <= 1440 and start != end):
        raise ValueError('hours such as "06:00-14:00" would do')
    return start, end if end > start else end + 1440


class ShiftSettings(BaseModel):
    """When people of one shift work; hours are local to ``zone``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    zone: str = "Asia/Shanghai"
    days: tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...] = DAYS[:5]  # type: ignore[assignment]
    hours: tuple[Annotated[str, AfterValidator(_span)], ...] = Field(default=("08:00-17:00",), min_length=1)

    def calendar(self) -> Calendar:
        """As the ticket core counts it."""
        from ticketing.calendar import Calendar

        spans = tuple(_minutes(text) for text in self.hours)
        return Calendar(self.zone, {DAYS.index(day): spans for day in self.days})


class Person(BaseModel):
    """Somebody who works with orders."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    role: Role = "technician"
    also: tuple[Role, ...] = ()  # who holds two offices holds two roles
    language: Literal["zh", "en"] | None = None
    email: str = Field(default="", pattern=r"^([^\s@<>,;]+@[^\s@<>,;]+)?$")
    team: str = ""
    skills: tuple[str, ...] = ()  # failure modes or words of your own; orders go to whom they fit
    shift: str | None = None  # one of [shift.<id>]

    @property
    def roles(self) -> tuple[str, ...]:
        """All of them, the first one first."""
        return (self.role, *self.also)
