"""The commands: serve the plant, list its scenarios."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from simulators import faults
from simulators.faults import SCENARIOS
from simulators.publisher import BrokerError
from simulators.serve import Wiring
from simulators.serve import serve as run
from simulators.stand import Stand

app = typer.Typer(
    help="A simulated plant on real wires, and what is needed to try a gateway on it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def fail(text: str, code: int = 1) -> NoReturn:
    """One clear line, and out."""
    typer.echo(f"simulators: {text}", err=True)
    raise typer.Exit(code)


def address(text: str) -> tuple[str, int]:
    """``HOST:PORT``; BadParameter if it is not."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65_535:
        raise typer.BadParameter(f"HOST:PORT is wanted, like 127.0.0.1:1883, not {text!r}")
    return host, int(port)


@app.command()
def serve(  # noqa: PLR0917 - one parameter per option
    tcp: Annotated[
        int | None, typer.Option(metavar="PORT", help="Modbus TCP with pump-1 (0: a free port).")
    ] = None,
    rtu: Annotated[
        Path | None, typer.Option(metavar="LINK", help="Modbus RTU with motor-1; makes this link.")
    ] = None,
    ascii_link: Annotated[
        Path | None,
        typer.Option("--ascii", metavar="LINK", help="ASCII instrument, compressor-1; makes this link."),
    ] = None,
    mqtt: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Broker for fan-1 to publish to.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed is the same plant.")] = 0,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ASSET:SCENARIO@SECONDS[xRAMP]",
            help="A fault SECONDS after the start that reaches its limit after RAMP s; repeatable.",
        ),
    ] = None,
    speed: Annotated[float, typer.Option(min=0.001, help="Plant seconds per second.")] = 1.0,
    pumps: Annotated[int, typer.Option(min=1, max=247, help="Pumps on Modbus TCP, unit ids 1 … N.")] = 1,
    motors: Annotated[int, typer.Option(min=1, max=247, help="Motors on Modbus RTU, unit ids 1 … N.")] = 1,
    baud: Annotated[
        int | None,
        typer.Option(
            help="RTU keeps wire time at this speed and babbles at any other (default: any, at once)."
        ),
    ] = None,
    until_eof: Annotated[bool, typer.Option("--until-eof", help="Stop when standard input ends.")] = False,
) -> None:
    """Serve the plant on real wires until SIGTERM.

    Says {"ready": true, …} in one line when all wires answer. Then obeys lines of JSON on standard input:
    {"fault": "pump-1:bearing_wear", "ramp": 25}, {"heal": "pump-1"}, {"device": "pump-1", "behave": "late",
    "seconds": 1.2} (well, dead, slow, late, frozen, rebooting, swapped), and answers each with one line.
    """
    if tcp is None and rtu is None and ascii_link is None and mqtt is None:
        fail("no wire: give --tcp, --rtu, --ascii or --mqtt", 2)
    stand = Stand(seed, speed)
    try:
        for text in fault or []:
            stand.add(faults.parse(text, stand.start / 1e9))
    except ValueError as error:
        fail(str(error), 2)
    wires = Wiring(tcp, rtu, ascii_link, address(mqtt) if mqtt else None, pumps, motors, baud)
    try:
        counts = asyncio.run(run(wires, stand, until_eof))
    except (OSError, BrokerError) as error:
        fail(str(error))
    typer.echo(json.dumps({"stopped": True, **counts}), err=True)


@app.command("list")
def list_scenarios() -> None:
    """Name the scenarios, one line each: what happens, failure mode, natural ramp, which machines."""
    typer.echo(f"{'healthy':<15}{'all is well':<80}")
    for scenario in SCENARIOS.values():
        fits = ", ".join(scenario.limits)
        typer.echo(f"{scenario.name:<15}{scenario.summary:<77} {scenario.failure_mode}  {fits}")
