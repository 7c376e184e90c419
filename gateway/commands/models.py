"""`models …`: the soft sensors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.commands.options import fail

app = typer.Typer(help="Soft sensors: score recordings.", no_args_is_help=True)


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

    if not data.is_dir():
        fail(f"{data} is no folder of recordings", 2)
    for done, name in enumerate(score_folder(data, out), 1):
        typer.echo(f"{done:4} {name}", err=True)
