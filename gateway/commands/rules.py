"""`rules …`: the engineer's bench."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.options import SiteFolder, fail, read_site

app = typer.Typer(
    help="The engineer's bench: check rules, test them, play them over the past, tune and compare them.",
    no_args_is_help=True,
)


@app.command()
def lint(
    folder: SiteFolder,
    strict: Annotated[bool, typer.Option("--strict", help="exit 1 where there is a warning")] = False,
) -> None:
    """Every mistake in the rules (exit 2), and every warning: what never fires, what chatters, what has no name."""
    from gateway.workbench.facts import warnings

    site = read_site(folder)
    found = warnings(site)
    for warning in found:
        typer.echo(str(warning))
    rules, n = len(site.rules), len(found)
    typer.echo(f"{rules} rule{'s' * (rules != 1)}, no mistake, {n or 'no'} warning{'s' * (n != 1)}", err=True)
    if found and strict:
        raise typer.Exit(1)


@app.command("test")
def run_cases(
    folder: SiteFolder,
    cases: Annotated[
        list[Path] | None, typer.Argument(metavar="[CASES]…", help="files or folders; else SITE/tests")
    ] = None,
    junit: Annotated[Path | None, typer.Option(metavar="FILE", help="the outcome as JUnit XML too")] = None,
) -> None:
    """Run rule tests, which are data files: exit 0 if all is as expected, else 1. rules/README.md tells the form."""
    from gateway.workbench import casework

    site = read_site(folder)
    paths = casework.find(folder, cases or [])
    if not paths:
        fail(f"no test there: write {folder / casework.FOLDER}/<name>.toml, or name files", 2)
    outcomes = []
    for outcome in casework.run(site, paths):
        outcomes.append(outcome)
        typer.echo(f"{'ok  ' if outcome.passed else 'FAIL'}  {outcome.path.name}: {outcome.title}")
        for line in outcome.wrong:
            typer.echo(f"        {line}")
    if junit is not None:
        _write(junit, casework.junit(outcomes))
    failed = sum(not outcome.passed for outcome in outcomes)
    typer.echo(f"{len(outcomes)} test{'s' * (len(outcomes) != 1)}, {failed or 'none'} failed", err=True)
    if failed:
        raise typer.Exit(1)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        fail(f"{path} cannot be written: {error.strerror}", 1)
