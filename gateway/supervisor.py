"""How the daemon and systemd talk: readiness, watchdog, the one lock, exit codes."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
from pathlib import Path
from types import TracebackType

EX_IOERR = 74  # the disk fails us: systemd starts us again
EX_TEMPFAIL = 75  # another daemon holds the state folder
EX_CONFIG = 78  # the site folder is wrong: starting again would not help


def notify(message: str) -> None:
    """Tell systemd (``READY=1``, ``WATCHDOG=1``, ``STOPPING=1`` …); nothing without it (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(address)
        sock.sendall(message.encode())


def watchdog_seconds() -> float | None:
    """How often systemd wants to hear from us (half its limit), None when it does not care."""
    limit = os.environ.get("WATCHDOG_USEC", "")
    return int(limit) / 2e6 if limit.isdigit() else None


def allow_many_files() -> None:
    """As many connections as the system lets us have: the usual 1 024 files are too few for as many devices."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class AlreadyRunningError(Exception):
    """Another process works on this state folder; the text names it."""


class StateLock:
    """Holds the state folder for one ``daemon``, or for its ``web`` pages, by flock: it goes with the process."""

    def __init__(self, folder: Path, who: str = "daemon") -> None:
        self._path, self._who = folder / f"{who}.lock", who

    def __enter__(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = self._path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            pid = self._file.read().strip() or "unknown"
            self._file.close()
            raise AlreadyRunningError(
                f"{self._path.parent} is in use by process {pid} ({self._who}); stop it first"
            ) from None
        self._file.truncate(0)
        self._file.write(str(os.getpid()))
        self._file.flush()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
