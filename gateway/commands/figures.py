"""`kpis`: how the work goes, in figures whose formulas are written down."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.options import AsJson, AtSite, desk_of, fail, moment, now_ms

if TYPE_CHECKING:
    from ticketing import Kpi

app = typer.Typer()
DAY = 86_400_000  # ms


@app.command()
def kpis(
    *,
    since: Annotated[
        str, typer.Option("--from", help="a local date or time; 30 days before the end unless given")
    ] = "",
    until: Annotated[str, typer.Option("--to", help="a local date or time; now unless given")] = "",
    asset_class: Annotated[str | None, typer.Option("--class", help="of this class of assets only")] = None,
    imported: Annotated[
        bool, typer.Option("--imported", help="of imported history, which stands apart")
    ] = False,
    site: AtSite = None,
    as_json: AsJson = False,
) -> None:
    """Response, repair, quality, backlog: with their goals, and against the period of the same length before."""
    from gateway import show

    end = moment(until) if until else now_ms()
    start = moment(since) if since else end - 30 * DAY
    if start >= end:
        fail("--from must lie before --to", 2)
    with desk_of(site).read() as read:
        board = read.kpis(start, end, asset_class=asset_class, imported=imported)
    if as_json:
        figures = [asdict(each) for each in board]
        typer.echo(json.dumps({"start": start, "end": end, "figures": figures}, indent=2))
        return
    typer.echo(f"{show.when(start)} to {show.when(end)}, times in hours, shares in per cent")
    show.table(
        ("figure", "value", "goal", "before", "change", "of", "beside it"),
        [
            (
                each.name.replace("_", " "),
                _number(each.figure.value),
                _goal(each),
                _number(each.before),
                "" if each.change is None else f"{each.change:+.0f} %",
                each.figure.n,
                ", ".join(
                    f"{k.replace('_', ' ')} {_number(v)}"
                    for k, v in each.figure.more.items()
                    if v is not None
                ),
            )
            for each in board
        ],
    )


def _goal(kpi: Kpi) -> str:
    """``≤ 24 green``: what is asked, and how it stands."""
    if kpi.goal is None:
        return ""
    sign = "≤" if kpi.goal.less_is_better else "≥"
    return f"{sign} {kpi.goal.green:g} {kpi.light or ''}".rstrip()


def _number(value: float | None) -> str:
    return "—" if value is None else f"{value:.4g}"
