"""The commands: serve the plant, record it, list its scenarios, load a client, make trouble."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import time
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import typer
from typer.core import TyperGroup

from simulators import bench as farm
from simulators import chaos as proxy
from simulators import faults
from simulators.chaos_plant import USUAL
from simulators.faults import SCENARIOS
from simulators.image import Image
from simulators.image import serve as serve_registers
from simulators.machines import machine_of
from simulators.plant import DEMO_ASSETS
from simulators.publisher import BrokerError
from simulators.recording import Recording, labels_beside
from simulators.serve import Wiring
from simulators.serve import serve as run_plant
from simulators.stand import Stand


class Commands(TyperGroup):
    """A scenario's name alone records it: ``simulate bearing_wear`` is ``simulate csv bearing_wear``."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        return super().resolve_command(ctx, ["csv", *args] if args[0] in {"healthy", *SCENARIOS} else args)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)

EXAMPLE: dict[str, Any] = {
    "tcp": 5020,
    "rtu": Path("wires/rtu"),
    "ascii_link": Path("wires/ascii"),
}  # of examples/demo

Seed = Annotated[int, typer.Option(help="The same seed gives the same plant, and the same troubles.")]


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    chaos: Annotated[
        bool,
        typer.Option(
            "--chaos",
            help="Serve the plant in trouble: as `serve --chaos` on the wires of examples/demo, in the present folder.",
        ),
    ] = False,
) -> None:
    """A simulated plant on real wires, and what it takes to try a gateway on it."""
    if context.invoked_subcommand is not None:
        return
    if not chaos:
        fail("what is to be simulated? a command of --help, or --chaos", 2)
    EXAMPLE["rtu"].parent.mkdir(exist_ok=True)
    serve(**EXAMPLE, chaos=USUAL)


@app.command()
def serve(
    *,
    tcp: Annotated[
        int | None, typer.Option(metavar="PORT", help="Modbus TCP with pump-1 (0: any free port).")
    ] = None,
    rtu: Annotated[
        Path | None,
        typer.Option(metavar="LINK", help="Modbus RTU with motor-1 on a new terminal, linked here."),
    ] = None,
    ascii_link: Annotated[
        Path | None,
        typer.Option("--ascii", metavar="LINK", help="ASCII instrument of compressor-1, linked here."),
    ] = None,
    mqtt: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Broker that fan-1 publishes to.")
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ASSET:SCENARIO@SECONDS[xRAMP]",
            help="A fault SECONDS after the start, at its limit RAMP s later; may be repeated.",
        ),
    ] = None,
    seed: Seed = 0,
    speed: Annotated[float, typer.Option(min=0.001, help="Plant seconds per second.")] = 1.0,
    host: Annotated[str, typer.Option(help="Address that Modbus TCP listens on.")] = "127.0.0.1",
    pumps: Annotated[int, typer.Option(min=1, max=247, help="Pumps on Modbus TCP, unit ids from 1.")] = 1,
    motors: Annotated[int, typer.Option(min=1, max=247, help="Motors on Modbus RTU, unit ids from 1.")] = 1,
    baud: Annotated[
        int | None,
        typer.Option(help="RTU keeps wire time at this speed and babbles at others. [default: any, at once]"),
    ] = None,
    chaos: Annotated[
        float,
        typer.Option(
            min=0.0, max=1.0, metavar="P", help="Share of Modbus answers that meet trouble (see `chaos`)."
        ),
    ] = 0.0,
    until_eof: Annotated[bool, typer.Option("--until-eof", help="Stop when standard input ends.")] = False,
) -> None:
    """Serve the plant on real wires until SIGTERM.

    Prints {"ready": true, ...} in one line when all wires answer. Then each line of JSON on standard input
    is answered by one: {"fault": "pump-1:bearing_wear", "ramp": 25} strikes now, {"heal": "pump-1"} ends all
    its faults, {"device": "pump-1", "behave": "late", "seconds": 1.2} changes how a device answers (well,
    dead, slow, late, frozen, rebooting, swapped). At the end the counts go to standard error.

    With --chaos devices also misbehave by themselves now and then, each time a line of JSON on standard error.
    """
    if tcp is None and rtu is None and ascii_link is None and mqtt is None:
        fail("no wire to serve on: give --tcp, --rtu, --ascii or --mqtt", 2)
    if chaos and baud is not None:
        fail("--chaos stands between wire and client and keeps no wire time: leave out --baud", 2)
    stand = Stand(seed, speed)
    try:
        for text in fault or []:
            stand.add(faults.parse(text, stand.start / 1e9))
    except ValueError as error:
        fail(str(error), 2)
    wiring = Wiring(tcp, rtu, ascii_link, address(mqtt) if mqtt else None, host, pumps, motors, baud, chaos)
    _run(run_plant(wiring, stand, until_eof=until_eof))


@app.command("csv")
def write_csv(
    scenario: Annotated[str, typer.Argument(help="healthy, or one that `list` names.")],
    *,
    out: Annotated[
        Path | None,
        typer.Option(
            help="File to write; labels go to the same name with .labels.csv. [default: SCENARIO.csv]"
        ),
    ] = None,
    asset: Annotated[
        str | None, typer.Option(help="pump-1, motor-1 ... [default: one that the scenario fits]")
    ] = None,
    hours: Annotated[float, typer.Option(min=0.0, help="Length of the recording.")] = 24.0,
    period: Annotated[str, typer.Option(help="Between samples: 100ms, 1s, 1m.")] = "1s",
    start: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="First sample, ISO 8601, UTC. [default: so that it ends now]"),
    ] = None,
    onset: Annotated[
        float | None, typer.Option(metavar="HOURS", help="Onset after the start. [default: half the length]")
    ] = None,
    ramp: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="From onset to the limit. [default: see `list`]")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Write a labelled recording of one asset as CSV, much faster than real time."""
    out = out or Path(f"{scenario}.csv")
    step = seconds(period)
    rows = round(hours * 3600 / step)
    begin = time.time() // step * step - rows * step if start is None else parse_time(start)
    struck: list[faults.Fault] = []
    try:
        if scenario != "healthy":
            at = begin + 3600 * (hours / 2 if onset is None else onset)
            struck.append(faults.fault(asset or _usual_asset(scenario), scenario, at, ramp))
        name = struck[0].asset if struck else asset or DEMO_ASSETS[0]
        recording = Recording(name, begin, step, rows, struck, seed)
        signals = len(machine_of(name).quantities)
    except ValueError as error:
        fail(str(error), 2)
    began = time.monotonic()
    try:
        _record(recording, out)
    except OSError as error:
        fail(f"{out}: {error.strerror}")
    took = max(time.monotonic() - began, 1e-3)
    typer.echo(
        f"{out}: {rows} rows of {signals} signals in {took:.1f} s, {rows * step / took:.0f} times real time;"
        f" labels in {labels_beside(out).name}",
        err=True,
    )


@app.command("list")
def list_scenarios() -> None:
    """Name the scenarios: what happens, ISO 14224 failure mode, ramp to the limit, which machines."""
    typer.echo(f"{'healthy':<15} all is well")
    for scenario in SCENARIOS.values():
        fits = ", ".join(scenario.limits)
        ramp = f"{scenario.ramp / 60:.0f} min"
        typer.echo(f"{scenario.name:<15} {scenario.summary} ({scenario.failure_mode}; {ramp}; {fits})")


@app.command()
def bench(
    *,
    base_port: Annotated[int, typer.Option(min=1, max=65_535, help="First port to listen on.")],
    devices: Annotated[int, typer.Option(min=1, help="How many devices.")] = 500,
    registers: Annotated[int, typer.Option(min=1, max=65_536, help="Registers of each device.")] = 100,
    ports: Annotated[
        int, typer.Option(min=1, help="Spread the devices over this many ports, unit ids from 1 on each.")
    ] = 1,
    dead: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of devices that never answer.")] = 0.0,
    kind: Annotated[Literal["u16", "f32"], typer.Option("--type", help="What the registers hold.")] = "u16",
) -> None:
    """Serve many cheap devices over Modbus TCP, to load a client.

    All unit ids answer on every port. Values move each second. At the end the requests answered and what
    they cost go to standard error.
    """
    if ports > devices or base_port + ports > 65_536:
        fail(f"{ports} ports from {base_port} are too many for {devices} devices or for TCP", 2)
    layout = farm.Layout(devices, registers, base_port, ports, dead, kind)
    _run(farm.serve(layout), fast=True)


@app.command()
def registers(
    image: Annotated[Path, typer.Argument(metavar="FILE", help="JSON: {unit id: [points]}")],
    *,
    tcp: Annotated[int, typer.Option(metavar="PORT", help="Modbus TCP (0: any free port).")] = 0,
    rtu: Annotated[
        Path | None, typer.Option(metavar="LINK", help="Modbus RTU too, on a new terminal.")
    ] = None,
) -> None:
    """Serve Modbus devices that hold given numbers.

    FILE says where each number stands: {"1": [{"table": "holding", "address": 0, "type": "f32", "order": "ABCD",
    "bit": 0, "raw": 21.5}, ...]}. At the end the counts go to standard error.
    """
    try:
        units = {int(unit): Image(points) for unit, points in json.loads(image.read_text()).items()}
    except (OSError, ValueError, KeyError, AttributeError, struct.error) as error:
        fail(f"{image}: {error}", 2)
    _run(serve_registers(units, tcp, rtu))


def chance(text: str) -> Any:
    return typer.Option(min=0.0, max=1.0, metavar="P", help=text)


@app.command()
def chaos(
    *,
    listen: Annotated[str, typer.Option(metavar="PORT|LINK", help="Where the client connects.")],
    upstream: Annotated[
        str, typer.Option(metavar="HOST:PORT|PATH", help="The device: Modbus TCP, or a line.")
    ],
    late: Annotated[float, chance("comes after --late-seconds")] = 0.0,
    late_seconds: Annotated[float, typer.Option(help="More than the client's timeout.")] = 1.0,
    delay: Annotated[float, chance("comes within --delay-seconds")] = 0.0,
    delay_seconds: Annotated[float, typer.Option(help="Less than the client's timeout.")] = 0.05,
    drop: Annotated[float, chance("never comes")] = 0.0,
    cut: Annotated[float, chance("ends inside; a TCP connection is closed")] = 0.0,
    slice_: Annotated[
        float, typer.Option("--slice", min=0, max=1, metavar="P", help="comes in crumbs")
    ] = 0.0,
    repeat: Annotated[float, chance("comes twice")] = 0.0,
    flip: Annotated[float, chance("has a bit turned (TCP: in its head)")] = 0.0,
    flip_data: Annotated[float, chance("has a bit of its values turned; nobody can notice on TCP")] = 0.0,
    swap: Annotated[float, chance("comes after the next one")] = 0.0,
    stranger: Annotated[float, chance("comes after somebody else's")] = 0.0,
    noise: Annotated[float, chance("comes after random bytes")] = 0.0,
    collide: Annotated[float, chance("collides with another master's frame")] = 0.0,
    seed: Seed = 0,
) -> None:
    """Stand between a client and a device and make trouble with the answers.

    Each P is the probability, 0 to 1, that an answer meets this trouble; one at most. At the end the counts
    go to standard error.
    """
    try:
        trouble = proxy.Trouble(
            delay=delay,
            late=late,
            drop=drop,
            cut=cut,
            slice=slice_,
            repeat=repeat,
            flip=flip,
            flip_data=flip_data,
            swap=swap,
            stranger=stranger,
            noise=noise,
            collide=collide,
            delay_seconds=delay_seconds,
            late_seconds=late_seconds,
        )
    except ValueError as error:
        fail(str(error), 2)
    if listen.isdigit():
        _run(proxy.serve_tcp(int(listen), address(upstream), trouble, seed), fast=True)
    else:
        _run(proxy.serve_rtu(Path(listen), Path(upstream), trouble, seed))


def fail(text: str, code: int = 1) -> NoReturn:
    """One clear line, and out."""
    typer.echo(f"simulators: {text}", err=True)
    raise typer.Exit(code)


def address(text: str) -> tuple[str, int]:
    """``HOST:PORT``; exit 2 if it is not."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        fail(f"an address is HOST:PORT, like 127.0.0.1:1883, not {text!r}", 2)
    return host, int(port)


def seconds(text: str) -> float:
    """``500ms``, ``1s``, ``1.5s``, ``1m``, ``1h``; exit 2 if it is not."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    if not found or not float(found[1]):
        fail(f"a period is written 500ms, 1s, 1m or 1h, not {text!r}", 2)
    return float(found[1]) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[found[2]]


def parse_time(text: str) -> float:
    """ISO 8601, UTC unless it says otherwise, as seconds since the epoch; exit 2 if it is not."""
    try:
        time_given = datetime.fromisoformat(text)
    except ValueError:
        fail(f"a time is written 2026-01-05T00:00:00Z, not {text!r}", 2)
    return (time_given if time_given.tzinfo else time_given.replace(tzinfo=UTC)).timestamp()


def _usual_asset(scenario: str) -> str:
    fits = SCENARIOS[scenario].limits if scenario in SCENARIOS else ()
    return next((asset for asset in DEMO_ASSETS if machine_of(asset).kind in fits), DEMO_ASSETS[0])


def _record(recording: Recording, out: Path) -> None:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(recording.asset, total=recording.rows)
        recording.write(out, lambda rows: bar.advance(task, rows))


def _run(work: Coroutine[Any, Any, Mapping[str, object]], *, fast: bool = False) -> None:
    """Run a server to its end and print what it counted."""
    import uvloop

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if fast else None) as runner:
            counts = runner.run(work)
    except (OSError, BrokerError) as error:
        fail(str(error))
    typer.echo(json.dumps({"stopped": True, **counts}), err=True)
