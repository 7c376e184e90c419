"""Durations as engineers write them: ``"500ms"``, ``"90s"``, ``"10m"``, ``"20m10s"``, ``"2h"``, ``"1d"``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

_MICROSECONDS = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1_000}
_MOST = 3_652_500 * _MICROSECONDS["d"]
_PART = r"(?:(\d{1,9}(?:\.\d{1,6})?)%s)?"
_FORM = re.compile(_PART * 5 % ("d", "h", "m(?!s)", "s", "ms"))
LONGEST = timedelta(days=366)


def nanoseconds(duration: timedelta) -> int:
    """``duration`` in whole nanoseconds."""
    return duration // timedelta(microseconds=1) * 1_000


def parse_duration(text: str) -> timedelta:
    """``"20m10s"`` → twenty minutes and ten seconds; ValueError says what would do."""
    found = _FORM.fullmatch(text.strip()) if text.strip() else None
    if found is None:
        raise ValueError(
            f'"{text[:40]}" is not a duration; write for example "500ms", "90s", "10m", "2h" or "1d"'
        )
    parts = zip(found.groups(), _MICROSECONDS.values(), strict=True)
    length = sum(round(float(part) * scale) for part, scale in parts if part)
    if length > _MOST:
        raise ValueError(f'"{text[:40]}" is longer than 10 000 years')
    return timedelta(microseconds=length)


def write_duration(duration: timedelta) -> str:
    """The form that ``parse_duration`` reads back: 610 s is ``"10m10s"``."""
    rest, parts = duration // timedelta(microseconds=1), []
    for unit, scale in _MICROSECONDS.items():
        count, rest = divmod(rest, scale)
        parts.append(f"{count}{unit}" if count else "")
    return "".join(parts) or "0s"


def _read(found: object) -> object:
    return parse_duration(found) if isinstance(found, str) else found


def _bounded(duration: timedelta) -> timedelta:
    if not timedelta(0) <= duration <= LONGEST:
        raise ValueError(f"a duration lies between 0 s and {LONGEST.days} days")
    return duration


def _lasting(duration: timedelta) -> timedelta:
    if not duration:
        raise ValueError("a duration here is longer than 0 s")
    return duration


Duration = Annotated[timedelta, BeforeValidator(_read), AfterValidator(_bounded)]
LastingDuration = Annotated[Duration, AfterValidator(_lasting)]
