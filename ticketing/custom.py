"""A site's own fields on its orders: twelve types, each with a name in both languages, checked like ours.

They stand in the site's policy, so an order keeps the fields that it was opened under.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import urlsplit

from ticketing.errors import FieldError, MissingFieldError

SHORT, LONG = 200, 4000  # characters


@dataclass(frozen=True, slots=True)
class CustomField:
    """``kind`` is one of ``KINDS``; ``choices`` maps each code to its zh and en names (choice and choices only).

    A field ``needed`` at "open" or "resolve" must be filled in by then. ``low`` and ``high`` bound numbers.
    """

    name: str
    kind: str
    label_zh: str
    label_en: str
    choices: Mapping[str, tuple[str, str]] | None = None
    needed: str | None = None
    unit: str = ""
    low: float | None = None
    high: float | None = None


def _text(limit: int) -> Callable[[CustomField, Any], str | None]:
    def check(_field: CustomField, value: Any) -> str | None:
        return (
            None if isinstance(value, str) and len(value) <= limit else f"text of at most {limit} characters"
        )

    return check


def _number(field: CustomField, value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return "a whole number"
    return _within(field, value)


def _decimal(field: CustomField, value: Any) -> str | None:
    """As text, so that no digit is lost on the way."""
    try:
        number = Decimal(value) if isinstance(value, str) else None
    except InvalidOperation:
        number = None
    return "a decimal number as text" if number is None or not number.is_finite() else _within(field, number)


def _within(field: CustomField, value: Decimal | int) -> str | None:
    if (field.low is None or value >= field.low) and (field.high is None or value <= field.high):
        return None
    low, high = ("" if end is None else f"{end:g}" for end in (field.low, field.high))
    return f"a number from {low or 'any'} to {high or 'any'} {field.unit}".rstrip()


def _yes_or_no(_field: CustomField, value: Any) -> str | None:
    return None if isinstance(value, bool) else "true or false"


def _date(_field: CustomField, value: Any) -> str | None:
    return None if _parses(date.fromisoformat, value) else "a date such as 2026-03-01"


def _moment(_field: CustomField, value: Any) -> str | None:
    """With its offset: a time that means the same everywhere."""
    fits = _parses(datetime.fromisoformat, value) and datetime.fromisoformat(value).tzinfo is not None
    return None if fits else "a time such as 2026-03-01T08:30+08:00"


def _parses(parse: Callable[[str], object], value: Any) -> bool:
    try:
        parse(value)
    except (TypeError, ValueError):
        return False
    return True


def _choice(field: CustomField, value: Any) -> str | None:
    codes = list(field.choices or ())
    return None if isinstance(value, str) and value in codes else f"one of {', '.join(codes)}"


def _choices(field: CustomField, value: Any) -> str | None:
    codes = list(field.choices or ())
    fits = isinstance(value, list) and all(isinstance(each, str) and each in codes for each in value)
    return None if fits and len(set(value)) == len(value) else f"a list out of {', '.join(codes)}, none twice"


def _address(_field: CustomField, value: Any) -> str | None:
    fits = isinstance(value, str) and len(value) <= LONG and urlsplit(value).scheme in ("http", "https")
    return None if fits else "an address that begins with http:// or https://"


KINDS: Mapping[str, Callable[[CustomField, Any], str | None]] = {
    "text": _text(SHORT),
    "long_text": _text(LONG),
    "number": _number,
    "decimal": _decimal,
    "yes_no": _yes_or_no,
    "date": _date,
    "time": _moment,
    "choice": _choice,
    "choices": _choices,
    "person": _text(SHORT),
    "asset": _text(SHORT),
    "address": _address,
}


def from_text(field: CustomField, text: str) -> Any:
    """What a cell of a sheet says, as the field's kind wants it; what makes no sense comes back as it is."""
    if field.kind == "number":
        return int(text) if text.removeprefix("-").isdecimal() else text
    if field.kind == "yes_no":
        return {"true": True, "yes": True, "是": True, "false": False, "no": False, "否": False}.get(
            text.casefold(), text
        )
    if field.kind == "choices":
        return [part.strip() for part in text.replace("，", ",").replace(";", ",").split(",") if part.strip()]
    return text


def to_text(value: Any) -> str:
    """The value as a cell that ``from_text`` reads back."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)


def merged(
    fields: Collection[CustomField], present: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """``present`` with what was ``given``; None takes a value away. FieldError names what does not fit."""
    known = {field.name: field for field in fields}
    if unknown := sorted(given.keys() - known.keys()):
        have = ", ".join(known) or "none"
        raise FieldError(
            [f"custom.{name}" for name in unknown], f"there is no field {', '.join(unknown)}; have {have}"
        )
    for name, value in given.items():
        if value is not None and (wanted := KINDS[known[name].kind](known[name], value)):
            raise FieldError([f"custom.{name}"], f"{name} must be {wanted}")
    return {name: value for name, value in {**present, **given}.items() if value is not None}


def require_filled(fields: Collection[CustomField], values: Mapping[str, Any], at: str) -> None:
    """MissingFieldError unless everything needed at ``at`` ("open", "resolve") is there."""
    missing = [f"custom.{field.name}" for field in fields if field.needed == at and field.name not in values]
    if missing:
        raise MissingFieldError(at, missing)
