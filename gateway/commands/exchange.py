"""`import …`, `export`, `review …`: old orders in, ours out, doubtful papers looked at."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.options import (
    AsJson,
    AsPerson,
    AtSite,
    acting,
    desk_of,
    fail,
    now_ms,
    refusals,
    staffed,
)

app = typer.Typer()
import_app = typer.Typer(help="Old orders from a sheet or from scanned papers.", no_args_is_help=True)
review_app = typer.Typer(help="Scanned papers that somebody has to look at.", no_args_is_help=True)
app.add_typer(import_app, name="import")
app.add_typer(review_app, name="review")
Zone = Annotated[str, typer.Option(help="whose wall clock the papers' times are")]


@import_app.command("template")
def import_template(
    file: Annotated[Path, typer.Argument(help="where to write it: .csv or .xlsx")], site: AtSite = None
) -> None:
    """A sheet with the headings that are understood without a mapping, and one example."""
    from ticketing import exchange

    _write(file, exchange.template(desk_of(site).policy.fields))
    typer.echo(f"{file} is written")


@import_app.command("history")
def import_history(
    file: Annotated[Path, typer.Argument(help="a .csv or .xlsx, headings in the first row")],
    *,
    mapping: Annotated[Path | None, typer.Option(help='TOML: zone, and [columns] field = "heading"')] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="check and report, write nothing")] = False,
    rejects: Annotated[Path | None, typer.Option(help="write each bad cell to this CSV")] = None,
    person: AsPerson = None,
    site: AtSite = None,
    as_json: AsJson = False,
) -> None:
    """Keep old orders; the same sheet again adds nothing. A row with a bad cell is left out whole.

    Exit 1 if a row was left out: the good ones are kept all the same.
    """
    from ticketing import exchange

    desk = staffed(site)
    actor = acting(desk, person)
    with desk.read() as read:
        assets = read.assets(retired=True)
    try:
        mapped = exchange.mapping(mapping.read_text() if mapping else "")
        found = exchange.read_sheet(file.name, file.read_bytes(), mapped, assets, desk.policy.fields)
    except (ValueError, OSError) as error:
        fail(str(error), 2)
    added = known = 0
    if not dry_run:
        with refusals():
            added, known = exchange.keep(desk, actor, found.good)
    if rejects is not None:
        rejects.write_bytes(exchange.rejects_csv(found.rejects))
    bad_rows = len({each.row for each in found.rejects})
    if as_json:
        body = {
            "rows": found.rows,
            "good": len(found.good),
            "added": added,
            "known": known,
            "bad_rows": bad_rows,
        }
        typer.echo(
            json.dumps({**body, "rejects": [asdict(each) for each in found.rejects]}, ensure_ascii=False)
        )
    else:
        did = "would be kept" if dry_run else f"{added} kept, {known} were known"
        typer.echo(f"{found.rows} rows: {len(found.good)} good ({did}), {bad_rows} left out")
        for each in found.rejects[:20]:
            typer.echo(f"  row {each.row}, {each.column}: {each.found!r}; would do: {each.wanted}")
        if len(found.rejects) > 20:
            typer.echo(f"  … {len(found.rejects) - 20} more bad cells; --rejects FILE.csv has them all")
    if bad_rows:
        raise typer.Exit(1)


@import_app.command("papers")
def import_papers(
    file: Annotated[
        Path,
        typer.Argument(
            help='OCR JSON: {"papers": [{"id": …, "fields": {"title": {"value": …, "confidence": …}}}]}'
        ),
    ],
    zone: Zone = "Asia/Shanghai",
    person: AsPerson = None,
    site: AtSite = None,
) -> None:
    """Scanned papers: what was read with confidence is history, the rest waits in `review list`."""
    from ticketing import exchange, papers

    try:
        given = exchange.papers(file.read_bytes())
    except (ValueError, OSError) as error:
        fail(f"{file}: {error}", 2)
    desk = staffed(site)
    actor = acting(desk, person)
    with refusals(), desk.transaction() as tx:
        taken = papers.take(tx, actor, given, zone=zone, at=now_ms())
    typer.echo(f"{taken.added} kept, {taken.waiting} wait for somebody to look, {taken.known} were known")


@review_app.command("list")
def review_list(site: AtSite = None, as_json: AsJson = False) -> None:
    """The papers that wait, and what is doubtful about each."""
    from gateway import show
    from ticketing import papers

    with desk_of(site).read() as read:
        found = papers.listed(read)
    if as_json:
        typer.echo(json.dumps([asdict(each) for each in found], ensure_ascii=False, indent=2))
        return
    rows = [
        (each.id, show.when(each.at), ", ".join(f"{k}={v!r}" for k, v in each.fields.items()),
         "; ".join(f"{k}: {v}" for k, v in each.doubts.items()))
        for each in found
    ]  # fmt: skip
    show.table(("paper", "since", "fields", "doubtful"), rows, "no paper waits")


@review_app.command("accept")
def review_accept(
    paper: str,
    corrected: Annotated[list[str] | None, typer.Argument(metavar="[FIELD=VALUE]…")] = None,
    *,
    zone: Zone = "Asia/Shanghai",
    person: AsPerson = None,
    site: AtSite = None,
) -> None:
    """It is right, with these corrections: it becomes history."""
    from ticketing import papers

    desk = staffed(site)
    actor = acting(desk, person)
    fields = dict(pair.partition("=")[::2] for pair in corrected or [])
    with refusals(), desk.transaction() as tx:
        papers.accept(tx, actor, paper, fields, zone=zone, at=now_ms())
    typer.echo(f"{paper} is kept")


@review_app.command("dismiss")
def review_dismiss(paper: str, person: AsPerson = None, site: AtSite = None) -> None:
    """It is no order of ours."""
    from ticketing import papers

    desk = staffed(site)
    actor = acting(desk, person)
    with refusals(), desk.transaction() as tx:
        papers.dismiss(tx, actor, paper, at=now_ms())
    typer.echo(f"{paper} is dismissed")


@app.command("export")
def export(
    file: Annotated[
        Path, typer.Argument(help="where to write: .csv, .xlsx, or .json with the whole history")
    ],
    state: Annotated[str, typer.Option(help="all, open, or one state such as closed; not for JSON")] = "all",
    site: AtSite = None,
) -> None:
    """Our work orders for other programs; no cell is taken for a formula."""
    from ticketing import exchange

    if file.suffix.lower() not in {".csv", ".xlsx", ".json"}:
        fail(f"{file}: its ending must be .csv, .xlsx or .json", 2)
    desk = desk_of(site)
    with desk.read() as read:
        if file.suffix.lower() == ".json":
            file.write_text(read.export())
        else:
            orders = exchange.exported(read, state=None if state == "all" else state)
            _write(file, list(exchange.order_rows(orders, desk.policy.fields)))
    typer.echo(f"{file} is written")


def _write(file: Path, rows: list[list[object]]) -> None:
    from ticketing import sheets

    kind = file.suffix.lower()
    if kind not in (".csv", ".xlsx"):
        fail(f"{file}: its ending must be .csv or .xlsx", 2)
    try:
        file.write_bytes(sheets.csv_bytes(rows) if kind == ".csv" else sheets.xlsx_bytes(rows, "work orders"))
    except (sheets.SheetError, OSError) as error:
        fail(str(error), 2)
