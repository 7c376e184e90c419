"""`reload`: the running gateway takes up a changed site folder."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from gateway.commands.options import AsJson, SiteFolder, fail, read_site

app = typer.Typer()


@app.command()
def reload(
    folder: SiteFolder,
    look: Annotated[bool, typer.Option("--dry-run", help="only show what would change")] = False,
    as_json: AsJson = False,
) -> None:
    """Have the running gateway take up the changed site folder; unchanged lines run on.

    Shows what differs. Mistakes, or a change that needs a restart: nothing is applied, exit 2. If applying fails,
    all is as it was, exit 1. The pages take up names and people when they are restarted.
    """
    from gateway.control import ask

    site = read_site(folder)
    try:
        found = ask(site.state / "control.sock", {"op": "reload", "look": look}, 60.0)
    except (OSError, ValueError):
        fail(f"no gateway runs on {folder}; it reads the folder when it starts", 1)
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        for change in found["changes"]:
            typer.echo(change)
    for mistake in found.get("mistakes", ()):
        typer.echo(mistake, err=True)
    if "error" in found:
        fail(f"nothing was applied: {found['error']}", 2 if "restart" in found["error"] else 1)
    if found.get("mistakes"):
        raise typer.Exit(2)
    if not as_json:
        typer.echo(_outcome(found["changes"], found["lines"], applied=found["applied"]))


def _outcome(changes: list[str], lines: list[str], *, applied: bool) -> str:
    if not changes:
        return "nothing has changed"
    touched = f"lines opened anew: {', '.join(lines)}" if lines else "no line is touched"
    return f"{'applied' if applied else 'not applied, only shown'}; {touched}"
