"""The desk on both databases: SQLite in a file, and a real PostgreSQL started for the session."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.postgres import Postgres
from tests.ticketing.scene import ASSETS, BOTH
from ticketing import Desk


@pytest.fixture(scope="session")
def postgresql(part: Callable[[str], Path]) -> Iterator[str]:
    """The address of any database of a PostgreSQL of our own: ``% name``."""
    server = Postgres(part("postgresql").resolve().parent)
    server.start()
    try:
        server.create("template_desk")
        Desk.open(server.address("template_desk"), site="demo").close()
        yield server.address("%s")
    finally:
        server.remove()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "core.db"
    Desk.open(path, site="demo").close()
    return path


_names = count()


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty, migrated database: on SQLite its path, on PostgreSQL its URL."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "core.db")
        return str(tmp_path / "core.db")
    prefix = request.getfixturevalue("postgresql")
    name = f"desk_{next(_names)}"
    with psycopg.connect(prefix % "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template_desk")
    return prefix % name


@pytest.fixture
def desk(url: str) -> Iterator[Desk]:
    """A desk of site ``demo`` with four assets."""
    desk = Desk.open(url, site="demo")
    with desk.transaction() as tx:
        tx.sync_assets(ASSETS)
    yield desk
    desk.close()
