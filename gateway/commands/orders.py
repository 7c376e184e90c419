"""`orders list`, `orders show`, `explain`: the work orders and why they were opened."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import AsJson, AtSite, desk_of, fail

if TYPE_CHECKING:
    from ticketing import Desk

app = typer.Typer()
orders_app = typer.Typer(help="Work orders: list and show.", no_args_is_help=True)
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
