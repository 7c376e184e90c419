"""The daemon's local socket: what the pages and the command line ask of a running daemon.

One JSON object a line, one answer a line; ``watch`` is answered by a stream. The socket lies in the state folder,
readable by the owner and the group only.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

Request = dict[str, Any]
Answer = Callable[[Request], Awaitable[Any]]
Stream = Callable[[Request], AsyncIterator[Any]]

_LINE = 64 * 1024  # the longest request


class ControlServer:
    """Serves the operations it is given; an unknown one is answered by an error and the list of known ones."""

    def __init__(self, path: Path, answers: dict[str, Answer], streams: dict[str, Stream]) -> None:
        self._path, self._answers, self._streams = path, answers, streams

    async def run(self) -> None:
        """Serve until cancelled."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()  # the state lock is ours, so this is a leftover
        server = await asyncio.start_unix_server(self._serve, self._path, limit=_LINE)
        os.chmod(self._path, 0o660)  # noqa: PTH101 - one call, once, before anybody knows the path
        try:
            async with server:
                await server.serve_forever()
        finally:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                await self._answer(line, writer)
        except (ConnectionError, ValueError):
            pass  # the peer went away, or sent a line without end
        finally:
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            request = json.loads(line)
            op = request["op"]
        except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError):
            await _send(writer, {"error": 'a JSON object with "op" would do'})
            return
        if op in self._streams:
            async for item in self._streams[op](request):
                await _send(writer, item)
        elif op in self._answers:
            try:
                await _send(writer, await self._answers[op](request))
            except (KeyError, TypeError, ValueError) as error:
                await _send(writer, {"error": f"{op}: {type(error).__name__} {error}"})
        else:
            known = ", ".join(sorted([*self._answers, *self._streams]))
            await _send(writer, {"error": f"unknown op {op!r}; known: {known}"})


async def _send(writer: asyncio.StreamWriter, item: Any) -> None:
    writer.write(json.dumps(item, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
    await writer.drain()


def stream(path: Path, request: Request, seconds: float = 60.0) -> Iterator[dict[str, Any]]:
    """What a stream answers, up to the item that says ``done`` or ``error``; OSError when no daemon answers."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(seconds)
        sock.connect(str(path))
        sock.sendall(json.dumps(request).encode() + b"\n")
        with sock.makefile("rb") as file:
            for line in file:
                item = json.loads(line)
                yield item
                if item.keys() & {"done", "error"}:
                    return


def ask(path: Path, request: Request, seconds: float = 5.0) -> Any:
    """One question from a thread or a command; OSError or ValueError when no daemon answers."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(seconds)
        sock.connect(str(path))
        sock.sendall(json.dumps(request).encode() + b"\n")
        with sock.makefile("rb") as file:
            return json.loads(file.readline())
