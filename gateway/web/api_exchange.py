"""Import and export as an API: old orders from sheets and scanned papers in, ours out."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from gateway.web.api import Bytes, Given, refused, takes
from gateway.web.api_orders import Filters
from gateway.web.house import Hall, Who, may
from ticketing import FieldError, exchange, papers, sheets
from ticketing.events import canonical
from ticketing.history import Reject

router = APIRouter(tags=["Exchange"])
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CSV = "text/csv; charset=utf-8"


class SheetReport(BaseModel):
    """What came of a sheet. Rows with a bad cell were left out whole; each bad cell is named."""

    rows: int
    good: int
    added: int
    known: int
    rejects: list[Reject]
    columns: dict[str, str] = Field(description="which heading was taken for which field")
    dry_run: bool


class Corrections(Given):
    """What somebody read on the paper, where the machine was unsure or wrong."""

    fields: dict[str, str] = Field(
        default_factory=dict, examples=[{"title": "更换机封", "closed": "2024-05-06"}]
    )
    zone: str = "Asia/Shanghai"


@router.get(
    "/api/imports/template",
    dependencies=[may("history.import")],
    responses=refused() | {200: {"content": {"text/csv": {}, XLSX: {}}, "description": "the sheet"}},
    response_class=Response,
)
def template(house: Hall, form: Literal["csv", "xlsx"] = "csv") -> Response:
    """A sheet with the headings that are understood without a mapping, and one example."""
    return _sheet("old-orders", exchange.template(house.desk.policy.fields), form)


@router.post(
    "/api/imports",
    dependencies=[may("history.import")],
    responses=refused(),
    openapi_extra=takes("text/csv", XLSX),
)
def import_sheet(
    *,
    house: Hall,
    who: Who,
    data: Bytes,
    name: Annotated[str, Query(description="the file's name, such as old.xlsx", max_length=200)],
    mapping: Annotated[
        str, Query(description='TOML: zone = "Asia/Shanghai", [columns] id = "单号" …', max_length=1000)
    ] = "",
    dry_run: Annotated[bool, Query(description="check and report, write nothing")] = False,
) -> SheetReport:
    """Old orders from a CSV or XLSX of at most 16 MiB; the same sheet again adds nothing."""
    with house.desk.read() as desk:
        assets = desk.assets(retired=True)
    try:
        found = exchange.read_sheet(name, data, exchange.mapping(mapping), assets, house.desk.policy.fields)
    except ValueError as error:
        raise FieldError(["data"], str(error)) from None
    added, known = (0, 0) if dry_run else exchange.keep(house.desk, who, found.good)
    return SheetReport(
        rows=found.rows,
        good=len(found.good),
        added=added,
        known=known,
        rejects=list(found.rejects),
        columns=dict(found.columns),
        dry_run=dry_run,
    )


@router.get(
    "/api/export/work-orders",
    dependencies=[may("history.export")],
    responses=refused()
    | {200: {"content": {"text/csv": {}, XLSX: {}, "application/json": {}}, "description": "the file"}},
    response_class=Response,
)
def export(house: Hall, wanted: Filters, form: Literal["csv", "xlsx", "json"] = "csv") -> Response:
    """Every order of the filter: CSV or XLSX for spreadsheets, JSON with the whole history of all orders."""
    with house.desk.read() as desk:
        if form == "json":
            return _download("work-orders.json", desk.export().encode(), "application/json")
        orders = exchange.exported(desk, **wanted.asked(house.now()))
        rows = list(exchange.order_rows(orders, house.desk.policy.fields))
    return _sheet("work-orders", rows, form)


@router.post(
    "/api/reviews",
    dependencies=[may("history.import")],
    responses=refused(),
    openapi_extra=takes("application/json"),
)
def take_papers(house: Hall, who: Who, data: Bytes, zone: str = "Asia/Shanghai") -> papers.Taken:
    """Scanned papers as OCR JSON: what was read with confidence is history, the rest waits for somebody."""
    try:
        given = exchange.papers(data)
        zone = exchange.mapping(f"zone = {canonical(zone)}").zone
    except ValueError as error:
        raise FieldError(["data"], str(error)) from None
    with house.desk.transaction() as desk:
        return papers.take(desk, who, given, zone=zone, at=house.now())


@router.get("/api/reviews", dependencies=[may("history.import")], responses=refused())
def reviews(
    house: Hall, state: Literal["waiting", "accepted", "dismissed"] = "waiting"
) -> list[papers.Paper]:
    """The papers that wait for somebody to look, or were decided."""
    with house.desk.read() as desk:
        return papers.listed(desk, state=state)


@router.post(
    "/api/reviews/{paper}/accept",
    status_code=204,
    dependencies=[may("history.import")],
    responses=refused(404, 409),
)
def accept(house: Hall, paper: str, who: Who, given: Corrections) -> None:
    """With these corrections the paper is right: it becomes history."""
    try:
        zone = exchange.mapping(f"zone = {canonical(given.zone)}").zone
    except ValueError as error:
        raise FieldError(["zone"], str(error)) from None
    with house.desk.transaction() as desk:
        papers.accept(desk, who, paper, given.fields, zone=zone, at=house.now())


@router.post(
    "/api/reviews/{paper}/dismiss",
    status_code=204,
    dependencies=[may("history.import")],
    responses=refused(404, 409),
)
def dismiss(house: Hall, paper: str, who: Who) -> None:
    """It is no order of ours."""
    with house.desk.transaction() as desk:
        papers.dismiss(desk, who, paper, at=house.now())


def _sheet(name: str, rows: list[list[object]], form: str) -> Response:
    if form == "csv":
        return _download(f"{name}.csv", sheets.csv_bytes(rows), CSV)
    try:
        return _download(f"{name}.xlsx", sheets.xlsx_bytes(rows, name), XLSX)
    except sheets.SheetError as error:
        raise FieldError(["form"], str(error)) from None


def _download(name: str, data: bytes, mime: str) -> Response:
    return Response(data, 200, {"Content-Disposition": f'attachment; filename="{name}"'}, mime)
