"""`profiles …`: the device types that a site's devices may take their points from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.commands.options import AsJson, AtSite, fail

if TYPE_CHECKING:
    from devices.profile import Profile

app = typer.Typer(help="Device types: register maps to take points from.", no_args_is_help=True)


@app.command("list")
def list_profiles(site: AtSite = None, as_json: AsJson = False) -> None:
    """Every profile: the shipped ones, and those in the site's folder `profiles`."""
    from rich.table import Table

    from gateway.show import console

    found = {name: _load(path) for name, path in _names(site).items()}
    if as_json:
        entries = {
            name: {"title": p.title, "category": p.category, "points": len(p.points), "source": p.source}
            for name, p in found.items()
        }
        typer.echo(json.dumps(entries, indent=2, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False)
    for head in ("name", "category", "points", "device"):
        table.add_column(head, no_wrap=True, justify="right" if head == "points" else "left")
    for name, profile in sorted(found.items(), key=lambda pair: (pair[1].category, pair[0])):
        table.add_row(name, profile.category, str(len(profile.points)), profile.title)
    console().print(table)


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="a profile's name, or a TOML file")],
    site: AtSite = None,
    as_json: AsJson = False,
) -> None:
    """One profile: its source, its points, and what to write into a site's files to read them."""
    from rich.table import Table

    from gateway.show import console

    stem, profile = _profile(name, site)
    if as_json:
        typer.echo(
            json.dumps(profile.model_dump(mode="json", exclude_none=True), indent=2, ensure_ascii=False)
        )
        return
    out = console()
    out.print(f"[bold]{stem}[/bold]  {profile.title}  ({profile.category})")
    out.print(f"source: {profile.source}", highlight=False)
    if profile.note:
        out.print(f"note: {profile.note}", highlight=False)
    if profile.port:
        out.print(f"serial port as it leaves the factory: {profile.port}", highlight=False)
    table = Table(box=None, pad_edge=False)
    for head in ("point", "unit", "table", "address", "type", "scale", "range"):
        table.add_column(head, no_wrap=True, justify="right" if head in {"address", "scale"} else "left")
    for point, entry in profile.points.items():
        register = entry.register()
        type_ = f"bit {register.bit}" if register.type == "bit" else f"{register.type} {register.order}"
        span = f"{entry.range[0]:g} … {entry.range[1]:g}" if entry.range else ""
        table.add_row(point, entry.unit, entry.table, str(entry.address), type_, f"{entry.scale:g}", span)
    for text, where in profile.texts.items():
        table.add_row(text, "", where.table, str(where.address), f"text of {where.length}", "", "")
    out.print(table)
    typer.echo(_example(stem, profile))


@app.command("test")
def try_profiles(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME|FILE]…", help="all, if none is named")
    ] = None,
    site: AtSite = None,
) -> None:
    """Try profiles out: check them, plan their reading, and read known numbers back from a simulated device.

    The device is a process of its own on real wires, Modbus TCP and RTU. Exit 1 when one is wrong.
    """
    from gateway.children import ChildFailedError
    from gateway.trial import try_out

    failed = 0
    for name in names or sorted(_names(site)):
        stem, profile = _profile(name, site)
        try:
            verdicts = try_out(profile)
        except (ChildFailedError, ValueError) as error:
            typer.echo(f"{stem}: {error}", err=True)
            failed += 1
            continue
        for verdict in verdicts:
            right = verdict.points - len(verdict.wrong)
            typer.echo(
                f"{stem:20} {verdict.kind:10}  {right} of {verdict.points} points right, {verdict.requests} "
                f"requests, {verdict.registers} registers, {verdict.seconds:.3g} s of line time"
            )
            for wrong in verdict.wrong:
                typer.echo(f"  {wrong}", err=True)
        failed += any(verdict.wrong for verdict in verdicts)
    if failed:
        fail(f"{failed} profile{'s' * (failed != 1)} failed", 1)


def _names(site: Path | None) -> dict[str, Path]:
    from devices.profile import names

    return names(site)


def _load(path: Path) -> Profile:
    from devices.profile import load

    try:
        return load(path)
    except ValueError as error:
        fail(str(error), 2)


def _profile(name: str, site: Path | None) -> tuple[str, Profile]:
    from devices.profile import named

    if name.endswith(".toml"):
        return Path(name).stem, _load(Path(name))
    try:
        return name, named(name, site)
    except ValueError as error:
        fail(str(error), 2)


def _example(stem: str, profile: Profile) -> str:
    signals = "\n".join(f'{name} = {{ unit = "{point.unit}" }}' for name, point in profile.points.items())
    unit_id = 1 if profile.unit_id is None else profile.unit_id
    first = next(iter(profile.points))
    return f"""
in devices.toml, for all its points as signals of one asset:

[device.my-device]
line = "…"
unit_id = {unit_id}
profile = "{stem}"
asset = "my-asset"              # only = ["{first}"] takes some of them

or chosen one by one, under the names of your own signals:

[device.my-device.points]
"my-asset/my-signal" = "{first}"

and in assets.toml, a class with all of them:

[class.my-class.signals]
{signals}"""
