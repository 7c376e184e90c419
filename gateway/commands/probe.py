"""`probe`, `scan`: what registers mean, and who is on a line. Both ask the running gateway, which owns the wire."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.commands.options import AsJson, SiteFolder, fail, read_site

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.site import Site

app = typer.Typer()
Target = Annotated[str, typer.Argument(metavar="DEVICE", help="a device of the site, or a line with --unit")]
Table = Annotated[str, typer.Option(help="holding, input, coil or discrete")]
Unit = Annotated[int | None, typer.Option(min=0, max=255, help="unit id; else the device's own")]
Timeout = Annotated[float, typer.Option(help="seconds that an answer may take")]


@app.command()
def probe(
    folder: SiteFolder,
    target: Target,
    address: Annotated[
        int, typer.Argument(metavar="ADDRESS", min=0, max=65535, help="zero-based: the manual's 40001 is 0")
    ],
    *,
    table: Table = "holding",
    unit: Unit = None,
    expect: Annotated[float | None, typer.Option(help="what the device's own display shows now")] = None,
    within: Annotated[
        tuple[float, float] | None, typer.Option(help="lowest and highest plausible value")
    ] = None,
    type_: Annotated[str | None, typer.Option("--type", help="only this type, such as f32")] = None,
    order: Annotated[str | None, typer.Option(help="only this byte order, such as CDAB")] = None,
    save: Annotated[
        str | None, typer.Option(metavar="SIGNAL", help="write the first row as this point of DEVICE")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="implausible ways of reading too")] = False,
    timeout: Timeout = 0.5,
    as_json: AsJson = False,
) -> None:
    """Read registers in every type, byte order and at the addresses beside, to find what they mean.

    With --expect the ways that give this number come first, whatever their scale. Each row ends with the line for
    devices.toml; --save writes it there.
    """
    site = read_site(folder)
    if save is not None and target not in site.devices:
        fail(f"--save needs a device; {target} is none of {', '.join(site.devices)}", 2)
    if save is not None and within is None and (signal := site.signal(save)) is not None:
        within = signal.range
    request = {
        "target": target,
        "unit": unit,
        "table": table,
        "address": address,
        "expect": expect,
        "within": within,
        "timeout": timeout,
    }
    found: list[dict[str, Any]] = []
    _run(site, "probe", request, found.append)
    rows = [row for row in found[0]["guesses"] if _is_asked(row, type_, order)]
    if not everything:
        rows = [row for row in rows if row["mark"] or type_ is not None]
    if as_json:
        typer.echo(json.dumps({**found[0], "guesses": rows}, indent=2))
    else:
        _show(found[0], rows, address)
    if save is not None:
        _save(folder, target, save, rows, said=type_ is not None)


@app.command()
def scan(
    folder: SiteFolder,
    target: Target,
    *,
    units: Annotated[str | None, typer.Option(metavar="FIRST-LAST", help="which unit ids answer")] = None,
    registers: Annotated[str | None, typer.Option(metavar="FIRST-LAST", help="which can be read")] = None,
    table: Table = "holding",
    unit: Unit = None,
    timeout: Timeout = 0.3,
    as_json: AsJson = False,
) -> None:
    """Find the unit ids that answer on a line, or the registers that a unit gives; gentle on what is being read.

    It takes a fifth of the line's time at most while devices on it are polled.
    """
    site = read_site(folder)
    if (units is None) == (registers is None):
        fail("say either --units 1-32 or --registers 0-99", 2)
    request: dict[str, Any] = {"target": target, "unit": unit, "table": table, "timeout": timeout}
    if units is not None:
        _run(site, "scan-units", {**request, "units": _span(units)}, _printed(as_json, _say_unit))
    else:
        asked = _span(str(registers))
        _run(site, "scan-registers", {**request, "registers": asked}, _printed(as_json, _say_registers))


def _run(site: Site, op: str, request: dict[str, Any], take: Callable[[dict[str, Any]], object]) -> None:
    """Let the gateway do it; without one do it here."""
    from gateway.control import stream

    def check(item: dict[str, Any]) -> None:
        if "error" in item:
            fail(item["error"], 1)
        if item.keys() != {"done"}:
            take(item)

    try:
        for item in stream(site.state / "control.sock", {"op": op, **request}):
            check(item)
    except (FileNotFoundError, ConnectionRefusedError):
        import asyncio

        from devices.prober import Prober

        async def here() -> None:
            async for item in Prober(lambda: site, list).streams()[op](request):
                check(item)

        asyncio.run(here())
    except TimeoutError:
        fail("the gateway did not answer within a minute", 1)


def _is_asked(row: dict[str, Any], type_: str | None, order: str | None) -> bool:
    return (type_ is None or row["type"] == type_) and (order is None or row["order"] == order)


def _show(found: dict[str, Any], rows: list[dict[str, Any]], address: int) -> None:
    from rich.table import Table as Sheet

    from gateway.show import console

    registers = "  ".join(f"{at}: {word}" for at, word in found["registers"].items())
    typer.echo(f"unit {found['unit']}, read as bytes: {registers}")
    if not rows:
        typer.echo("nothing plausible stands there; --all shows every way of reading it")
        return
    sheet = Sheet(box=None, pad_edge=False)
    for name in ("address", "type", "order", "value", "looks", "point"):
        sheet.add_column(name, no_wrap=True, justify="right" if name in {"address", "value"} else "left")
    for row in rows:
        place = f"{row['address']}" + (
            f" ({row['address'] - address:+d})" if row["address"] != address else ""
        )
        looks = row["mark"] + ("" if row["steady"] else ", jumps")
        value = "–" if row["value"] is None else f"{row['value']:.7g}"
        sheet.add_row(place, row["type"], row["order"], value, looks, row["point"].replace("[", "\\["))
    console().print(sheet)


def _save(folder: Path, device: str, signal: str, rows: list[dict[str, Any]], *, said: bool) -> None:
    from gateway.mistakes import ConfigError
    from gateway.points import NoPlaceError, point_line, save_point

    if not rows or not (said or rows[0]["mark"] == "matches"):
        fail("which one? say --type and --order, or --expect with what the display shows", 2)
    try:
        save_point(folder, device, signal, rows[0]["point"])
    except NoPlaceError as error:
        fail(str(error), 1)
    except ConfigError as error:
        fail(f"{error}\nnothing was saved", 2)
    typer.echo(f"saved in [device.{device}.points]: {point_line(signal, rows[0]['point'])}")
    typer.echo(f"a running gateway takes it up by: watchkeeper reload {folder}")


def _span(text: str) -> tuple[int, int]:
    first, dash, last = text.partition("-")
    if not first.isdigit() or not (last if dash else first).isdigit():
        fail(f"{text} is no span; 1-32 would do", 2)
    return int(first), int(last if dash else first)


def _printed(as_json: bool, say: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    return (lambda item: typer.echo(json.dumps(item))) if as_json else say


def _say_unit(item: dict[str, Any]) -> None:
    if item["answers"]:
        typer.echo(f"unit {item['unit']} answers" + (f": {item['name']}" if item["name"] else ""))
    else:
        typer.echo(f"unit {item['unit']} is silent", err=True)


def _say_registers(item: dict[str, Any]) -> None:
    for at, word in item["registers"].items():
        number = int(word, 16)
        if len(word) == 2:
            typer.echo(f"{at:>5}  {number}")
        else:
            signed = f"  {number - 65536}" if number > 32767 else ""
            typer.echo(f"{at:>5}  {word}  {number}{signed}")
    if not item["registers"]:
        typer.echo(f"nothing up to {item['upto']}", err=True)
