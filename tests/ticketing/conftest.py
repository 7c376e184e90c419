"""The desk on both databases: SQLite in a file, and a real PostgreSQL started for the session."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest

from tests.ticketing.scene import ASSETS, BOTH
from ticketing import Desk


@pytest.fixture(scope="session")
def postgresql(part: Callable[[str], Path]) -> Iterator[str]:
    """The connection prefix of a PostgreSQL of our own; it refuses to run as root, so it doesn't."""
    home = Path(tempfile.mkdtemp(prefix="wk-pg-"))  # short: a socket's path has its limits
    as_user: list[str] = []
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(home, user.pw_uid, user.pw_gid)
        as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    binaries = part("postgresql").resolve().parent
    data = home / "data"
    initdb = [binaries / "initdb", "-D", data, "-U", "watchkeeper", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run([*as_user, *initdb], check=True, stdout=subprocess.DEVNULL, cwd=home)
    settings = ("listen_addresses=", f"unix_socket_directories={home}", "fsync=off")
    command = [*as_user, binaries / "postgres", "-D", data, *(f"--{setting}" for setting in settings)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=home)
    try:
        prefix = f"postgresql://watchkeeper@/%s?host={home}"
        ready = [binaries / "pg_isready", "-q", "-h", home, "-t", "30"]
        while subprocess.run(ready, check=False).returncode != 0:
            assert server.poll() is None, "PostgreSQL did not start"
        template = prefix % "template_desk"
        with psycopg.connect(prefix % "postgres", autocommit=True) as connection:
            connection.execute("CREATE DATABASE template_desk")
        Desk.open(template, site="demo").close()
        yield prefix
    finally:
        server.send_signal(signal.SIGINT)  # "fast": does not wait for whoever is still connected
        server.wait(30)
        shutil.rmtree(home)


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
