"""A plant of many cheap devices on Modbus TCP, for load: answers are slices of images made beforehand.

Not a plant of machines: each register swings evenly, moves every second, and repeats after 16 s, so the
server stays far cheaper than the client under test, and ``raw`` says what any answer must hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray

from simulators.modbus import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, WRITES, refusal
from simulators.process import opening, say, until_stopped

GENERATIONS = 16


def raw(device: int, registers: int, second: int, kind: Literal["u16", "f32"] = "u16") -> NDArray[np.float64]:
    """The values of a device (counted from 0) at a UTC second: one a register, or one each two for f32."""
    n = np.arange(registers if kind == "u16" else registers // 2)
    swing = np.sin(2 * np.pi * (second % GENERATIONS / GENERATIONS + (device + n) / 37))
    return np.asarray(np.rint(10_000 + n % 50 * 100 + 400 * swing), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Layout:
    """``devices`` spread evenly over ``ports``, unit ids from 1; a share of them is dead."""

    devices: int
    registers: int
    base_port: int
    ports: int = 1
    dead: float = 0.0
    kind: Literal["u16", "f32"] = "u16"
    host: str = "127.0.0.1"

    @property
    def per_port(self) -> int:
        return -(-self.devices // self.ports)

    def device(self, port: int, unit_id: int) -> int:
        """Which device answers on the ``port``-th port to a unit id; ids go round, so every one answers."""
        return (port * self.per_port + (unit_id - 1) % self.per_port) % self.devices

    def is_dead(self, device: int) -> bool:
        """Evenly spread: with 0.1 every tenth device, the tenth first."""
        return int((device + 1) * self.dead) > int(device * self.dead)


class Farm:
    """All devices; ``now`` holds each one's registers as bytes, None where it is dead."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.requests = 0
        self.writes = 0
        dtype = ">u2" if layout.kind == "u16" else ">f4"
        self._images = [
            [
                None
                if layout.is_dead(device)
                else raw(device, layout.registers, second, layout.kind).astype(dtype).tobytes()
                for device in range(layout.devices)
            ]
            for second in range(GENERATIONS)
        ]
        self.now = self._images[0]

    async def turn(self) -> None:
        """Show the next image at every full second, until cancelled."""
        while True:
            now = time.time()
            self.now = self._images[int(now) % GENERATIONS]
            await asyncio.sleep(1 - now % 1)


class Connection(asyncio.Protocol):
    """One client on the ``port``-th port."""

    def __init__(self, farm: Farm, port: int) -> None:
        self._farm = farm
        self._devices = [farm.layout.device(port, unit_id) for unit_id in range(256)]
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by inheritance

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        start, end = 0, len(data)
        while end - start >= 8:
            length = 6 + (data[start + 4] << 8 | data[start + 5])
            if length < 8 or length > 260:
                self._transport.close()
                return
            if end - start < length:
                break
            self._answer(data if length == end else data[start : start + length])
            start += length
        self._rest = data[start:]

    def _answer(self, request: bytes) -> None:
        farm = self._farm
        farm.requests += 1
        image = farm.now[self._devices[request[6]]]
        if image is None:
            return
        function = request[7]
        code = ILLEGAL_FUNCTION
        if (function == 4 or function == 3) and len(request) == 12:  # noqa: PLR1714 - the fast path
            address = request[8] << 8 | request[9]
            count = request[10] << 8 | request[11]
            part = image[2 * address : 2 * (address + count)]
            size = len(part)
            if size == 2 * count and 0 < size <= 250:
                head = bytes((0, size + 3, request[6], function, size))
                self._transport.write(request[:4] + head + part)
                return
            code = ILLEGAL_ADDRESS if 0 < count <= 125 else ILLEGAL_VALUE
        farm.writes += function in WRITES
        self._transport.write(request[:4] + bytes((0, 3, request[6])) + refusal(function, code))


async def serve(layout: Layout) -> dict[str, object]:
    """Serve until told to stop; what was asked and what it cost. OSError when a port is taken."""
    _allow_many_files()
    farm = Farm(layout)
    loop = asyncio.get_running_loop()
    turning = asyncio.create_task(farm.turn(), name="images")
    try:
        async with contextlib.AsyncExitStack() as servers:
            for number in range(layout.ports):
                port = layout.base_port + number
                with opening(port):
                    server = await loop.create_server(
                        partial(Connection, farm, number), layout.host, port, backlog=1024
                    )
                servers.callback(server.close)
            say(
                {
                    "ready": True,
                    "host": layout.host,
                    "base_port": layout.base_port,
                    "ports": layout.ports,
                    "units_per_port": layout.per_port,
                }
            )
            before = time.process_time()
            await until_stopped()
            cost = time.process_time() - before
    finally:
        turning.cancel()
    return {
        "requests": farm.requests,
        "writes": farm.writes,
        "cpu_s": round(cost, 3),
        "requests_per_cpu_s": round(farm.requests / cost) if cost else 0,
    }


def _allow_many_files() -> None:
    """As many connections as the system lets us have; the usual 1024 are too few for 2 000 devices."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
