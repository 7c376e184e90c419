"""`models …`: the soft sensors: train, compare, promote, retire; how long a machine has left."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import AsJson, AtSite, fail, open_desk, site_of

if TYPE_CHECKING:
    from gateway.config import Site
    from models.register import Version
    from models.training import History

app = typer.Typer(
    help="Soft sensors: train from history, report, compare in the shadow, promote, retire; remaining life.",
    no_args_is_help=True,
)
Id = Annotated[str, typer.Argument(metavar="ID", help="a version, such as pump-watch/pump-1/3")]
By = Annotated[str | None, typer.Option("--by", help="who does it; else the user of this machine")]
_DAY = 86_400_000_000_000


@app.command()
def train(
    *,
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="a model of models.toml")] = None,
    asset: Annotated[
        str | None, typer.Option(help="only this machine; else all that the model watches")
    ] = None,
    since: Annotated[str, typer.Option("--from", help='ISO time, or so long ago: "30d", "12h"')] = "30d",
    until: Annotated[str | None, typer.Option("--to", help="ISO time, or so long ago; else now")] = None,
    csv: Annotated[
        Path | None, typer.Option(help="learn from this file instead: column time, a column a quantity")
    ] = None,
    due: Annotated[
        bool, typer.Option("--due", help="only what is due, by the model's retrain or by drift; for a timer")
    ] = False,
    by: By = None,
    site: AtSite = None,
) -> None:
    """Learn from history. The outcome scores in the shadow until somebody promotes it.

    The first 70 % of normal running are learned, the rest is held out and says how quiet the model is; rows
    during alarms and accepted orders are left out.
    """
    from gateway import training

    if (model is None) != due:
        fail("name a model, or say --due for all that are due", 2)
    if csv is not None and (due or asset is None):
        fail("a file holds one machine: say which with --asset, and not --due", 2)
    place = site_of(site)
    with _refusals():
        wanted = (
            training.due(place, time.time_ns())
            if model is None
            else [(model, name, "asked for") for name in training.assets_of(place, model, asset)]
        )
        if not wanted:
            typer.echo("nothing is due")
        failed = [
            not _train_one(place, each, (since, until), csv, by or getpass.getuser()) for each in wanted
        ]
        if not all(failed) and not training.tell_daemon(place):
            typer.echo("no gateway runs here: it will take this up when it starts", err=True)
    if any(failed):
        raise typer.Exit(1)


@app.command("list")
def list_versions(
    site: AtSite = None,
    retired: Annotated[bool, typer.Option("--all", help="the retired ones too")] = False,
    as_json: AsJson = False,
) -> None:
    """The versions, and what the running gateway says of each machine's model."""
    from gateway import show_models, training
    from models.register import Standing

    place = site_of(site)
    with _refusals():
        found = [v for v in _register(place).versions() if retired or v.standing is not Standing.RETIRED]
    status = training.daemon_status(place)
    if as_json:
        told = {"versions": [training.card_json(v) for v in found], "gateway": status}
        typer.echo(json.dumps(told, ensure_ascii=False, indent=2))
    else:
        show_models.versions_table(found, status)


@app.command()
def show(name: Id, site: AtSite = None, as_json: AsJson = False) -> None:
    """One version: what it was trained on, by whom, its held-out figures, and how it came to stand where it does."""
    from gateway import show_models, training

    place = site_of(site)
    with _refusals():
        version = _register(place).version(name)
    if as_json:
        typer.echo(json.dumps(training.card_json(version), ensure_ascii=False, indent=2))
    else:
        show_models.version_page(version, _register(place).path(version, ".html"))


@app.command()
def report(
    name: Id,
    out: Annotated[Path | None, typer.Option(help="copy the page there; else print where it lies")] = None,
    site: AtSite = None,
) -> None:
    """The page that was written when the version was trained: one HTML file, Chinese and English."""
    place = site_of(site)
    with _refusals():
        path = _register(place).path(_register(place).version(name), ".html")
    if not path.is_file():
        fail(f"the report of {name} is gone: {path}", 1)
    if out is None:
        typer.echo(str(path))
        return
    try:
        out.write_bytes(path.read_bytes())
    except OSError as error:
        fail(f"{out} cannot be written: {error.strerror}", 1)


@app.command()
def promote(
    name: Id,
    why: Annotated[str, typer.Option(help="kept with the version")] = "",
    by: By = None,
    site: AtSite = None,
) -> None:
    """Let rules believe this version from now on; the live one retires."""
    place = site_of(site)
    with _refusals():
        version = _register(place).promote(name, time.time_ns(), by or getpass.getuser(), why)
    _say(place, version)


@app.command()
def retire(
    name: Id,
    why: Annotated[str, typer.Option(help="kept with the version")] = "",
    by: By = None,
    site: AtSite = None,
) -> None:
    """Take a version out of use. Without a live one the gateway learns by itself again, from the beginning."""
    place = site_of(site)
    with _refusals():
        version = _register(place).retire(name, time.time_ns(), by or getpass.getuser(), why)
    _say(place, version)


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
    with _refusals():
        wanted = [(signal, limit)] if signal and limit is not None else outlook.configured(place)
        if not wanted:
            fail('no model of kind "life" in models.toml: name a signal and its --limit', 2)
        now = time.time_ns()
        told = [outlook.outlook(place, name, at, _moment(since, now), now) for name, at in wanted]
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

    with _refusals():
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
    with _refusals():
        for done, name in enumerate(score_folder(data, out), 1):
            typer.echo(f"{done:4} {name}", err=True)


def _train_one(
    place: Site, wanted: tuple[str, str, str], span: tuple[str, str | None], csv: Path | None, by: str
) -> bool:
    """Train one model on one machine and say what came of it; False if it could not be learned."""
    from gateway import show_models, training
    from models import ModelError

    (model, asset, why), now = wanted, time.time_ns()
    try:
        with _bar(f"{model}/{asset}") as progress:
            history = _history(
                place, model, asset, span=span, csv=csv, now=now, progress=lambda done: progress(done / 3)
            )
            version, _ = training.make_version(
                place,
                model,
                asset,
                history,
                by=by,
                at=now,
                why=why,
                source=csv.name if csv else training.store_name(place),
                progress=lambda done: progress((1 + 2 * done) / 3),
            )
    except ModelError as error:
        typer.echo(f"{model}/{asset}: {error}", err=True)
        return False
    show_models.trained(version, _register(place).path(version, ".html"))
    return True


def _history(
    place: Site,
    model: str,
    asset: str,
    *,
    span: tuple[str, str | None],
    csv: Path | None,
    now: int,
    progress: Callable[[float], object],
) -> History:
    from gateway import training
    from gateway.building import build_reader

    if csv is not None:
        return training.history_in(csv, place, model, asset)
    start, end = _moment(span[0], now), _moment(span[1], now) if span[1] else now
    if start >= end:
        fail("--from must lie before --to", 2)
    reader, desk = build_reader(place), open_desk(place)
    try:
        return training.history_of(
            place, reader, desk, model=model, asset=asset, start=start, end=end, progress=progress
        )
    finally:
        reader.close()
        desk.close()


def _moment(text: str, now: int) -> int:
    """An ISO time, or so long before ``now``, as UTC ns."""
    from gateway.workbench.recorded import PastError, moment

    try:
        return moment(text, now)
    except PastError as error:
        fail(str(error), 2)


def _register(place: Site) -> Any:
    from gateway.building import build_register

    return build_register(place)


def _say(place: Site, version: Version) -> None:
    from gateway.training import tell_daemon

    taken = tell_daemon(place)
    typer.echo(f"{version.id} is {version.standing}" + ("" if taken else "; no gateway runs here"))


@contextmanager
def _refusals() -> Iterator[None]:
    """What a model or the store refuses is one line, and exit 1."""
    from gateway.store import StoreError
    from models import ModelError

    try:
        yield
    except (ModelError, StoreError, OSError) as error:
        fail(str(error), 1)


@contextmanager
def _bar(name: str) -> Iterator[Callable[[float], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=1.0)
        yield lambda done: bar.update(task, completed=done)
