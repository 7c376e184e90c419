"""Opening the database: SQLite tuned to lose nothing, or PostgreSQL, and its schema brought up to date."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.pool import ConnectionPoolEntry

from ticketing.errors import SchemaError

REVISION = "0013"  # the newest file in migrations/versions; a test holds the two together

try:
    import pysqlite3.dbapi2 as _sqlite
except ImportError:  # no wheel for this machine: the standard library's own
    import sqlite3 as _sqlite

_FEW = ("state", "priority", "kind", "decision", "status", "relation", "channel")  # columns with few values

SQLITE: ModuleType = _sqlite
# SQLite 3.7.0-3.51.2 can corrupt a WAL reset when two connections write: there we keep to the older journal.
JOURNAL = "WAL" if SQLITE.sqlite_version_info >= (3, 51, 3) else "TRUNCATE"

# Of libpq, where the address does not say otherwise: a server that vanished is missed soon.
PATIENCE = {"connect_timeout": 5, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 20_000}


def connect(target: str | Path) -> Engine:
    """The engine for a file path or a database URL; with the option ``writing`` a transaction locks first."""
    if isinstance(target, str) and "://" in target:
        url = make_url(target)
        if url.get_backend_name() == "postgresql":
            given = {name: value for name, value in PATIENCE.items() if name not in url.query}
            url = url.set(drivername="postgresql+psycopg")
            engine = create_engine(url, pool_pre_ping=True, connect_args=given)
            event.listen(engine, "connect", _end_what_hangs)
            return engine
        target = url.database or ""
    return _sqlite_engine(URL.create("sqlite+pysqlite", database=str(target)))


def _end_what_hangs(connection: object, _entry: ConnectionPoolEntry) -> None:
    """A gateway that vanished in the middle of a transaction keeps the others waiting a minute, not two hours."""
    connection.execute("SET idle_in_transaction_session_timeout = '60s'")  # type: ignore[attr-defined]
    connection.commit()  # type: ignore[attr-defined]


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, module=SQLITE)
    event.listen(engine, "connect", _tune)
    event.listen(engine, "begin", _begin)
    return engine


def _tune(connection: object, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # type: ignore[attr-defined]  # we say BEGIN ourselves
    for pragma in (
        "busy_timeout = 10000",
        f"journal_mode = {JOURNAL}",
        "synchronous = FULL",
        "foreign_keys = ON",
        "recursive_triggers = ON",  # REPLACE must not get past the triggers either
    ):
        connection.execute(f"PRAGMA {pragma}")  # type: ignore[attr-defined]


def _begin(connection: Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    if (
        connection.info.get("writing") is not writing
    ):  # only then: it makes SQLite compile every statement anew
        connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if writing else 'ON'}")
        connection.info["writing"] = writing
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")


def for_reading(engine: Engine) -> Engine:
    """For transactions that see one moment and change nothing."""
    if engine.dialect.name == "postgresql":
        return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    if engine.url.database in {"", ":memory:"}:  # one connection only
        return engine
    return _sqlite_engine(engine.url)  # every transaction sees one moment; _begin forbids writing


def migrate(engine: Engine) -> None:
    """Bring the schema to ``REVISION``, all or nothing; two processes may do so at once."""
    with engine.connect() as connection:
        found = _revision(connection)
    if found == REVISION:
        return
    if found is not None and found > REVISION:
        raise SchemaError(
            f"the database has schema {found}, this version knows {REVISION}: "
            "install the newer Watchkeeper, or restore a backup made by this one"
        )
    _upgrade(engine)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _upgrade(engine: Engine) -> None:
    from alembic import command  # 12 MB that only a change of schema needs
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect().execution_options(writing=True) as connection:
        config.attributes["connection"] = connection
        if sqlite:
            _set_foreign_keys(connection, on=False)  # tables are rebuilt; checked before the commit
        try:
            with connection.begin():
                if not sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(7726)"))
                command.upgrade(config, "head")
                if sqlite:
                    _tell_the_planner(connection)
                if sqlite and (broken := connection.exec_driver_sql("PRAGMA foreign_key_check").all()):
                    raise SchemaError(
                        f"the upgrade would leave {len(broken)} rows without their parent: not done"
                    )
        finally:
            if sqlite:
                _set_foreign_keys(connection, on=True)


def _set_foreign_keys(connection: Connection, *, on: bool) -> None:
    raw = connection.connection.dbapi_connection  # this pragma works only outside a transaction
    assert raw is not None
    raw.execute(f"PRAGMA foreign_keys = {'ON' if on else 'OFF'}")


def _tell_the_planner(connection: Connection) -> None:
    """How many rows a value has, index by index: SQLite guesses ten for a site, where it is nearly all of them."""
    connection.exec_driver_sql("ANALYZE")
    connection.exec_driver_sql("DELETE FROM sqlite_stat1")
    found = connection.exec_driver_sql(
        'SELECT t.name, i.name, i."unique", i.partial FROM sqlite_schema t JOIN pragma_index_list(t.name) i '
        "WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite%'"
    ).all()
    for table, index, unique, partial in found:
        columns = connection.exec_driver_sql(f"PRAGMA index_info({index})").all()
        rows = 50 if partial else 100_000  # of open orders and active alarms there are few
        told = [rows]
        for _, _, name in columns:
            told.append(max(1, told[-1] // (1 if name == "site" else 5 if name in _FEW else 1000)))
        if unique:
            told[-1] = 1
        row = (table, index, " ".join(map(str, told)))
        connection.exec_driver_sql("INSERT INTO sqlite_stat1 VALUES (?, ?, ?)", row)
    connection.exec_driver_sql("ANALYZE sqlite_schema")
