"""`run`, `web`, `check`, `demo`, `simulate`: the gateway itself."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer

from gateway.commands.options import SiteFolder, fail, open_desk, read_site
from gateway.supervisor import EX_CONFIG, EX_IOERR, EX_TEMPFAIL, AlreadyRunningError, StateLock

app = typer.Typer()


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
        with StateLock(site.state, "web"):
            serve(site, open_desk(site))
    except AlreadyRunningError as error:
        fail(str(error), EX_TEMPFAIL)
    except OSError as error:
        fail(f"the pages cannot be served on {site.web.host}:{site.web.port}: {error.strerror}", EX_IOERR)


@app.command()
def check(folder: SiteFolder) -> None:
    """Check a site folder without opening anything; prints every mistake at once and exits 2."""
    from gateway.own import tables

    site = read_site(folder)
    counts = {
        "asset": len(site.assets),
        "line": len(site.lines),
        "device": len(site.devices),
        "signal": sum(len(device.signals()) for device in site.devices.values()),
        "rule": len(site.rules.keys() - tables()["rule"].keys()),
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
    """The simulated plant, in trouble with --chaos: served on real wires, as labelled CSV … (`simulate --help`)."""
    import os

    words = [sys.executable, "-m", "simulators", *context.args]
    os.execve(sys.executable, words, os.environ | {"SIMULATORS_CALLED": "watchkeeper simulate"})  # noqa: S606


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
