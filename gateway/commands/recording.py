"""`record` and `replay`: keep a stretch of live traffic, and judge it again."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import AsJson, SiteFolder, duration_ms, fail, read_site, rule_steps

if TYPE_CHECKING:
    from gateway.replaying import Moment
    from gateway.workbench.trial import Progress

app = typer.Typer()


@app.command()
def record(
    folder: SiteFolder,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="what to write, such as monday.jsonl.gz")],
    lasting: Annotated[
        str, typer.Option("--for", metavar="DURATION", help="how long; Ctrl-C ends it too")
    ] = "10m",
) -> None:
    """Keep what the running gateway takes in, sample by sample, for `replay`."""
    from gateway import recording
    from gateway.control import stream
    from gateway.workbench import terminal

    site, seconds = read_site(folder), duration_ms(lasting) / 1000

    def told(progress: Progress) -> Iterator[Mapping[str, Any]]:
        began = time.monotonic()
        try:
            for line in stream(site.state / "control.sock", {"op": "record"}):
                if "error" in line:
                    raise ValueError(line["error"])
                yield line
                past = time.monotonic() - began
                progress(f"recording {lasting}; Ctrl-C ends it", min(1.0, past / seconds))
                if past >= seconds:
                    return
        except KeyboardInterrupt:
            return

    try:
        with terminal.progress() as progress:
            samples = recording.write(file, site.site.id, told(progress))
    except recording.RecordingError as error:
        fail(str(error), 1)
    except (OSError, ValueError) as error:
        fail(f"no recording: {error}; is the gateway running on {folder}?", 1)
    typer.echo(f"{samples:,} samples in {file} ({file.stat().st_size:,} bytes)")


@app.command()
def replay(
    folder: SiteFolder,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="what `record` wrote", exists=True, dir_okay=False)
    ],
    speed: Annotated[
        float, typer.Option(min=0, help="so many times as fast as it was; 0: as fast as it goes")
    ] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Judge a recording again by the site's rules as they are now: every alarm and order, as it would have come.

    Nothing of the site is touched; the orders are gone afterwards.
    """
    from gateway import recording
    from gateway.replaying import replay as play

    site = read_site(folder)
    steps = rule_steps(site)
    samples = alarms = orders = 0
    try:
        entries = recording.read(file, site.site.id)
        for moment in play(site, entries, steps, speed=speed):
            for line in _told(moment, as_json=as_json):
                typer.echo(line)
            alarms += sum(happened.kind == "raised" for happened in moment.transitions)
            orders += sum(decision.kind == "opened" for decision in moment.decisions)
            samples += moment.samples
    except recording.RecordingError as error:
        fail(str(error), 1)
    typer.echo(f"{samples:,} samples, {alarms} alarms, {orders} work orders", err=True)


def _told(moment: Moment, *, as_json: bool) -> Iterator[str]:
    from gateway import show

    for happened in moment.transitions:
        at = happened.time // 1_000_000
        row = {"at": at, "what": happened.kind, "rule": happened.rule, "asset": happened.asset}
        row |= {"severity": happened.severity, "mode": happened.mode, "episode": happened.episode}
        shadow = " (shadow)" if happened.mode != "live" else ""
        plain = f"{show.when(at)}  {happened.kind} {happened.rule} on {happened.asset}, severity {happened.severity}"
        yield json.dumps(row) if as_json else plain + shadow
    for decision in moment.decisions:
        if decision.kind in {"shadow", "waiting"}:
            continue
        at = moment.time // 1_000_000
        row = {"at": at, "what": decision.kind, "number": decision.number, "why": decision.why}
        yield (
            json.dumps(row)
            if as_json
            else f"{show.when(at)}    {decision.kind} {decision.number or ''}: {decision.why}"
        )
