"""Work orders in and out: old ones from a sheet or from scanned papers, ours to sheets and JSON."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ticketing import sheets
from ticketing.custom import CustomField, to_text
from ticketing.desk import Desk
from ticketing.history import NEEDED, PastOrder, Reject, read_rows
from ticketing.reading import Reading
from ticketing.records import Actor, Asset, Order

AT_ONCE = 1000  # orders in one transaction: the gateway writes between them
PAGE = 500
FIELDS = tuple(name for name in PastOrder.__dataclass_fields__ if name != "custom")
# What a sheet may call each field by itself; anything else is said by a mapping.
HEADINGS: Mapping[str, tuple[str, ...]] = {
    "id": ("工单号", "单号", "number"),
    "asset": ("设备", "设备编号"),
    "title": ("故障描述", "标题", "故障现象"),
    "opened": ("报修时间", "开单时间"),
    "closed": ("关闭时间", "完工时间"),
    "resolved": ("修复时间", "完成时间"),
    "description": ("说明", "备注"),
    "priority": ("优先级",),
    "failure_mode": ("故障模式",),
    "mechanism": ("故障机理", "机理"),
    "cause": ("故障原因", "原因"),
    "remedy": ("处理措施", "处理"),
    "outcome": ("结果",),
    "stars": ("评分", "满意度"),
    "assignee": ("维修人", "处理人"),
    "cost_fen": ("费用(元)", "费用", "cost_yuan"),
}
TEMPLATE = (
    "OLD-0001", "pump-1", "泵振动大", "2025-03-01 08:30", "2025-03-02 17:00", "2025-03-01 11:00", "",
    "P2", "VIB", "wear", "ageing", "replace", "worked", "5", "li", "1250.50",
)  # fmt: skip


class Mapped(BaseModel):
    """A mapping file: which heading of the sheet holds which field, and whose wall clock its times are."""

    model_config = ConfigDict(extra="forbid")

    zone: str = "Asia/Shanghai"
    columns: dict[str, str] = Field(default_factory=dict)

    @field_validator("zone")
    @classmethod
    def _known(cls, zone: str) -> str:
        try:
            return ZoneInfo(zone).key
        except (ValueError, OSError, KeyError):
            raise ValueError(f"{zone!r} is no time zone; Asia/Shanghai would do") from None


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet that was read: its good orders, its bad cells, which heading was taken for which field."""

    rows: int
    good: Sequence[PastOrder]
    rejects: Sequence[Reject]
    columns: Mapping[str, str]


def mapping(text: str) -> Mapped:
    """The mapping file; ValueError says in one line what would do."""
    try:
        found = Mapped.model_validate(tomllib.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"mapping, {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    known = {*FIELDS, *(f for f in found.columns if f.startswith("custom."))}
    if unknown := sorted(found.columns.keys() - known):
        raise ValueError(f"mapping: an old order has no {', '.join(unknown)}; it has {', '.join(FIELDS)}")
    return found


def template(own: Sequence[CustomField]) -> list[list[object]]:
    """The headings that are understood without a mapping, and one example."""
    headings: list[object] = [
        *(HEADINGS[name][0] for name in FIELDS),
        *(f"custom.{each.name}" for each in own),
    ]
    return [headings, [*TEMPLATE, *("" for _ in own)]]


def read_sheet(
    name: str, data: bytes, mapped: Mapped, assets: Sequence[Asset], own: Sequence[CustomField] = ()
) -> Sheet:
    """Check a whole sheet; nothing is written. SheetError where it cannot be read or lacks a needed column."""
    headings, rows = sheets.read(name, data)
    columns = {**_guess(headings, own), **mapped.columns}
    if absent := sorted(heading for heading in columns.values() if heading not in headings):
        raise sheets.SheetError(f"{name} has no column {', '.join(absent)}; it has {', '.join(headings)}")
    if missing := [field for field in NEEDED if field not in columns]:
        raise sheets.SheetError(f"{name}: no column for {', '.join(missing)}; say which in a mapping file")
    count = 0

    def counted() -> Iterator[Mapping[str, str]]:
        nonlocal count
        for row in rows:
            count += any(row.values())
            yield row

    good, rejects = read_rows(
        counted(), columns=columns, zone=mapped.zone, assets={asset.code for asset in assets}, own=own
    )
    return Sheet(count, good, rejects, columns)


def _guess(headings: Sequence[str], own: Sequence[CustomField]) -> dict[str, str]:
    names = {
        **{name: (name, *HEADINGS[name]) for name in FIELDS},
        **{(n := f"custom.{f.name}"): (n,) for f in own},
    }
    folded = {heading.casefold(): heading for heading in reversed(headings)}
    found = {
        name: next((folded[each] for each in called if each in folded), None)
        for name, called in names.items()
    }
    return {name: heading for name, heading in found.items() if heading is not None}


def keep(desk: Desk, actor: Actor, good: Sequence[PastOrder]) -> tuple[int, int]:
    """Write the orders, some at a time; how many are new and how many were known."""
    added = known = 0
    for start in range(0, len(good), AT_ONCE):
        with desk.transaction() as tx:
            kept = tx.import_history(actor, good[start : start + AT_ONCE])
        added, known = added + kept.added, known + kept.known
    return added, known


def rejects_csv(rejects: Sequence[Reject]) -> bytes:
    """Each bad cell; row 1 is the sheet's first row below its headings."""
    return sheets.csv_bytes(
        [("row", "column", "found", "would do"), *((r.row, r.column, r.found, r.wanted) for r in rejects)]
    )


def exported(read: Reading, **wanted: Any) -> Iterator[Order]:
    """Every order of the filter, page by page."""
    offset = 0
    while page := read.orders(limit=PAGE, offset=offset, **wanted):
        yield from page
        offset += PAGE


def order_rows(orders: Iterator[Order], own: Sequence[CustomField]) -> Iterator[list[object]]:
    """Orders as rows of a sheet, headings first; times as ISO 8601 in UTC, money in yuan."""
    names = [
        name for name in Order.__dataclass_fields__ if name not in ("custom", "source", "policy", "fault_key")
    ]
    yield [*names, *(f"custom.{field.name}" for field in own)]
    for order in orders:
        cells = [_cell(name, getattr(order, name)) for name in names]
        yield [*cells, *(to_text(order.custom.get(field.name)) for field in own)]


def _cell(name: str, value: Any) -> object:
    if value is None:
        return ""
    if name.endswith(("_at", "_start", "_end")):
        return datetime.fromtimestamp(value / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if name.endswith("_fen"):
        return f"{value / 100:.2f}"
    return str(value) if isinstance(value, str) else value


def papers(text: bytes) -> list[dict[str, Any]]:
    """The documents of an OCR file: a list, or {"papers": […]}; ValueError says what would do."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ValueError(f"this is no JSON: {error}") from None
    listed = found.get("papers") if isinstance(found, dict) else found
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise ValueError('scanned papers are {"papers": [{"id": …, "fields": {…}}]}')
    return listed
