"""The command line. Each command parses, calls one thing, prints; heavy modules load inside their command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from gateway.supervisor import EX_CONFIG, EX_IOERR

if TYPE_CHECKING:
    from gateway.config import Site
    from ticketing import Desk

app = typer.Typer(
    name="watchkeeper",
    help="An edge gateway that keeps watch over machines: reads sensors, judges them, opens work orders.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
orders_app = typer.Typer(help="Work orders: list and show.", no_args_is_help=True)
app.add_typer(orders_app, name="orders")
models_app = typer.Typer(help="Soft sensors: score recordings.", no_args_is_help=True)
app.add_typer(models_app, name="models")

INSTALLED = Path("/etc/watchkeeper")
SiteFolder = Annotated[Path, typer.Argument(metavar="SITE", help="the site folder, such as examples/demo")]
AtSite = Annotated[
    Path | None,
    typer.Option("--site", envvar="WATCHKEEPER_SITE", help="the site folder; else here, or /etc/watchkeeper"),
]
AsJson = Annotated[bool, typer.Option("--json", help="machine-readable output")]


def fail(message: str, code: int) -> NoReturn:
    """One line on standard error, and out."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


def read_site(folder: Path, code: int = 2) -> Site:
    """The site, or every mistake in it and exit ``code``."""
    from gateway.config import ConfigError, load_site

    try:
        return load_site(folder)
    except ConfigError as error:
        for mistake in error.mistakes:
            typer.echo(str(mistake), err=True)
        fail(error.summary(folder), code)


def desk_of(folder: Path | None) -> Desk:
    """The ticket core of the named site, of the one we stand in, or of this machine's."""
    here = next((place for place in (Path(), INSTALLED) if (place / "site.toml").is_file()), None)
    found = folder or here
    if found is None:
        fail("which site? say --site FOLDER or set WATCHKEEPER_SITE", 2)
    return open_desk(read_site(found))


def open_desk(site: Site) -> Desk:
    """The site's ticket core, or one line and exit 74."""
    from ticketing import Desk, TicketingError

    try:
        return Desk.open(site.core, site=site.site.id)
    except TicketingError as error:
        fail(str(error), EX_IOERR)


@app.command()
def run(folder: SiteFolder) -> None:
    """Run the gateway: acquire, keep, judge, open orders, forward. Ends on SIGTERM.

    Exit codes: 74 the disk fails, 75 another gateway has this state folder, 78 the site folder is wrong.
    """
    from gateway.cli import run as run_daemon

    run_daemon(folder)


@app.command()
def web(folder: SiteFolder) -> None:
    """Serve the pages and the API of a site; the gateway need not be running."""
    from gateway.web.serve import serve

    site = read_site(folder, EX_CONFIG)
    try:
        serve(site, open_desk(site))
    except OSError as error:
        fail(f"the pages cannot be served on {site.web.host}:{site.web.port}: {error.strerror}", EX_IOERR)


@app.command()
def check(folder: SiteFolder) -> None:
    """Check a site folder without opening anything; prints every mistake at once and exits 2."""
    site = read_site(folder)
    counts = {
        "asset": len(site.assets),
        "line": len(site.lines),
        "device": len(site.devices),
        "signal": sum(len(device.signals()) for device in site.devices.values()),
        "rule": len(site.rules),
        "model": len(site.models),
    }
    typer.echo(
        f"{folder} is right: " + ", ".join(f"{n} {word}{'s' * (n != 1)}" for word, n in counts.items())
    )


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="show one fault and its order, then end")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="with --once: the order as JSON on standard output")
    ] = False,
    timeout: Annotated[float, typer.Option(help="with --once: seconds to wait for the order")] = 180.0,
) -> None:
    """A simulated plant on real wires, the gateway and its pages; a bearing fault becomes a work order."""
    from gateway.demo import Demo, DemoFailedError

    def say(line: str) -> None:
        typer.echo(line, err=True)

    try:
        with Demo(say, pages=not once, lead_in=5.0 if once else 25.0) as running:
            if once:
                _show_once(running, timeout, as_json)
            else:
                _show_until_interrupted(running, say)
    except DemoFailedError as error:
        fail(str(error), 1)
    except KeyboardInterrupt:
        say("stopped")


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def simulate(context: typer.Context) -> None:
    """The simulated plant: serve it on real wires, write labelled CSV, list scenarios (`simulate --help`)."""
    import subprocess

    raise typer.Exit(
        subprocess.run([sys.executable, "-m", "simulators", *context.args], check=False).returncode
    )


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


@models_app.command("score-folder")
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

    if not data.is_dir():
        fail(f"{data} is no folder of recordings", 2)
    for done, name in enumerate(score_folder(data, out), 1):
        typer.echo(f"{done:4} {name}", err=True)


def _order(desk: Desk, number: str) -> tuple[Any, Any, Any]:
    from ticketing import NotFoundError

    try:
        with desk.read() as reading:
            return reading.order(number), reading.evidence(number), reading.timeline(number)
    except NotFoundError as error:
        fail(str(error), 1)


def _show_once(running: Any, timeout: float, as_json: bool) -> None:
    from gateway import show

    result = running.result(timeout)
    typer.echo(json.dumps(result, ensure_ascii=False, indent=2) if as_json else show.demo_lines(result))


def _show_until_interrupted(running: Any, say: Any) -> None:
    say(f"\n  open {running.address}   (Ctrl-C ends the demo)\n")
    say(f"in about {running.lead_in:.0f} s a bearing of {running.asset} begins to fail …")
    seen: set[str] = set()
    for orders in running.watch():
        for order in orders:
            if order.number not in seen:
                seen.add(order.number)
                say(
                    f"{order.number}  {order.title_zh} · {order.title_en}  {running.address}orders/{order.number}"
                )
