"""SQLite as the spool and the history use it: WAL, FULL, one writing connection for each file.

pysqlite3 brings a SQLite without the WAL-reset bug (3.7.0 to 3.51.2); where it has no wheel the standard
module serves, and the rule that one connection does all writes and checkpoints keeps us clear of that bug.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite3 import Connection, DatabaseError
    from sqlite3 import connect as _connect
else:
    try:
        from pysqlite3.dbapi2 import Connection, DatabaseError
        from pysqlite3.dbapi2 import connect as _connect
    except ImportError:
        from sqlite3 import Connection, DatabaseError
        from sqlite3 import connect as _connect

__all__ = [
    "Connection",
    "DatabaseError",
    "is_damage",
    "is_full",
    "is_malformed",
    "reading",
    "transaction",
    "writing",
]

_PASSING = (
    "I/O error",
    "unable to open",
    "locked",
    "disk is full",
    "out of memory",
    "readonly",
    "closed database",
)


_CACHE = "PRAGMA cache_size = -512"  # KiB: the system keeps files in memory too


def writing(path: Path) -> Connection:
    """The one connection that writes and checkpoints ``path``; commits are durable when they return."""
    connection = _connect(path, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.execute(_CACHE)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA journal_size_limit = 4194304")
    return connection


def reading(path: Path, *, finished: bool = False) -> Connection:
    """A connection that can only look. A file that nobody writes any more needs no room on disk for that."""
    mode = "mode=ro&immutable=1" if finished else "mode=rw"
    address = f"{path.absolute().as_uri()}?{mode}"
    connection = _connect(address, uri=True, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA busy_timeout = 5000")
    with suppress(DatabaseError):  # it looks into the file: damage is found by who reads there
        connection.execute(_CACHE)
    connection.execute("PRAGMA query_only = ON")
    return connection


@contextmanager
def transaction(connection: Connection) -> Iterator[None]:
    """All or nothing: commits durably at the end of the ``with`` block, rolls back on any error."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            with suppress(DatabaseError):
                connection.execute("ROLLBACK")


def is_full(error: Exception) -> bool:
    """Whether the disk (or the file's page quota) had no room."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return "disk is full" in str(error)


def is_damage(error: DatabaseError) -> bool:
    """Whether the file's content is wrong, which trying again does not mend."""
    return not any(words in str(error) for words in _PASSING)


def is_malformed(error: Exception) -> bool:
    """Whether SQLite itself says that the file is damaged."""
    return any(words in str(error) for words in ("malformed", "not a database"))
