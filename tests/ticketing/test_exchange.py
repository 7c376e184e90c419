"""Sheets and papers in, sheets out: bad rows named exactly, nothing twice, no cell that calculates."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ticketing.scene import ASSETS, LEAD, T0, TECHNICIAN
from ticketing import Desk, FieldError, ForbiddenError, Policy, StaleError, exchange, papers, sheets
from ticketing.custom import CustomField

OWN = (CustomField("meter", "number", "表读数", "meter reading"), CustomField("hot", "yes_no", "热态", "hot"))
GOOD = [
    "{id}",
    "pump-1",
    "泵振动大",
    "2025-03-01 08:30",
    "2025-03-02 17:00",
    "P2",
    "VIB",
    "wear",
    "replace",
    "5",
]
HEADINGS = ["单号", "设备", "故障描述", "报修时间", "关闭时间", "优先级", "故障模式", "机理", "处理", "评分"]
# Where a row can be bad: column, and a cell that cannot be taken.
SPOILT = [(1, "pump-9"), (2, ""), (3, "2025-02-30"), (4, "2024-01-01"), (5, "P7"), (6, "LOUD"), (9, "6")]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk.open(tmp_path / "core.db", site="demo", policy=Policy(fields=OWN))
    with opened.transaction() as tx:
        tx.sync_assets(ASSETS)
    yield opened
    opened.close()


def sheet(rows: int, bad: int) -> tuple[bytes, dict[int, str]]:
    """A CSV with so many rows, and where it is bad: row → column."""
    out, planted = io.StringIO(), {}
    writer = csv.writer(out)
    writer.writerow(HEADINGS)
    for n in range(1, rows + 1):
        row = [GOOD[0].format(id=f"A-{n}"), *GOOD[1:]]
        if n % (rows // bad) == 0 and len(planted) < bad:
            column, cell = SPOILT[len(planted) % len(SPOILT)]
            row[column], planted[n] = cell, HEADINGS[column]
        writer.writerow(row)
    return out.getvalue().encode(), planted


def test_37_planted_bad_rows_are_exactly_the_report(desk: Desk) -> None:
    data, planted = sheet(2000, 37)
    found = exchange.read_sheet("old.csv", data, exchange.Mapped(), ASSETS)
    assert {reject.row: reject.column for reject in found.rejects} == planted
    assert len(planted) == len(found.rejects) == 37
    assert exchange.keep(desk, LEAD, found.good) == (1963, 0)
    assert exchange.keep(desk, LEAD, found.good) == (0, 1963)
    with desk.read() as read:
        assert read.count_orders(state="closed") == 1963
        assert read.verify().broken is None
    report = list(csv.reader(io.StringIO(exchange.rejects_csv(found.rejects).decode("utf-8-sig"))))
    assert [row[0] for row in report[1:]] == [str(row) for row in planted]


def test_a_mapping_says_which_column_is_which(desk: Desk) -> None:
    text = "No;Machine;What;From;To;Zähler;hot\n1;pump-1;leak;2025-03-01;2025-03-02;120;是\n;;;;;;\n"
    mapped = exchange.mapping(
        'zone = "UTC"\n[columns]\nid = "No"\nasset = "Machine"\ntitle = "What"\nopened = "From"\nclosed = "To"\n'
        '"custom.meter" = "Zähler"\n"custom.hot" = "hot"'
    )
    found = exchange.read_sheet("old.csv", text.encode(), mapped, ASSETS, OWN)
    assert (found.rows, found.rejects) == (1, [])
    exchange.keep(desk, LEAD, found.good)
    with desk.read() as read:
        (order,) = read.orders(state="closed")
        assert order.custom == {"meter": 120, "hot": True}
        exported = list(exchange.order_rows(exchange.exported(read), OWN))
    again = dict(zip(exported[0], exported[1], strict=True))
    assert (again["custom.meter"], again["custom.hot"], again["opened_at"]) == (
        "120",
        "yes",
        "2025-03-01T00:00:00Z",
    )


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("old.ods", b"", "a sheet is .csv or .xlsx"),
        ("old.csv", b"", "the first row must hold the headings"),
        ("old.csv", b"\xff\xff\xff", "neither UTF-8 nor GB 18030"),
        ("old.csv", "设备,设备\n".encode(), "comes twice"),
        ("old.csv", "单号,设备\n1,pump-1\n".encode("gb18030"), "no column for title, opened, closed"),
    ],
)
def test_what_is_no_sheet_of_ours_is_told_in_one_line(name: str, data: bytes, told: str) -> None:
    with pytest.raises(sheets.SheetError, match=told):
        exchange.read_sheet(name, data, exchange.Mapped(), ASSETS)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("zone = ", "Invalid value"),
        ('zone = "Mars"', "no time zone"),
        ('[columns]\ncolour = "x"', "no colour"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_told(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        exchange.mapping(text)


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "＝1", "\r\n=1", "\x07=1"])
def test_no_cell_calculates(desk: Desk, cell: str) -> None:
    with desk.transaction() as tx:
        tx.open_order(TECHNICIAN, at=T0, asset="pump-1", title=f"{cell}x", description=cell)
    with desk.read() as read:
        rows = list(exchange.order_rows(exchange.exported(read), ()))
    for line in csv.reader(io.StringIO(sheets.csv_bytes(rows).decode("utf-8-sig"))):
        assert not [each for each in line if each[:1] in sheets.FORMULA]
    assert sheets.xlsx_bytes(rows, "orders").startswith(b"PK")


def test_a_workbook_is_read_as_it_was_written(desk: Desk) -> None:
    found = exchange.read_sheet(
        "t.xlsx", sheets.xlsx_bytes(exchange.template(OWN), "old"), exchange.Mapped(), ASSETS, OWN
    )
    assert (len(found.good), found.rejects) == (1, [])
    with pytest.raises(sheets.SheetError, match="cannot be read"):
        exchange.read_sheet("t.xlsx", b"PK\x03\x04", exchange.Mapped(), ASSETS)


PAPER = {
    "id": "scan-1",
    "fields": {
        "id": {"value": "P-1", "confidence": 0.99},
        "asset": {"value": "pump-1", "confidence": 0.98},
        "title": {"value": "换机封", "confidence": 0.97},
        "opened": {"value": "2024-05-06", "confidence": 0.95},
        "closed": {"value": "2024-05-07", "confidence": 0.95},
    },
}


def paper(name: str, **fields: tuple[str, float]) -> dict[str, object]:
    changed = {key: {"value": value, "confidence": sure} for key, (value, sure) in fields.items()}
    own = {"id": {"value": name, "confidence": 1}}
    return {"id": name, "fields": {**PAPER["fields"], **own, **changed}}  # type: ignore[dict-item]


def test_a_doubtful_paper_waits_until_somebody_has_looked(desk: Desk) -> None:
    given = [PAPER, paper("scan-2", title=("换轴水", 0.4)), paper("scan-3", closed=("2024-05-37", 0.99))]
    for again in range(2):
        with desk.transaction() as tx:
            taken = papers.take(tx, LEAD, exchange.papers(json.dumps(given).encode()), zone="UTC", at=T0)
        assert taken == (papers.Taken(0, 0, 3) if again else papers.Taken(1, 2, 0))
    with desk.read() as read:
        doubtful = papers.listed(read)
        assert [(each.id, list(each.doubts)) for each in doubtful] == [
            ("scan-2", ["title"]),
            ("scan-3", ["closed"]),
        ]
        assert "0.4" in doubtful[0].doubts["title"]
    with pytest.raises(FieldError, match="closed"), desk.transaction() as tx:
        papers.accept(tx, LEAD, "scan-3", {}, zone="UTC", at=T0)
    with desk.transaction() as tx:
        papers.accept(tx, LEAD, "scan-3", {"closed": "2024-05-27"}, zone="UTC", at=T0)
        papers.dismiss(tx, LEAD, "scan-2", at=T0)
    with pytest.raises(StaleError), desk.transaction() as tx:
        papers.accept(tx, LEAD, "scan-2", {}, zone="UTC", at=T0)
    with desk.read() as read:
        assert papers.listed(read) == []
        assert read.count_orders(state="closed") == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "x"},
        {"id": "x", "fields": {"title": "bare"}},
        {"id": "x", "fields": {"title": {"value": "a", "confidence": 2}}},
        {"id": "x", "fields": {"colour": {"value": "a", "confidence": 1}}},
    ],
)
def test_a_paper_of_another_form_is_refused_whole(desk: Desk, wrong: dict[str, object]) -> None:
    with pytest.raises(FieldError), desk.transaction() as tx:
        papers.take(tx, LEAD, [PAPER, wrong], zone="UTC", at=T0)
    with desk.read() as read:
        assert read.count_orders(state="closed") == 0


def test_papers_are_not_for_everybody(desk: Desk) -> None:
    with pytest.raises(ForbiddenError), desk.transaction() as tx:
        papers.take(tx, TECHNICIAN, [PAPER], zone="UTC", at=T0)
