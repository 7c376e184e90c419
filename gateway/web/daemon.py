"""The daemon as the pages see it: questions over its control socket, and one shared stream of live values."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

LONGEST_LINE = 16 << 20
PATIENCE = 5.0  # s, for one answer
RETRY = 2.0  # s, between attempts to reach a daemon that is away
MOST_LISTENERS = 100


class DaemonAwayError(Exception):
    """The daemon does not answer; pages say so and go on."""


class TooManyListenersError(Exception):
    """More live pages are open than this server feeds."""


class Daemon:
    """Asks the daemon behind the control socket at ``path``; each question is one connection."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def ask(self, op: str, **arguments: Any) -> Any:
        """The answer to ``{"op": op, …}``; raises DaemonAwayError."""
        try:
            async with asyncio.timeout(PATIENCE), self._asking(op, arguments) as reader:
                return _decode(await reader.readline())
        except (OSError, TimeoutError, ValueError) as error:
            raise DaemonAwayError(f"no answer on {self.path}: {error}") from error

    async def stream(self, op: str, **arguments: Any) -> AsyncIterator[dict[str, Any]]:
        """What a stream answers, up to the item that says ``done`` or ``error``; raises DaemonAwayError."""
        try:
            async with self._asking(op, arguments) as reader:
                while True:
                    item = _decode(await reader.readline())
                    yield item
                    if item.keys() & {"done", "error"}:
                        return
        except (OSError, ValueError) as error:
            raise DaemonAwayError(f"no answer on {self.path}: {error}") from error

    @contextlib.asynccontextmanager
    async def _asking(self, op: str, arguments: dict[str, Any]) -> AsyncIterator[asyncio.StreamReader]:
        reader, writer = await asyncio.open_unix_connection(self.path, limit=LONGEST_LINE)
        try:
            writer.write(json.dumps({"op": op, **arguments}).encode() + b"\n")
            await writer.drain()
            yield reader
        finally:
            writer.close()


def _decode(line: bytes) -> Any:
    if not line.endswith(b"\n"):
        raise OSError("the connection was closed")
    return json.loads(line)


class Mailbox:
    """What one page has not been sent yet; a slow page gets the newest values, never a backlog."""

    def __init__(self) -> None:
        self.online = False
        self._changed: dict[str, Any] = {}
        self._news = asyncio.Event()

    def put(self, changed: dict[str, Any], online: bool) -> None:
        self._changed.update(changed)
        self.online = online
        self._news.set()

    async def take(self) -> tuple[dict[str, Any], bool]:
        """The changed signals, and whether the daemon is there."""
        await self._news.wait()
        self._news.clear()
        changed, self._changed = self._changed, {}
        return changed, self.online


class LiveFeed:
    """One stream from the daemon for all open pages; it runs while somebody looks."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self._mailboxes: set[Mailbox] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def full(self) -> bool:
        """Whether one more page would be too many."""
        return len(self._mailboxes) >= MOST_LISTENERS

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[Mailbox]:
        """A mailbox that fills while the block runs; its first letter holds every signal's present value."""
        mailbox = Mailbox()
        self._mailboxes.add(mailbox)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="live feed")
        try:
            await self._greet(mailbox)
            yield mailbox
        finally:
            self._mailboxes.discard(mailbox)
            if not self._mailboxes and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _greet(self, mailbox: Mailbox) -> None:
        try:
            mailbox.put((await self.daemon.ask("live"))["signals"], online=True)
        except DaemonAwayError:
            mailbox.put({}, online=False)

    async def _run(self) -> None:
        while True:
            try:
                async for news in self.daemon.stream("watch"):
                    for mailbox in self._mailboxes:
                        mailbox.put(news["signals"], online=True)
            except DaemonAwayError:
                for mailbox in self._mailboxes:
                    mailbox.put({}, online=False)
            await asyncio.sleep(RETRY)
