"""Statements of fixed shape: composed once, compiled once for each database, then handed to its driver as they are.

SQLAlchemy says what SQL a database wants; its way from there to the driver costs ten times what SQLite takes to act.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Dialect, Integer, Select, UpdateBase, literal_column
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.compiler import SQLCompiler

Row = Any  # a named tuple of the statement's columns


class Once:
    """A statement that is built with ``bindparam`` where its values differ."""

    def __init__(self, statement: Select[Any] | UpdateBase) -> None:
        self._statement = statement
        self._ready: dict[tuple[str, ...], _Ready] = {}

    def ready(self, dialect: Dialect, given: Iterable[str]) -> _Ready:
        """The statement as this database takes it; the names given say which columns a row or a change has."""
        key = (dialect.name, *given)
        found = self._ready.get(key)
        if found is None:
            found = self._ready[key] = _Ready(self._statement, dialect, list(given))
        return found


class _Ready:
    """A compiled statement, with what turns values into the driver's and the driver's rows into ours."""

    def __init__(self, statement: Select[Any] | UpdateBase, dialect: Dialect, given: list[str]) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=given)
        assert isinstance(compiled, SQLCompiler)
        self.sql = compiled.string
        self._columns = list(statement.exported_columns)
        self._names = compiled.positiontup if dialect.positional else None
        self._fixed = {
            name: bind.effective_value for name, bind in compiled.binds.items() if not bind.required
        }
        row: Any = namedtuple("Row", [column.key for column in self._columns], rename=True)  # type: ignore[misc]
        self._row: Callable[[Iterable[Any]], Row] = row._make
        self._readers: list[tuple[int, Callable[[Any], Any]]] | None = None

    def values(self, given: Mapping[str, Any]) -> Any:
        """As the driver takes them: by place, or by name."""
        known = {**self._fixed, **given}
        return known if self._names is None else [known[name] for name in self._names]

    def read(self, rows: Sequence[Sequence[Any]], dialect: Dialect, description: Sequence[Any]) -> list[Row]:
        """The driver's rows with the values that their columns mean (SQLite knows no booleans)."""
        if self._readers is None:
            types = [column.type.dialect_impl(dialect) for column in self._columns]
            readers = [
                each.result_processor(dialect, told[1]) for each, told in zip(types, description, strict=True)
            ]
            self._readers = [(place, reader) for place, reader in enumerate(readers) if reader is not None]
        if not self._readers:
            return [self._row(row) for row in rows]
        read = []
        for row in rows:
            values = list(row)
            for place, reader in self._readers:
                values[place] = reader(values[place])
            read.append(self._row(values))
        return read


class Driver:
    """One transaction's way to the database's driver. Its errors are SQLAlchemy's, as everywhere."""

    def __init__(self, connection: Connection) -> None:
        self._dialect = connection.dialect
        self._cursor = connection.connection.cursor()

    def run(self, once: Once, given: Mapping[str, Any]) -> int:
        """Do it; how many rows that concerned."""
        self._execute(once, given)
        return int(self._cursor.rowcount)

    def all(self, once: Once, given: Mapping[str, Any]) -> list[Row]:
        """Every row."""
        ready = self._execute(once, given)
        return ready.read(self._cursor.fetchall(), self._dialect, self._cursor.description)

    def _execute(self, once: Once, given: Mapping[str, Any]) -> _Ready:
        ready = once.ready(self._dialect, given)
        values = ready.values(given)
        try:
            self._cursor.execute(ready.sql, values)
        except self._dialect.loaded_dbapi.Error as error:
            raise DBAPIError.instance(
                ready.sql, values, error, self._dialect.loaded_dbapi.Error, dialect=self._dialect
            ) from error
        return ready


def one_of(name: str, values: Iterable[Any]) -> tuple[int, dict[str, Any]]:
    """Values for ``column.in_([bindparam("name_0"), …])`` and their number, rounded up: few statements serve all."""
    given = list(values) or [None]
    given += given[-1:] * (-len(given) % 16)
    return len(given), {f"{name}_{n}": value for n, value in enumerate(given)}


def at_most(rows: int) -> ColumnElement[int]:
    """For ``limit``: written out, since SQLite compiles a statement anew at each use where its LIMIT is bound."""
    return literal_column(str(rows), Integer)
