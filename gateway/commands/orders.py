"""`orders …`, `explain`: the work orders, their moves and files, and why they were opened."""

from __future__ import annotations

import json
import mimetypes
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

if TYPE_CHECKING:
    from ticketing import Desk, Order, View
    from ticketing.printing import Paper

app = typer.Typer()
orders_app = typer.Typer(
    help="Work orders: list, show, create, move, attach, keep as a document.", no_args_is_help=True
)
app.add_typer(orders_app, name="orders")


@orders_app.command("list")
def orders_list(
    site: AtSite = None,
    state: Annotated[
        str, typer.Option(help="open, or one state such as new, assigned, resolved, closed")
    ] = "open",
    asset: Annotated[str | None, typer.Option(help="only this asset")] = None,
    limit: Annotated[int, typer.Option(help="at most so many")] = 50,
    as_json: AsJson = False,
) -> None:
    """The work orders, the most urgent first."""
    from gateway import show

    desk = desk_of(site)
    with desk.read() as reading:
        found = reading.orders(state=None if state == "all" else state, asset=asset, limit=limit)
    if as_json:
        typer.echo(json.dumps([show.order_json(order) for order in found], ensure_ascii=False, indent=2))
    else:
        show.orders_table(found)


@orders_app.command("show")
def orders_show(number: str, site: AtSite = None, as_json: AsJson = False) -> None:
    """One work order: its sentence, its evidence and everything that happened."""
    from gateway import show

    body = _order(desk_of(site), number)
    if as_json:
        typer.echo(json.dumps(show.order_body(*body), ensure_ascii=False, indent=2))
    else:
        show.order_page(*body)


@orders_app.command("create")
def orders_create(
    asset: Annotated[str, typer.Argument(help="the asset's code, such as pump-1")],
    title: Annotated[str, typer.Argument(help="what is wrong, in a few words")],
    *,
    description: Annotated[str, typer.Option(help="more about it")] = "",
    failure_mode: Annotated[str | None, typer.Option(help="ISO 14224 code such as VIB")] = None,
    priority: Annotated[int | None, typer.Option(help="1 to 4; else from the asset's criticality")] = None,
    fields: Annotated[str, typer.Option(help="the site's own fields as JSON")] = "{}",
    person: AsPerson = None,
    site: AtSite = None,
    as_json: AsJson = False,
) -> None:
    """Report a fault by hand. A fault that is being worked on already is named, not opened twice."""
    desk = staffed(site)
    actor = acting(desk, person)
    try:
        own = json.loads(fields)
    except ValueError:
        fail(f"--fields must be JSON such as '{{\"meter\": 12}}'; got {fields!r}", 2)
    with refusals(), desk.transaction() as tx:
        order = tx.open_order(
            actor,
            at=now_ms(),
            asset=asset,
            title=title,
            description=description,
            failure_mode=failure_mode,
            priority=priority,
            fields=own,
        )
    _said(order, as_json)


@orders_app.command("move")
def orders_move(
    number: str,
    move: Annotated[str, typer.Argument(help="such as assign, start, resolve, sign_off; `moves` lists them")],
    given: Annotated[list[str] | None, typer.Argument(metavar="[FIELD=VALUE]…")] = None,
    *,
    version: Annotated[int | None, typer.Option(help="the version you saw; else the present one")] = None,
    person: AsPerson = None,
    site: AtSite = None,
    as_json: AsJson = False,
) -> None:
    """Make a move: `orders move WO-2026-000001 assign assignee=li --as wang`."""
    from gateway.web.forms import read_fields

    pairs = dict(pair.partition("=")[::2] for pair in given or [])
    desk = staffed(site)
    actor = acting(desk, person)
    with refusals(), desk.transaction() as tx:
        fields = read_fields(move, pairs)
        if unread := sorted(pairs.keys() - fields.keys()):
            fail(f"{move} takes no {', '.join(unread)}; see `watchkeeper orders moves`", 1)
        seen = tx.order(number).version if version is None else version
        order = tx.move(number, move, actor, seen, now_ms(), **fields)
    _said(order, as_json)


@orders_app.command("moves")
def orders_moves(
    number: Annotated[str | None, typer.Argument(help="only what can be done with this order now")] = None,
    person: AsPerson = None,
    site: AtSite = None,
) -> None:
    """The move table: from where, who may, which fields it needs and takes."""
    from gateway import show
    from ticketing import MOVES

    legal = set(MOVES)
    if number is not None:
        desk = desk_of(site)
        with refusals(), desk.read() as read:
            legal = set(read.legal_moves(number, acting(desk, person)))
    show.table(
        ("move", "from", "to", "who", "needs", "may take"),
        [
            (name, ", ".join(m.from_), m.to or "same", ", ".join(m.who), ", ".join(m.needs), ", ".join(m.may))
            for name, m in MOVES.items()
            if name in legal
        ],
    )


@orders_app.command("policy")
def orders_policy(site: AtSite = None) -> None:
    """What holds for new orders, as JSON: due times, approvals, escalation, routing, fields. Set in orders.toml."""
    from ticketing.policy import versioned

    typer.echo(json.dumps(json.loads(versioned(desk_of(site).policy).body), ensure_ascii=False, indent=2))


@orders_app.command("attach")
def orders_attach(
    number: str,
    file: Annotated[Path, typer.Argument(help="a photo (jpeg, png, webp) or PDF of at most 10 MiB")],
    person: AsPerson = None,
    site: AtSite = None,
) -> None:
    """Add a file to an order; prints its SHA-256."""
    if not file.is_file():
        fail(f"{file}: there is no such file", 2)
    desk = staffed(site)
    actor = acting(desk, person)
    mime = mimetypes.guess_type(file.name)[0] or ""
    with refusals(), desk.transaction() as tx:
        kept = tx.attach(actor, number, at=now_ms(), name=file.name, mime=mime, data=file.read_bytes())
    typer.echo(kept.sha256)


@orders_app.command("costs")
def orders_costs(number: str, site: AtSite = None, as_json: AsJson = False) -> None:
    """The cost statement of an order: what was spent, line by line and by kind, in yuan (in fen with --json)."""
    from dataclasses import asdict

    from gateway import show
    from ticketing import costs

    with refusals(), desk_of(site).read() as read:
        found = costs.statement(read, number)
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False, indent=2))
        return
    rows = [
        (
            show.when(each.at),
            each.by,
            each.cost_kind,
            _yuan(each.cost_fen),
            each.minutes or "",
            each.part_no or "",
        )
        for each in found.lines
    ]
    sums = (("labour", found.labour_fen), ("parts", found.part_fen), ("external", found.external_fen))
    rows += [("", "", f"all {kind}", _yuan(fen), "", "") for kind, fen in sums if fen]
    rows.append(("", "", "total", _yuan(found.total_fen), found.minutes or "", ""))
    show.table(("booked", "by", "what", "yuan", "minutes", "part"), rows)
    typer.echo(f"estimated were {_yuan(found.estimated_fen)}")


def _yuan(fen: int) -> str:
    return f"{fen / 100:.2f}"


@orders_app.command("document")
def orders_document(
    number: str,
    html: Annotated[bool, typer.Option("--html", help="one page to print, instead of JSON")] = False,
    pdf: Annotated[Path | None, typer.Option(help="write a PDF here, with the JSON inside")] = None,
    check: Annotated[
        Path | None, typer.Option(help="say whether this JSON or PDF is what was signed")
    ] = None,
    site: AtSite = None,
) -> None:
    """The order as it was signed, on standard output; the JSON's SHA-256 stands in its history."""
    from gateway import i18n
    from ticketing.printing import Typesetter, lay_out, page

    desk = desk_of(site)
    with refusals(), desk.read() as read:
        paper = lay_out(read, number, i18n.both)
        if check is not None:
            _check_document(read, paper, check)
        elif pdf is not None:
            try:
                pdf.write_bytes(Typesetter().pdf(paper))
            except OSError as error:
                fail(f"{pdf}: {error.strerror}", 74)
            typer.echo(f"{pdf}: {number}, SHA-256 of the document {paper.sha256}")
        else:
            typer.echo(page(paper) if html else paper.document, nl=html)


def _check_document(read: View, paper: Paper, file: Path) -> None:
    """Say whether the file is what was signed; exit 1 where it is not."""
    import hashlib

    from ticketing.printing import Typesetter, original_in

    if not file.is_file():
        fail(f"{file}: there is no such file", 2)
    data, seal = file.read_bytes(), read.seal(paper.number)
    original = original_in(data) if data.startswith(b"%PDF-") else data
    if original is None or hashlib.sha256(original).hexdigest() != seal["document"]:
        fail(f"{file} is not what {seal['by']} signed", 1)
    if original is not data and Typesetter().pdf(paper) != data:
        fail(
            f"{file} carries the JSON that {seal['by']} signed, but its pages are not those printed here: "
            "changed, or set with other fonts or versions",
            1,
        )
    typer.echo(f"{file} is what {seal['by']} signed ({seal['document']})")


@app.command()
def explain(number: str, site: AtSite = None, as_json: AsJson = False) -> None:
    """Why the gateway opened this work order: what was measured, which limit, and what would not have fired."""
    from gateway import show

    _, evidence, _ = _order(desk_of(site), number)
    if not evidence:
        fail(f"{number} was opened by a person: there is no evidence to explain", 1)
    if as_json:
        typer.echo(json.dumps([item.body for item in evidence], ensure_ascii=False, indent=2))
    else:
        show.explanation(evidence)


def _order(desk: Desk, number: str) -> tuple[Any, Any, Any]:
    from ticketing import NotFoundError

    try:
        with desk.read() as reading:
            return reading.order(number), reading.evidence(number), reading.timeline(number)
    except NotFoundError as error:
        fail(str(error), 1)


def _said(order: Order, as_json: bool) -> None:
    from gateway import show

    if as_json:
        typer.echo(json.dumps(show.order_json(order), ensure_ascii=False, indent=2))
    else:
        show.orders_table([order])
