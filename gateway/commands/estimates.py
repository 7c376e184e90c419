"""`models rul | vibration | score-folder`: what the models' arithmetic says of a signal, a block, a folder."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.options import AsJson, AtSite, fail, site_of

app = typer.Typer()


@app.command()
def rul(
    signal: Annotated[str | None, typer.Argument(metavar="[SIGNAL]", help="such as pump-1/vib_rms")] = None,
    limit: Annotated[float | None, typer.Option(help="where its life ends, in its own unit")] = None,
    since: Annotated[
        str, typer.Option("--from", help="ISO time, or so long ago: the trend begins there")
    ] = "7d",
    site: AtSite = None,
    as_json: AsJson = False,
) -> None:
    """How long a signal has until its limit, with a 90 % interval; no trend, no number.

    Without SIGNAL: every model of kind life, with the limit of models.toml.
    """
    from gateway import outlook, show_models

    place = site_of(site)
    if (signal is None) != (limit is None):
        fail("name a signal and its --limit, or neither", 2)
    with refusals():
        wanted = [(signal, limit)] if signal and limit is not None else outlook.configured(place)
        if not wanted:
            fail('no model of kind "life" in models.toml: name a signal and its --limit', 2)
        now = time.time_ns()
        told = [outlook.outlook(place, name, at, moment_of(since, now), now) for name, at in wanted]
    if as_json:
        typer.echo(json.dumps([each.to_json() for each in told], indent=2))
    else:
        show_models.outlooks(told)


@app.command()
def vibration(
    *,
    block: Annotated[Path, typer.Argument(metavar="FILE", help="a block of samples: .wav, .npy, or text")],
    rate: Annotated[float | None, typer.Option(help="samples a second; a .wav says it itself")] = None,
    asset: Annotated[str | None, typer.Option(help="whose bearings (assets.toml) to listen for")] = None,
    speed: Annotated[float | None, typer.Option(help="of the shaft, r/min")] = None,
    site: AtSite = None,
    as_json: AsJson = False,
) -> None:
    """What a block of vibration says: rms, crest factor, kurtosis, and how far the bearings' lines stand out."""
    from gateway import show_models
    from gateway.blocks import analysis, read_block

    with refusals():
        samples, told_rate = read_block(block)
        if (rate := rate or told_rate) is None:
            fail(f"{block} does not say its --rate", 2)
        bearings = {}
        if asset is not None:
            place = site_of(site)
            if asset not in place.assets:
                fail(f"no asset {asset!r}; there are {', '.join(place.assets)}", 2)
            bearings = place.assets[asset].bearings
            if not bearings:
                fail(f"{asset} has no [asset.{asset}.bearings.<name>] in assets.toml", 2)
            if speed is None:
                fail("bearing frequencies follow the shaft: give its --speed", 2)
        found = analysis(samples, rate, bearings, speed)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
    else:
        show_models.features(found)


@app.command("score-folder")
def models_score_folder(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="recordings: series/*/*.csv with manifest.csv")
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="where the predictions go, one file a recording")
    ],
) -> None:
    """Score every recording of a folder with the shipped detectors and their one set of defaults."""
    from models.folder import score_folder

    if not (data / "manifest.csv").is_file():
        fail(f"{data} is no folder of recordings: it has no manifest.csv", 2)
    with refusals():
        for done, name in enumerate(score_folder(data, out), 1):
            typer.echo(f"{done:4} {name}", err=True)


def moment_of(text: str, now: int) -> int:
    """An ISO time, or so long before ``now``, as UTC ns."""
    from gateway.workbench.recorded import PastError, moment

    try:
        return moment(text, now)
    except PastError as error:
        fail(str(error), 2)


@contextmanager
def refusals() -> Iterator[None]:
    """What a model or the store refuses is one line, and exit 1."""
    from gateway.store import StoreError
    from models import ModelError

    try:
        yield
    except (ModelError, StoreError, OSError) as error:
        fail(str(error), 1)
