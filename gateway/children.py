"""The processes of a demo: started by fixed words, watched, and ended together."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO


class ChildFailedError(Exception):
    """A part of the demo did not start or has ended; the text says which, and the end of what it said."""


class Child:
    """One process; its words go to ``log``."""

    def __init__(self, name: str, arguments: list[str], log: Path, *, talks: bool = False) -> None:
        self.name, self._log = name, log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else out,
                stderr=out,
                text=True,
            )

    @property
    def stdin(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def check(self) -> None:
        """Raises ChildFailedError if the process has ended."""
        code = self._process.poll()
        if code is not None:
            tail = self._log.read_text(errors="replace").strip().splitlines()[-3:]
            raise ChildFailedError(
                f"the {self.name} ended with code {code}: {' | '.join(tail) or 'it said nothing'}"
            )

    def until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait for ``ready``; raises ChildFailedError when the process ends before, or the time is up."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ChildFailedError(
                    f"the {self.name} was not ready within {seconds:.0f} s; its log is {self._log}"
                )
            time.sleep(0.05)

    def finish(self, seconds: float) -> None:
        """Wait for its own end; raises ChildFailedError if that is not a good one."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._process.wait(seconds) == 0:
                return
        self.check()
        raise ChildFailedError(f"the {self.name} did not end within {seconds:.0f} s")

    def end(self) -> None:
        """Ask it to stop, and make it after 10 s."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


@contextlib.contextmanager
def child(name: str, arguments: list[str], log: Path, *, talks: bool = False) -> Iterator[Child]:
    """A process for the length of a block."""
    process = Child(name, arguments, log, talks=talks)
    try:
        yield process
    finally:
        process.end()


def free_port(usual: int) -> int:
    """``usual`` if nobody listens there, else one that is free."""
    for port in (usual, 0):
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(sock.getsockname()[1])
    raise ChildFailedError("no TCP port is free on 127.0.0.1")


def answers(port: int) -> bool:
    """Whether something accepts connections on the port."""
    with socket.socket() as sock:
        sock.settimeout(0.2)
        return sock.connect_ex(("127.0.0.1", port)) == 0
