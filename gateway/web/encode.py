"""Our values as JSON and as cells of a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from starlette.responses import Response


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
    """A CSV that spreadsheets open rightly: UTF-8 with its mark, and no cell taken for a formula."""
    text = io.StringIO()
    csv.writer(text).writerows([_safe(cell) for cell in row] for row in rows)
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response("\ufeff" + text.getvalue(), 200, headers, "text/csv; charset=utf-8")


def _safe(cell: object) -> object:
    if isinstance(cell, str) and cell[:1] in tuple("=+-@\t\r\n＝＋－＠"):
        return f"'{cell}"
    return "" if cell is None else cell
