"""Batches that the store will never take, kept aside for somebody to look at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devices.batch import Batch
from gateway import codec, sqlite
from gateway.spool import Entry

_KEPT: Final = 10_000  # rows; older ones make place

_SCHEMA: Final = """CREATE TABLE IF NOT EXISTS dead_letter (
    id INTEGER PRIMARY KEY, entry INTEGER, time INTEGER, source TEXT, reason TEXT, codec INTEGER, body BLOB,
    names TEXT, UNIQUE (entry, source, time))"""


@dataclass(frozen=True, slots=True)
class Refused:
    """A batch the store refused, and its words."""

    entry: Entry
    batch: Batch
    reason: str


class DeadLetters:
    """A table in a file of its own, made when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, refused: Iterable[Refused]) -> None:
        """Put them aside durably; the same again changes nothing."""
        connection = sqlite.writing(self._path)
        try:
            connection.execute(_SCHEMA)
            with sqlite.transaction(connection):
                connection.executemany(
                    "INSERT OR IGNORE INTO dead_letter (entry, time, source, reason, codec, body, names)"
                    " VALUES (?,?,?,?,?,?,?)",
                    map(_row, refused),
                )
                connection.execute(
                    "DELETE FROM dead_letter WHERE id <= (SELECT max(id) FROM dead_letter) - ?", (_KEPT,)
                )
        finally:
            connection.close()

    def count(self) -> int:
        """How many are kept."""
        if not self._path.exists():
            return 0
        connection = sqlite.reading(self._path)
        try:
            return int(connection.execute("SELECT count(*) FROM dead_letter").fetchone()[0])
        finally:
            connection.close()


def _row(refused: Refused) -> tuple[object, ...]:
    batch = refused.batch
    body = codec.encode([batch], [1])
    names = "\n".join(batch.signals.names)
    return (
        refused.entry.id,
        batch.time,
        batch.signals.source,
        refused.reason[:500],
        codec.CODEC,
        body,
        names,
    )
