"""`ledger`: what became of every reading that was due."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from gateway.commands.options import AsJson, SiteFolder, fail, read_site

app = typer.Typer()


@app.command()
def ledger(
    folder: SiteFolder,
    device: Annotated[str | None, typer.Option(help="only this device, hour by hour")] = None,
    hours: Annotated[int, typer.Option(min=1, max=9600, help="so many hours back")] = 24,
    as_json: AsJson = False,
) -> None:
    """What became of every reading: expected = good + bad + skipped, for each device, with the reasons.

    The gateway need not be running; if it is, the present hour is up to date.
    """
    from contextlib import suppress

    from gateway.control import ask
    from gateway.ledger_file import HOUR, LedgerFile, statement, statements

    site = read_site(folder)
    if device is not None and device not in site.devices:
        fail(f"there is no device {device}; {', '.join(site.devices)} are there", 2)
    with suppress(OSError, ValueError):  # no daemon: what it saved last
        ask(site.state / "control.sock", {"op": "ledger"})
    path, since = site.state / "ledger.db", time.time_ns() - hours * HOUR
    if as_json:
        typer.echo(json.dumps({"hours": statements(path, since, device)}, indent=2))
    elif device is not None:
        found = statements(path, since, device)
        _print([(_clock(hour["start"]), hour["devices"][device]) for hour in found], "hour")
    else:
        sums = statement(sum(LedgerFile(path).hours(since).values(), Counter()))
        _print(list(sums["devices"].items()), "device")
        for line, events in sums["lines"].items():
            typer.echo(f"line {line}: {_reasons(events)}")
        typer.echo(f"gateway: {_watched(sums['gateway'])}")


def _print(rows: list[tuple[str, Mapping[str, Any]]], first: str) -> None:
    from rich.table import Table

    from gateway.show import console

    if not rows:
        typer.echo("nothing is counted yet")
        return
    table = Table(box=None, pad_edge=False)
    table.add_column(first, no_wrap=True)
    for name in ("expected", "good", "bad", "skipped", "samples", "flawed"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("reasons")
    for name, row in rows:
        parts = [f"{kind} {_reasons(row[kind])}" for kind in ("bad", "skipped", "flawed") if row[kind]]
        sums = [sum(row[kind].values()) for kind in ("bad", "skipped", "flawed")]
        cells = (row["expected"], row["good"], sums[0], sums[1], row["samples"], sums[2])
        table.add_row(name, *(f"{cell:,}" for cell in cells), "; ".join(parts))
    console().print(table)


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{reason} {n:,}" for reason, n in sorted(counts.items(), key=lambda item: -item[1]) if n
    )


def _watched(gateway: Mapping[str, int]) -> str:
    rest = {what: n for what, n in gateway.items() if what != "seconds"}
    seconds = gateway.get("seconds", 0)
    watched = f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
    return f"watched for {watched}; samples {_reasons(rest)}"


def _clock(ns: int) -> str:
    from gateway.show import when

    return when(ns // 1_000_000)[:16]
