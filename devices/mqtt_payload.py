"""What an MQTT payload says: JSON, CSV or one plain number, and the time in it. Pure: no wire, no clock."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal["json", "csv", "plain"]
TimeUnit: TypeAlias = Literal["s", "ms", "us", "ns"]
Path: TypeAlias = tuple[str | int, ...]

_STEP = re.compile(r'\.?([^.\[\]"]+)|\[(\d+)\]|\["([^"]+)"\]')
_NUMBERS = {float, int}
_NS_PER = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


class PayloadError(ValueError):
    """The payload as a whole cannot be read; the text says why."""


def compile_path(text: str) -> Path:
    """The steps of ``motor.phases[0].current``; a key with a dot is ``["a.b"]``. ValueError if it is none."""
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        step = _STEP.match(text, at)
        if step is None or (step[0].startswith(".") and not steps):
            raise ValueError(f"{text!r} is not a path like motor.phases[0].current (found {text[at:]!r})")
        steps.append(int(step[2]) if step[2] else step[1] or step[3])
        at = step.end()
    return tuple(steps)


def column_path(text: str, columns: Sequence[str]) -> Path:
    """The CSV column called ``text``, or ``[n]`` counted from 0. ValueError if there is none."""
    if text in columns:
        return (columns.index(text),)
    path = compile_path(text)
    if len(path) == 1 and isinstance(path[0], int):
        return path
    raise ValueError(f"{text!r} is neither one of columns = {list(columns)} nor a place like [2]")


def parser(kind: Kind, separator: str) -> Callable[[bytes], object]:
    """What turns a payload of this kind into a document for ``pick``; it raises PayloadError."""
    if kind == "json":
        return _json
    if kind == "csv":
        return lambda payload: _csv(payload, separator)
    return _text


def pick(document: object, path: Path) -> object:
    """What stands at ``path``; None where there is nothing, or an explicit null."""
    for step in path:
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and isinstance(step, int) and step < len(document):
            document = document[step]
        else:
            return None
    return document


def number(value: object) -> float:
    """The finite number that ``value`` is or spells (true is 1); NaN if it is none."""
    kind = type(value)
    if kind is float or kind is int or kind is bool:
        pass
    elif kind is not str or "_" in value:  # type: ignore[operator]  # Python reads 1_0 as ten; no instrument means it
        return math.nan
    try:
        found = float(value)  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return math.nan
    return found if math.isfinite(found) else math.nan


def picker(paths: Sequence[Path]) -> Callable[[object], list[object]]:
    """``pick`` for all ``paths``; those of one flat object, the usual case, are taken in one go."""
    keys = [path[0] for path in paths if len(path) == 1 and isinstance(path[0], str)]
    if len(keys) < len(paths):
        return lambda document: [pick(document, path) for path in paths]
    nothing = [None] * len(keys)
    return lambda document: list(map(document.get, keys)) if isinstance(document, dict) else [*nothing]


def numbers(values: list[object]) -> list[float]:
    """``number`` of each."""
    if _NUMBERS.issuperset(map(type, values)):  # JSON's are finite
        with suppress(OverflowError):
            return list(map(float, values))  # type: ignore[arg-type]
    return [number(value) for value in values]


def time_ns(value: object, unit: TimeUnit | None) -> int | None:
    """UTC in ns of a time given as a number since 1970 or as ISO 8601 (UTC where it names no zone).

    Without ``unit`` the size of the number tells: what is taken as seconds lies before the year 5000,
    as milliseconds between 1973 and 5000, and so on. None if it is no time.
    """
    if type(value) is int:  # the usual case first
        return _since_1970(value, unit)
    if isinstance(value, str):
        text = value.strip()
        value = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else number(text)
        if math.isnan(value):
            return _iso(text)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _since_1970(value, unit)
    return None


def _since_1970(value: float, unit: TimeUnit | None) -> int | None:
    if not 0 < value < 1e20:  # NaN as well
        return None
    per = _NS_PER[unit or ("s" if value < 1e11 else "ms" if value < 1e14 else "us" if value < 1e17 else "ns")]
    if isinstance(value, int):
        return value * per
    return round(value * (per / 1_000)) * 1_000  # a float of seconds tells microseconds at best


def _iso(text: str) -> int | None:
    try:
        time = datetime.fromisoformat(text)
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        since = time - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + since.microseconds * 1_000


def _json(payload: bytes) -> object:
    try:
        document = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError(f"no JSON: {error}") from error
    return document


def _text(payload: bytes) -> str:
    try:
        return payload.decode().strip()
    except UnicodeDecodeError as error:
        raise PayloadError(f"no text: {error}") from error


def _csv(payload: bytes, separator: str) -> list[str]:
    try:
        rows = list(csv.reader(_text(payload).splitlines(), delimiter=separator, strict=True))
    except csv.Error as error:
        raise PayloadError(f"no CSV: {error}") from error
    if len(rows) != 1:
        raise PayloadError(f"{len(rows)} lines where one was expected")
    return [field.strip() for field in rows[0]]
