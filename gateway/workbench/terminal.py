"""Tables and progress on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gateway import show
from gateway.workbench import trial
from gateway.workbench.page import Grid


def table(grid: Grid, empty: str = "") -> None:
    """The grid, or ``empty`` where it has no row."""
    if not grid.rows:
        show.console().print(empty)
        return
    found = Table(box=None, pad_edge=False)
    for i, head in enumerate(grid.heads):
        last = i == len(grid.heads) - 1
        found.add_column(head, justify="right" if i in grid.numbers else "left", no_wrap=not last)
    for row in grid.rows:
        found.add_row(*(str(cell) for cell in row))
    show.console().print(found)


@contextmanager
def progress() -> Iterator[trial.Progress]:
    """A bar on standard error while something takes long; nothing where that is no terminal."""
    if not sys.stderr.isatty():
        yield trial.silent
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=1.0)
        yield lambda what, share: bar.update(task, description=what, completed=share)
