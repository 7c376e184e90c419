"""A real PostgreSQL of a test's own: it can be stopped, killed and started again."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

SETTINGS = ("listen_addresses=", "fsync=off")


class Postgres:
    """A server on a socket in a folder of its own; it refuses to run as root, so it doesn't."""

    def __init__(self, binaries: Path) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="wk-pg-"))  # short: a socket's path has its limits
        self._binaries = binaries
        self._as: list[str] = []
        if os.geteuid() == 0:
            user = pwd.getpwnam("postgres")
            os.chown(self.home, user.pw_uid, user.pw_gid)
            self._as = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        made = ["-D", self.home / "data", "-U", "watchkeeper", "-A", "trust", "-E", "UTF8", "--no-sync"]
        words = [*self._as, binaries / "initdb", *made]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, cwd=self.home)
        self._server: subprocess.Popen[bytes] | None = None

    def address(self, database: str) -> str:
        """Where a database of it is, running or not."""
        return f"postgresql://watchkeeper@/{database}?host={self.home}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = [f"--{setting}" for setting in (*SETTINGS, f"unix_socket_directories={self.home}")]
        command = [*self._as, self._binaries / "postgres", "-D", self.home / "data", *settings]
        self._server = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=self.home)
        ready = [self._binaries / "pg_isready", "-q", "-h", self.home, "-t", "30"]
        while subprocess.run(ready, check=False).returncode != 0:
            assert self._server.poll() is None, "PostgreSQL did not start"

    def create(self, database: str) -> None:
        """An empty database."""
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {database}")  # type: ignore[arg-type]

    def stop(self) -> None:
        """Stop it; it does not wait for whoever is still connected."""
        if self._server is not None:
            self._server.send_signal(signal.SIGINT)
            self._server.wait(30)
            self._server = None

    def remove(self) -> None:
        """Stop it and forget what it held."""
        self.stop()
        shutil.rmtree(self.home)
