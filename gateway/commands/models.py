"""`models …`: the soft sensors: train, compare, promote, retire."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gateway.commands import estimates
from gateway.commands.estimates import moment_of, refusals
from gateway.commands.options import AsJson, AtSite, fail, open_desk, site_of

if TYPE_CHECKING:
    from gateway.site import Site
    from models.register import Version
    from models.training import History

app = typer.Typer(
    help="Soft sensors: train from history, report, compare in the shadow, promote, retire; remaining life.",
    no_args_is_help=True,
)
app.add_typer(estimates.app)
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
    with refusals():
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
    with refusals():
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
    with refusals():
        version = _register(place).version(name)
    if as_json:
        typer.echo(json.dumps(training.card_json(version), ensure_ascii=False, indent=2))
    else:
        show_models.version_page(version, _register(place).path(version, ".html"))


@app.command()
def report(
    name: Id,
    out: Annotated[
        Path | None,
        typer.Option(help="copy the page there, as a picture if it ends in .png; else print where it lies"),
    ] = None,
    language: Annotated[
        Literal["zh", "en"] | None, typer.Option(help="of a picture; else the site's")
    ] = None,
    site: AtSite = None,
) -> None:
    """The page that was written when the version was trained: one HTML file, Chinese and English; or a PNG of it."""
    place = site_of(site)
    with refusals():
        path = _register(place).path(_register(place).version(name), ".html")
    if not path.is_file():
        fail(f"the report of {name} is gone: {path}", 1)
    if out is None:
        typer.echo(str(path))
        return
    page = path.read_bytes()
    if out.suffix.lower() == ".png":
        from gateway.report_picture import png

        with refusals():
            page = png(page.decode(), language or place.site.language)
    try:
        out.write_bytes(page)
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
    with refusals():
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
    with refusals():
        version = _register(place).retire(name, time.time_ns(), by or getpass.getuser(), why)
    _say(place, version)


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
    start, end = moment_of(span[0], now), moment_of(span[1], now) if span[1] else now
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


def _register(place: Site) -> Any:
    from gateway.building import build_register

    return build_register(place)


def _say(place: Site, version: Version) -> None:
    from gateway.training import tell_daemon

    taken = tell_daemon(place)
    typer.echo(f"{version.id} is {version.standing}" + ("" if taken else "; no gateway runs here"))


@contextmanager
def _bar(name: str) -> Iterator[Callable[[float], None]]:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name, total=1.0)
        yield lambda done: bar.update(task, completed=done)
