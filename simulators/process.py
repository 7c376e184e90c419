"""A process of the test stand: says one line of JSON when ready, obeys standard input, ends on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping

Obey = Callable[[str], Mapping[str, object]]


def say(answer: Mapping[str, object]) -> None:
    """One line of JSON on standard output; a reader that has gone is not our trouble."""
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


@contextlib.contextmanager
def opening(port: int) -> Iterator[None]:
    """Say which port it was when it cannot be had."""
    try:
        yield
    except OSError as error:
        raise OSError(f"port {port} cannot be had: {os.strerror(error.errno or 0)}") from error


async def until_stopped(obey: Obey | None = None, *, until_eof: bool = False) -> None:
    """Wait for SIGTERM, SIGINT or, if asked, the end of standard input; answer each line of it meanwhile."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if obey is not None:
        _listen(obey, stopped.set if until_eof else lambda: None)
    await stopped.wait()


def _listen(obey: Obey, at_end: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    pending = b""

    def readable() -> None:
        nonlocal pending
        data = os.read(0, 65_536)
        if not data:
            loop.remove_reader(0)
            at_end()
            return
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            if line.strip():
                say(obey(line.decode(errors="replace")))

    try:
        loop.add_reader(0, readable)
    except OSError:  # closed, or a file: then nobody commands
        at_end()
