"""A copy of the embedded database while others write to it, and whether a file is whole."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from ticketing.database import SQLITE
from ticketing.errors import TicketingError


class DamagedError(TicketingError):
    """The file is no database, or not a whole one."""


def copy(source: Path, target: Path) -> None:
    """The database as it is at one moment, by SQLite's own backup; nobody who writes waits for it in WAL mode."""
    with (
        closing(SQLITE.connect(f"file:{source}?mode=ro", uri=True)) as from_,
        closing(SQLITE.connect(target)) as to,
    ):
        from_.backup(to)
        to.execute("PRAGMA journal_mode = DELETE")  # one file, without companions


def check_whole(path: Path) -> None:
    """DamagedError unless every page of the file is as SQLite wrote it."""
    try:
        with closing(SQLITE.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            found = [row[0] for row in connection.execute("PRAGMA integrity_check")]
    except SQLITE.DatabaseError as error:
        raise DamagedError(f"{path.name} is not a whole database: {error}") from error
    if found != ["ok"]:
        raise DamagedError(f"{path.name} is not a whole database: {found[0]}")
