"""The wires of these tests: pymodbus' server on loopback, pseudo-terminals, and an inbox for batches."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import SimDevice

from devices.batch import Batch
from devices.source import Source


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """Tests marked ``anyio`` run on both loops that the daemon may use."""
    return "asyncio", {"use_uvloop": request.param}


class Inbox:
    """An ``emit`` that keeps what it is given."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.room = True

    def __call__(self, batch: Batch, done: Callable[[], None] | None = None) -> bool:
        self.batches.append(batch)
        return self.room

    async def until(self, met: Callable[[list[Batch]], bool], within: float = 10.0) -> list[Batch]:
        """Wait until the batches are as wanted."""
        async with asyncio.timeout(within):
            while not met(self.batches):  # noqa: ASYNC110  # the condition is the test's own
                await asyncio.sleep(0.002)
        return self.batches

    async def wait(self, count: int, within: float = 10.0) -> list[Batch]:
        """Wait for so many batches."""
        return await self.until(lambda batches: len(batches) >= count, within)


@pytest.fixture
def inbox() -> Inbox:
    return Inbox()


class Plc(Protocol):
    def __call__(self, *devices: SimDevice, port: int = 0) -> AbstractAsyncContextManager[int]: ...


@pytest.fixture
def plc() -> Plc:
    """``async with plc(device, …) as port``: pymodbus' server; units that it does not have stay silent."""

    @asynccontextmanager
    async def serve(*devices: SimDevice, port: int = 0) -> AsyncIterator[int]:
        server = ModbusTcpServer(list(devices), address=("127.0.0.1", port), ignore_missing_devices=True)
        await server.serve_forever(background=True)
        try:
            yield server.transport.sockets[0].getsockname()[1]
        finally:
            await server.shutdown()

    return serve


@pytest.fixture
def running() -> Callable[[Source, Inbox], AbstractAsyncContextManager[None]]:
    """``async with running(source, inbox)``: the source runs inside; a fault of its own code shows."""

    @asynccontextmanager
    async def run(source: Source, inbox: Inbox) -> AsyncIterator[None]:
        task = asyncio.create_task(source.run(inbox))
        try:
            yield
            assert not task.done(), task.exception()
        finally:
            task.cancel()
            await asyncio.wait([task])

    return run
