"""Working time: what a site counts when it promises eight hours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

Spans = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Calendar:
    """When people work. ``hours`` maps a weekday (0 is Monday) to spans in minutes of the local day;
    ``holidays`` are ISO dates without work, ``extra`` ISO dates that work like the weekday given.
    """

    zone: str = "UTC"
    hours: Mapping[int, Spans] = field(default_factory=lambda: dict.fromkeys(range(5), ((8 * 60, 17 * 60),)))
    holidays: tuple[str, ...] = ()
    extra: Mapping[str, int] = field(default_factory=dict)

    def spans(self, day: date) -> Spans:
        """The working spans of a local day."""
        iso = day.isoformat()
        if iso in self.extra:
            return self.hours.get(self.extra[iso], ())
        return () if iso in self.holidays else self.hours.get(day.weekday(), ())


def add(calendar: Calendar | None, at: int, ms: int) -> int:
    """When ``ms`` of working time have passed since ``at``; without a calendar all time counts."""
    if calendar is None or ms == 0:
        return at + ms
    for start, end in _working(calendar, at):
        if ms <= end - start:
            return start + ms
        ms -= end - start
    raise ValueError("the calendar has no working time within ten years")


def between(calendar: Calendar | None, start: int, end: int) -> int:
    """How much working time lies between two times."""
    if calendar is None:
        return max(0, end - start)
    total = 0
    for begins, ends in _working(calendar, start):
        if begins >= end:
            break
        total += min(ends, end) - begins
    return total


def _working(calendar: Calendar, at: int) -> Iterator[tuple[int, int]]:
    """The working spans from ``at`` on, in UTC ms."""
    zone = ZoneInfo(calendar.zone)
    first = datetime.fromtimestamp(at / 1000, UTC).astimezone(zone).date()
    for n in range(-1, 3660):  # a span of yesterday may reach into today
        day = first + timedelta(days=n)
        midnight = datetime.combine(day, time(), zone)
        for start, end in calendar.spans(day):
            begins, ends = _utc(midnight, start), _utc(midnight, end)
            if ends > at:
                yield max(begins, at), ends


def _utc(midnight: datetime, minutes: int) -> int:
    """Wall-clock minutes after midnight: on the day the clocks change, eight o'clock is still eight o'clock."""
    return round((midnight + timedelta(minutes=minutes)).timestamp() * 1000)
