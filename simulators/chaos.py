"""A proxy that makes trouble between a client and a device: late, lost, cut, torn, doubled, wrong answers.

Requests pass; to each answer at most one trouble happens, drawn by seed. Troubles that no client could notice
are apart and off unless asked: ``flip_data`` turns a bit of a value on Modbus TCP, which has no checksum.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
import tty
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from random import Random
from typing import Literal

from simulators.modbus import crc16
from simulators.process import opening, say, until_stopped
from simulators.terminal import Terminal

Framing = Literal["tcp", "rtu"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Probability of each trouble per answer, 0 … 1, together at most 1; times in s."""

    delay: float = 0.0
    late: float = 0.0
    drop: float = 0.0
    cut: float = 0.0
    slice: float = 0.0
    repeat: float = 0.0
    flip: float = 0.0
    flip_data: float = 0.0
    swap: float = 0.0
    stranger: float = 0.0
    noise: float = 0.0
    collide: float = 0.0
    delay_seconds: float = 0.05  # at most
    late_seconds: float = 1.0  # more than the client's patience

    def __post_init__(self) -> None:
        chances = [getattr(self, name) for name in TROUBLES]
        if min(chances) < 0 or sum(chances) > 1 + 1e-9:  # sums of tenths
            raise ValueError("probabilities are 0 … 1 and together at most 1")


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes to pass on ``after`` s from now; then, if ``hang_up``, the connection is cut."""

    after: float
    data: bytes
    hang_up: bool = False


class Mischief:
    """What happens to the answers of one connection, one after the other. Pure but for its ``random``."""

    def __init__(self, trouble: Trouble, framing: Framing, random: Random, counts: Counter[str]) -> None:
        self._trouble = trouble
        self._framing = framing
        self._random = random
        self._counts = counts
        self._held = b""  # an answer waiting to be overtaken
        self._deeds: dict[str, Callable[[bytes], list[Send]]] = {
            name: getattr(self, f"_{name}") for name in TROUBLES
        }

    def treat(self, frame: bytes) -> list[Send]:
        """What becomes of one whole answer."""
        self._counts["answers"] += 1
        held, self._held = self._held, b""
        sends = self._befall(frame)
        if held:
            sends.append(Send(0, held))
        return sends

    def _befall(self, frame: bytes) -> list[Send]:
        dice = self._random.random()
        for name, deed in self._deeds.items():
            dice -= getattr(self._trouble, name)
            if dice < 0:
                self._counts[name] += 1
                return deed(frame)
        return [Send(0, frame)]

    def _delay(self, frame: bytes) -> list[Send]:
        return [Send(self._random.random() * self._trouble.delay_seconds, frame)]

    def _late(self, frame: bytes) -> list[Send]:
        return [Send(self._trouble.late_seconds, frame)]

    def _drop(self, _: bytes) -> list[Send]:
        return []

    def _cut(self, frame: bytes) -> list[Send]:
        return [Send(0, frame[: self._random.randrange(len(frame))], hang_up=True)]

    def _slice(self, frame: bytes) -> list[Send]:
        sends, after, start = [], 0.0, 0
        while start < len(frame):
            size = self._random.randint(1, 4)
            sends.append(Send(after, frame[start : start + size]))
            start += size
            after += self._random.uniform(0.0002, 0.001)
        return sends

    def _repeat(self, frame: bytes) -> list[Send]:
        return [Send(0, frame), Send(self._random.choice((0, 0.003)), frame)]

    def _flip(self, frame: bytes) -> list[Send]:
        # On TCP within what a client can check: transaction, protocol, length, unit, function, byte count.
        reach = len(frame) if self._framing == "rtu" else min(9, len(frame))
        return [Send(0, self._turned(frame, self._random.randrange(8 * reach)))]

    def _flip_data(self, frame: bytes) -> list[Send]:
        head = 3 if self._framing == "rtu" else 9
        if len(frame) <= head:
            return [Send(0, frame)]
        return [Send(0, self._turned(frame, self._random.randrange(8 * head, 8 * len(frame))))]

    @staticmethod
    def _turned(frame: bytes, bit: int) -> bytes:
        turned = bytearray(frame)
        turned[bit // 8] ^= 1 << bit % 8
        return bytes(turned)

    def _swap(self, frame: bytes) -> list[Send]:
        self._held = frame
        return []

    def _stranger(self, frame: bytes) -> list[Send]:
        """Somebody else's whole answer first: another unit's (RTU), another transaction's (TCP)."""
        if self._framing == "tcp":
            foreign = struct.pack(">H", (struct.unpack(">H", frame[:2])[0] + 7) & 0xFFFF) + frame[2:]
        else:
            body = bytes((frame[0] % 247 + 1,)) + frame[1:-2]
            foreign = body + struct.pack("<H", crc16(body))
        return [Send(0, foreign), Send(0.002, frame)]

    def _noise(self, frame: bytes) -> list[Send]:
        return [Send(0, self._random.randbytes(self._random.randint(1, 8)) + frame)]

    def _collide(self, frame: bytes) -> list[Send]:
        """Another master talked at the same time: both frames are spoilt."""
        other = self._random.randbytes(len(frame))
        return [Send(0, bytes(a & b for a, b in zip(frame, other, strict=True)))]


TROUBLES = tuple(field.name for field in fields(Trouble) if not field.name.endswith("_seconds"))


def split_tcp(buffer: bytes) -> tuple[list[bytes], bytes]:
    """Whole Modbus TCP frames, and the rest that is not one yet."""
    frames = []
    while len(buffer) >= 6 and len(buffer) >= (end := 6 + int.from_bytes(buffer[4:6], "big")):
        frames.append(buffer[:end])
        buffer = buffer[end:]
    return frames, buffer


def split_rtu(buffer: bytes) -> tuple[list[bytes], bytes]:
    """Whole answers on a serial line, and the rest; what is no known answer is one with all after it."""
    frames = []
    while len(buffer) >= 5:
        end = 5 if buffer[1] & 0x80 else 5 + buffer[2] if buffer[1] in {1, 2, 3, 4} else len(buffer)
        if len(buffer) < end:
            break
        frames.append(buffer[:end])
        buffer = buffer[end:]
    return frames, buffer


class TcpProxy:
    """Listens for clients and connects each to the device ``upstream`` (host, port)."""

    def __init__(self, upstream: tuple[str, int], trouble: Trouble, seed: int = 0) -> None:
        self.counts: Counter[str] = Counter()
        self._upstream = upstream
        self._trouble = trouble
        self._random = Random(seed)  # noqa: S311 - troubles by seed
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> int:
        """Listen; the port. OSError when it is taken."""
        with opening(port):
            self._server = await asyncio.start_server(self._connected, host, port)
        listening: int = self._server.sockets[0].getsockname()[1]
        return listening

    async def stop(self) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _connected(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self._writers.add(to_client)
        with contextlib.suppress(OSError):
            device, to_device = await asyncio.open_connection(*self._upstream)
            self._writers.add(to_device)
            requests = asyncio.create_task(self._pass(client, to_device), name="requests")
            await self._answers(device, to_client)
            requests.cancel()
            to_device.transport.abort()
            self._writers.discard(to_device)
        to_client.transport.abort()
        self._writers.discard(to_client)

    async def _pass(self, client: asyncio.StreamReader, to_device: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await client.read(65_536):
                to_device.write(data)
        to_device.transport.abort()

    async def _answers(self, device: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        mischief = Mischief(self._trouble, "tcp", self._random, self.counts)
        rest = b""
        while data := await device.read(65_536):
            frames, rest = split_tcp(rest + data)
            for frame in frames:
                for send in mischief.treat(frame):
                    _later(send, lambda send: _write(to_client, send))


def _later(send: Send, deliver: Callable[[Send], None]) -> None:
    if send.after:
        asyncio.get_running_loop().call_later(send.after, deliver, send)
    else:
        deliver(send)


def _write(writer: asyncio.StreamWriter, send: Send) -> None:
    if not writer.is_closing():
        writer.write(send.data)
        if send.hang_up:
            writer.close()


class RtuProxy:
    """Stands between the serial line ``upstream`` and a new one whose link a client opens."""

    def __init__(self, upstream: Path, trouble: Trouble, seed: int = 0) -> None:
        self.counts: Counter[str] = Counter()
        self._upstream = upstream
        random = Random(seed)  # noqa: S311 - troubles by seed
        self._mischief = Mischief(trouble, "rtu", random, self.counts)
        self._rest = b""

    def start(self, link: Path) -> None:
        """Open both lines. OSError when one cannot be had."""
        self._device = os.open(self._upstream, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._device)
        self._terminal = Terminal(link)
        self._terminal.listen(self._request)
        asyncio.get_running_loop().add_reader(self._device, self._answer)

    def stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._device)
        os.close(self._device)
        self._terminal.close()

    def _request(self, data: bytes) -> None:
        self._rest = b""  # the answer to an older request ends where a new one is asked
        with contextlib.suppress(OSError):  # the device has gone: nobody answers
            os.write(self._device, data)

    def _answer(self) -> None:
        try:
            data = os.read(self._device, 4096)
        except BlockingIOError:
            return
        except OSError:  # the device has gone, and its end stays readable for ever
            asyncio.get_running_loop().remove_reader(self._device)
            return
        frames, self._rest = split_rtu(self._rest + data)
        for frame in frames:
            for send in self._mischief.treat(frame):
                _later(send, lambda send: self._terminal.write(send.data))


async def serve_tcp(port: int, upstream: tuple[str, int], trouble: Trouble, seed: int) -> Counter[str]:
    """Proxy Modbus TCP until told to stop; the counts."""
    chaos = TcpProxy(upstream, trouble, seed)
    say({"ready": True, "listen": {"host": "127.0.0.1", "port": await chaos.start(port)}})
    await until_stopped()
    await chaos.stop()
    return chaos.counts


async def serve_rtu(link: Path, upstream: Path, trouble: Trouble, seed: int) -> Counter[str]:
    """Proxy a serial line until told to stop; the counts."""
    chaos = RtuProxy(upstream, trouble, seed)
    chaos.start(link)
    say({"ready": True, "listen": {"port": str(link)}})
    await until_stopped()
    chaos.stop()
    return chaos.counts
