"""The wires of these tests: pymodbus' server on loopback, pseudo-terminals, and an inbox for batches."""

from __future__ import annotations

import asyncio
import os
import struct
import time
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import SimDevice

from devices.batch import Batch
from devices.modbus_frame import crc16
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

    async def until(self, met: Callable[[list[Batch]], bool], within: float = 60.0) -> list[Batch]:
        """Wait until the batches are as wanted."""
        async with asyncio.timeout(within):
            while not met(self.batches):  # the condition is the test's own
                await asyncio.sleep(0.002)
        return self.batches

    async def wait(self, count: int, within: float = 60.0) -> list[Batch]:
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


def register(unit_id: int, address: int) -> int:
    """What every test unit holds: a value that tells which unit and register it came from."""
    return (unit_id * 4099 + address * 257 + 17) & 0xFFFF


class Pty:
    """The far end of a pseudo-terminal; ``path`` is the near end, to be opened like any serial port."""

    def __init__(self) -> None:
        self.master, self._slave = os.openpty()
        tty.setraw(self.master)
        tty.setraw(self._slave)
        self.path = os.ttyname(self._slave)
        self.hear: Callable[[bytes], None] = lambda _: None
        os.set_blocking(self.master, False)
        asyncio.get_running_loop().add_reader(self.master, lambda: self.hear(os.read(self.master, 4096)))

    def say(self, data: bytes) -> None:
        """Bytes onto the line, from whoever."""
        if self.master >= 0:
            os.write(self.master, data)

    def unplug(self) -> None:
        """The adapter is gone."""
        if self.master >= 0:
            asyncio.get_running_loop().remove_reader(self.master)
            os.close(self.master)
            os.close(self._slave)
            self.master = -1


class RtuBus(Pty):
    """Modbus units on a pseudo-terminal, with faults on request.

    ``dead`` units are silent, ``forbidden`` addresses are refused. ``meddle(answer)`` may return
    ``[(delay, bytes), …]`` instead of the answer. ``char`` is the time of one character in seconds, which the
    pseudo-terminal itself does not take.
    """

    def __init__(self) -> None:
        super().__init__()
        self.dead: set[int] = set()
        self.forbidden: set[int] = set()
        self.char = 0.0
        self.hold = register
        self.meddle: Callable[[bytes], list[tuple[float, bytes]]] = lambda answer: [(0.0, answer)]
        self.requests: list[tuple[float, int, int, int, int]] = []  # time, unit, code, start, count
        self._heard = bytearray()
        self.hear = self._listen

    def _listen(self, data: bytes) -> None:
        self._heard += data
        while len(self._heard) >= 8:
            question, self._heard = bytes(self._heard[:8]), self._heard[8:]
            assert crc16(question) == 0, f"no request: {question.hex(' ')}"
            self._answer(question)

    def _answer(self, question: bytes) -> None:
        unit_id, code, start, count = struct.unpack(">BBHH", question[:6])
        self.requests.append((time.monotonic(), unit_id, code, start, count))
        if unit_id in self.dead:
            return
        if self.forbidden.intersection(range(start, start + count)):
            body = bytes((unit_id, code | 0x80, 2))
        else:
            numbers = [self.hold(unit_id, address) for address in range(start, start + count)]
            body = struct.pack(f">BBB{count}H", unit_id, code, 2 * count, *numbers)
        answer = body + crc16(body).to_bytes(2, "little")
        wire_time = self.char * (8 + len(answer))
        for delay, data in self.meddle(answer):
            asyncio.get_running_loop().call_later(delay + wire_time, self.say, data)


@pytest.fixture
async def bus(anyio_backend: object) -> AsyncIterator[RtuBus]:
    bus = RtuBus()
    yield bus
    bus.unplug()


@pytest.fixture
async def pty(anyio_backend: object) -> AsyncIterator[Pty]:
    pty = Pty()
    yield pty
    pty.unplug()
