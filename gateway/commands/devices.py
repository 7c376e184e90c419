"""`plan`: what each line will be asked, told before anything runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import AsJson, SiteFolder, fail, read_site

if TYPE_CHECKING:
    from devices.forecast import LineForecast, PollForecast

app = typer.Typer()
_REMEDY = "a longer period, a higher baud rate, fewer points or a line of its own would do"


@app.command()
def plan(
    folder: SiteFolder,
    requests: Annotated[bool, typer.Option("--requests", help="name each request")] = False,
    as_json: AsJson = False,
) -> None:
    """What each line will be asked: requests, registers, load, and every period that cannot be met. Opens nothing.

    Latencies are those measured while the gateway ran, else 20 ms on a serial line and 1 ms on the network.
    Exit codes: 0 every period is met, 1 one cannot be met, 2 the site folder is wrong.
    """
    from devices.forecast import forecast
    from devices.kinds import open_sources
    from devices.memory import Memory

    site = read_site(folder, any_load=True)
    memory = Memory(site.state / "devices.json")
    lines = forecast(open_sources(site.lines, site.devices, memory=memory))
    missed = [(line, poll) for line in lines for poll in line.polls if not poll.is_met]
    if as_json:
        typer.echo(json.dumps({"lines": [_json(line) for line in lines], "met": not missed}, indent=2))
    else:
        for line in lines:
            _show(line, requests)
        if not all(poll.measured for line in lines for poll in line.polls):
            typer.echo("? by an assumed latency, until the gateway has measured it")
        for line, poll in missed:
            typer.echo(_told(line, poll))
    if missed:
        number = f"{len(missed)} period{'s' * (len(missed) != 1)}"
        fail(f"{number} cannot be met: {_REMEDY}", 1)


def _json(line: LineForecast) -> dict[str, Any]:
    polls = [
        {
            "device": poll.device,
            "period": poll.period,
            "points": poll.points,
            "registers": poll.registers,
            "seconds": round(poll.seconds, 6),
            "load": round(poll.load, 6),
            "latency_measured": poll.measured,
            "lost": round(poll.lost, 4),
            "late": round(poll.late, 6),
            "met": poll.is_met,
            "requests": [request._asdict() for request in poll.requests],
        }
        for poll in line.polls
    ]
    return {"line": line.name, "kind": line.kind, "load": round(line.load, 6), "polls": polls}


def _show(line: LineForecast, requests: bool) -> None:
    from rich.table import Table

    from gateway.show import console

    out = console()
    if not line.polls:
        out.print(f"[bold]{line.name}[/bold]  {line.kind}  its devices speak by themselves\n")
        return
    out.print(f"[bold]{line.name}[/bold]  {line.kind}  {line.load:.1%} of its time")
    table = Table(box=None, pad_edge=False)
    for name in ("  device", "period", "points", "requests", "registers", "takes", "load", "late by", ""):
        table.add_column(name, justify="left" if name in {"  device", ""} else "right", no_wrap=True)
    for poll in line.polls:
        table.add_row(
            f"  {poll.device}",
            _seconds(poll.period),
            str(poll.points),
            str(len(poll.requests)),
            str(poll.registers or "-"),
            _seconds(poll.seconds) + ("" if poll.measured else " ?"),
            f"{poll.load:.1%}",
            _seconds(poll.late),
            "ok" if poll.is_met else f"[red]{poll.lost:.0%} lost[/red]",
        )
        if requests:
            for request in poll.requests:
                table.add_row(
                    f"    {request.what}",
                    "",
                    "",
                    "",
                    str(request.registers or "-"),
                    _seconds(request.seconds),
                )
    out.print(table)
    out.print()


def _told(line: LineForecast, poll: PollForecast) -> str:
    often = f"every {_seconds(poll.period / (1 - poll.lost))}" if poll.lost < 1 else "not at all"
    return (
        f"{poll.device} will miss its period of {_seconds(poll.period)}: line {line.name} can read it {often} "
        f"({poll.lost:.0%} of the readings are lost; one takes {_seconds(poll.seconds)})"
    )


def _seconds(seconds: float) -> str:
    """``38 ms``, ``1.2 s``, ``5 min``."""
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us" if seconds else "0"
    if seconds < 1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.3g} s" if seconds < 120 else f"{seconds / 60:.3g} min"
