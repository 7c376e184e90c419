"""Durations as engineers write them: ``"500ms"``, ``"90s"``, ``"10m"``, ``"2h"``, ``"1d"``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

_UNITS = {
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_FORM = re.compile(r"(\d{1,9})(?:\.(\d{1,6}))?(ms|s|m|h|d)")
LONGEST = timedelta(days=366)


def nanoseconds(duration: timedelta) -> int:
    """``duration`` in whole nanoseconds."""
    return (duration.days * 86_400 + duration.seconds) * 1_000_000_000 + duration.microseconds * 1_000


def parse_duration(text: str) -> timedelta:
    """``"10m"`` → ten minutes; ValueError says what would do."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(
            f'"{text[:40]}" is not a duration; write for example "500ms", "90s", "10m", "2h" or "1d"'
        )
    whole, part, unit = found.groups()
    scale = _UNITS[unit] // 1_000
    part = part or "0"
    return timedelta(microseconds=int(whole) * scale + int(part) * scale // 10 ** len(part))


def write_duration(duration: timedelta) -> str:
    """The shortest form that ``parse_duration`` reads back: 600 s is ``"10m"``."""
    total = nanoseconds(duration)
    unit = next((u for u in ("d", "h", "m", "s") if total and total % _UNITS[u] == 0), "ms" if total else "s")
    return f"{total // _UNITS[unit]}{unit}"


def _read(found: object) -> object:
    return parse_duration(found) if isinstance(found, str) else found


def _bounded(duration: timedelta) -> timedelta:
    if not timedelta(0) <= duration <= LONGEST:
        raise ValueError(f"a duration lies between 0 s and {LONGEST.days} days")
    return duration


Duration = Annotated[timedelta, BeforeValidator(_read), AfterValidator(_bounded)]
