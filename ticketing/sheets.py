"""Spreadsheets in and out: CSV and XLSX. No cell we write is taken for a formula."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path

FORMULA = tuple("=+-@\t\r\n＝＋－＠")
UNPRINTED = dict.fromkeys((*range(9), 11, 12, *range(14, 32)), "\ufffd")  # what no workbook may hold
ENCODINGS = ("utf-8-sig", "gb18030")  # what Excel writes here
MOST_ROWS = 200_000
MOST_BYTES = 256 << 20  # of an unpacked workbook


class SheetError(ValueError):
    """The file is no sheet that we can read; the text says what would do."""


def safe(cell: object) -> object:
    """The cell as a spreadsheet may hold it: nothing that it would calculate."""
    if isinstance(cell, str):
        cell = cell.translate(UNPRINTED)
        return f"'{cell}" if cell[:1] in FORMULA else cell
    return "" if cell is None else cell


def csv_bytes(rows: Iterable[Sequence[object]]) -> bytes:
    """A CSV that spreadsheets open rightly: UTF-8 with its mark."""
    text = io.StringIO()
    csv.writer(text).writerows([safe(cell) for cell in row] for row in rows)
    return ("\ufeff" + text.getvalue()).encode()


def xlsx_bytes(rows: Iterable[Sequence[object]], title: str) -> bytes:
    """A workbook of one sheet."""
    from openpyxl import Workbook  # a third of a second, which only sheets need

    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    for row in rows:
        sheet.append([safe(cell) for cell in row])
    kept = io.BytesIO()
    book.save(kept)
    return kept.getvalue()


def read(name: str, data: bytes) -> tuple[list[str], Iterator[Mapping[str, str]]]:
    """The headings and the rows of a file called ``name``, each cell as text; SheetError."""
    match Path(name).suffix.lower():
        case ".csv":
            cells = _csv_rows(data)
        case ".xlsx":
            cells = _xlsx_rows(data)
        case other:
            raise SheetError(f"{name}: a sheet is .csv or .xlsx; got {other or 'no ending'}")
    headings = [heading.strip() for heading in next(cells, [])]
    if not any(headings):
        raise SheetError(f"{name}: the first row must hold the headings")
    if twice := sorted({each for each in headings if each and headings.count(each) > 1}):
        raise SheetError(f"{name}: the heading {twice[0]!r} comes twice")
    return [each for each in headings if each], _named(name, headings, cells)


def _named(name: str, headings: Sequence[str], cells: Iterator[list[str]]) -> Iterator[Mapping[str, str]]:
    """Rows by their headings; empty ones keep their place, so that row numbers are the sheet's."""
    for number, row in enumerate(cells):
        if number >= MOST_ROWS:
            raise SheetError(f"{name}: more than {MOST_ROWS} rows; give them in parts")
        yield {heading: cell for heading, cell in zip(headings, row, strict=False) if heading}


def _csv_rows(data: bytes) -> Iterator[list[str]]:
    for encoding in ENCODINGS:
        try:
            text = data.decode(encoding)
            break
        except UnicodeDecodeError:
            continue
    else:
        raise SheetError("the CSV is neither UTF-8 nor GB 18030")
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    try:
        yield from csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    except csv.Error as error:
        raise SheetError(f"the CSV cannot be read: {error}") from None


def _xlsx_rows(data: bytes) -> Iterator[list[str]]:
    from openpyxl import load_workbook

    try:
        if sum(part.file_size for part in zipfile.ZipFile(io.BytesIO(data)).infolist()) > MOST_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_BYTES >> 20} MiB")
        sheet = load_workbook(io.BytesIO(data), read_only=True, data_only=True).worksheets[0]
        for row in sheet.iter_rows(values_only=True):
            yield [_text(cell) for cell in row]
    except Exception as error:  # a broken workbook fails in many of its library's ways; all mean the same
        raise SheetError(f"the workbook cannot be read: {error}") from error


def _text(cell: object) -> str:
    match cell:
        case None:
            return ""
        case datetime():
            return cell.strftime("%Y-%m-%d %H:%M:%S")
        case date():
            return cell.isoformat()
        case float() if cell.is_integer():
            return str(int(cell))
        case _:
            return str(cell)
