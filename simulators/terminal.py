"""A pseudo-terminal as a serial line: the stand holds one end, a client opens the other by a link."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import termios
import tty
from collections.abc import Callable
from pathlib import Path

_SPEEDS = {
    getattr(termios, name): int(name[1:]) for name in dir(termios) if name[0] == "B" and name[1:].isdigit()
}


class Terminal:
    """One end of a line; ``link`` is the other, for pyserial to open at any speed.

    With ``baud`` the line keeps wire time (11 bits a character) and a client at another speed gets
    garbage, as it would from a real instrument; without, answers are at once.
    """

    def __init__(self, link: Path, baud: int | None = None) -> None:
        self.link = link
        self._baud = baud
        self._garbage = random.Random(0)  # noqa: S311 - noise on a wire
        # Our own hold on the far end keeps the line up while no client has it open.
        self._near, self._far = os.openpty()
        tty.setraw(self._far)
        os.set_blocking(self._near, False)
        try:
            _point(link, os.ttyname(self._far))
        except OSError:
            self._close_ends()
            raise

    def listen(self, received: Callable[[bytes], None]) -> None:
        """Call ``received`` in the running loop with whatever the client writes."""

        def readable() -> None:
            with contextlib.suppress(BlockingIOError):
                received(os.read(self._near, 4096))

        asyncio.get_running_loop().add_reader(self._near, readable)

    def reply(self, data: bytes, request_length: int = 0, delay: float = 0.0) -> None:
        """Answer after ``delay`` s and, with ``baud``, after request, silence and answer had their time."""
        if self._baud:
            if self._client_baud() != self._baud:
                data = self._garbage.randbytes(len(data))
            delay += (request_length + 3.5 + len(data)) * 11 / self._baud
        if delay:
            asyncio.get_running_loop().call_later(delay, self.write, data)
        else:
            self.write(data)

    def write(self, data: bytes) -> None:
        """Put bytes on the wire; what nobody reads is lost, as on a wire."""
        if self._near >= 0:
            with contextlib.suppress(BlockingIOError):
                os.write(self._near, data)

    def close(self) -> None:
        """Take the line and its link away."""
        with contextlib.suppress(RuntimeError):  # no loop is running any more
            asyncio.get_running_loop().remove_reader(self._near)
        if self.link.is_symlink() and str(self.link.readlink()) == os.ttyname(self._far):
            self.link.unlink()
        self._close_ends()

    def _client_baud(self) -> int:
        return _SPEEDS.get(termios.tcgetattr(self._far)[5], 0)

    def _close_ends(self) -> None:
        os.close(self._near)
        os.close(self._far)
        self._near = self._far = -1


def _point(link: Path, target: str) -> None:
    """Make the link, in place of a stale one; a file of another kind is not ours to replace."""
    if link.is_symlink():
        link.unlink()
    elif link.exists():
        raise FileExistsError(f"{link} exists and is not a link")
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
