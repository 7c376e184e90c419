"""Our values as JSON and as cells of a spreadsheet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from starlette.responses import Response

from ticketing.sheets import csv_bytes


def plain(value: Any) -> Any:
    """Records, enumerations and tuples as what JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def sheet(name: str, rows: Iterable[Sequence[object]]) -> Response:
    """A CSV as a download."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(csv_bytes(rows), 200, headers, "text/csv; charset=utf-8")
