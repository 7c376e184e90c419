"""What every polled driver promises, on its own wire: one suite for all of them. A new kind adds one line."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.batch import Reason, bad
from devices.kinds import KINDS, open_sources
from devices.modbus_frame import AsciiFraming, RtuFraming
from devices.source import Source

pytestmark = pytest.mark.anyio
LOST = bad(Reason.COMM_LOST)
TIMEOUT = 0.1


def registers(pdu: bytes, number: int) -> bytes:
    """As many registers as the question wants, each with ``number``."""
    count = int.from_bytes(pdu[3:5])
    return struct.pack(f">BB{count}H", pdu[0], 2 * count, *[number] * count)


def mbap(question: bytes, number: int) -> bytes:
    pdu = registers(question[7:], number)
    return question[:4] + struct.pack(">HB", len(pdu) + 1, question[6]) + pdu


def rtu(question: bytes, number: int) -> bytes:
    return RtuFraming().wrap(question[0], registers(question[1:], number))


def ascii_frame(question: bytes, number: int) -> bytes:
    pdu = bytes.fromhex(question[3:-4].decode())
    return AsciiFraming().wrap(int(question[1:3], 16), registers(pdu, number))


def text(question: bytes, number: int) -> bytes:
    assert question == b"?\n"
    return b"v=%d\r\n" % number


MODBUS = {"unit_id": 7, "points": {"m/v": {"address": 9}}}
TEXT = {"request": "?\n", "terminator": "\r\n", "pattern": r"v=(?P<v>\d+)", "points": {"m/v": {"field": "v"}}}
SPEAKERS: dict[str, tuple[Callable[[bytes, int], bytes], dict[str, Any]]] = {
    "modbus-tcp": (mbap, MODBUS),
    "modbus-rtu": (rtu, MODBUS),
    "modbus-ascii": (ascii_frame, MODBUS),
    "modbus-rtu-tcp": (rtu, MODBUS),
    "serial-ascii": (text, TEXT),
    "tcp-ascii": (text, TEXT),
}


@dataclass
class Far:
    """The device at the other end: answers each question with the question's number."""

    speak: Callable[[bytes, int], bytes]
    asked: int = 0
    dead: bool = False
    delay: Callable[[int], float] = lambda _: 0.0
    sent_late: set[int] = field(default_factory=set)

    def heard(self, question: bytes, say: Callable[[bytes], None]) -> None:
        self.asked += 1
        if self.dead:
            return
        delay = self.delay(self.asked)
        if delay > TIMEOUT:
            self.sent_late.add(self.asked)
        asyncio.get_running_loop().call_later(delay, say, self.speak(question, self.asked))


class Server(asyncio.Protocol):
    def __init__(self, far: Far) -> None:
        self._far = far

    def connection_made(self, transport: Any) -> None:
        self._say = transport.write

    def data_received(self, data: bytes) -> None:
        self._far.heard(data, self._say)


@pytest.fixture(params=sorted(SPEAKERS))
async def stand(request: pytest.FixtureRequest, pty: Any) -> AsyncIterator[tuple[Far, Source]]:
    kind = request.param
    speak, device = SPEAKERS[kind]
    far = Far(speak)
    server = await asyncio.get_running_loop().create_server(lambda: Server(far), "127.0.0.1", 0)
    pty.hear = lambda data: far.heard(data, pty.say)
    host, port = server.sockets[0].getsockname()
    line = {"kind": kind} | ({"host": host, "port": port} if "tcp" in kind else {"port": pty.path})
    common = {
        "line": "l",
        "period": timedelta(seconds=0.06),
        "timeout": timedelta(seconds=TIMEOUT),
        "retries": 0,
    }
    forms = KINDS[kind]
    [source] = open_sources(
        {"l": forms.line.model_validate(line)}, {"dev": forms.device.model_validate(common | device)}
    )
    yield far, source
    server.close()


def test_every_polled_kind_is_here(anyio_backend: Any) -> None:
    assert set(SPEAKERS) == set(KINDS) - {"mqtt", "sparkplug"}  # these speak by themselves


async def test_it_reads_and_says_that_it_is_online(stand: Any, inbox: Any, running: Any) -> None:
    far, source = stand
    async with running(source, inbox):
        await inbox.wait(3)
    assert inbox.batches[0].signals.names == ("m/v", "dev/online")
    assert [batch.values.tolist() for batch in inbox.batches[:3]] == [[1.0, 1.0], [2.0, 1.0], [3.0, 1.0]]
    assert all(batch.quality.tolist() == [0, 0] and batch.time <= batch.arrival for batch in inbox.batches)
    tally = source.status().devices[0].tally
    assert tally.read == far.asked == len(inbox.batches)
    assert tally.latency is not None


async def test_an_outage_is_two_log_lines_and_every_slot_has_its_batch(
    stand: Any, inbox: Any, running: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    far, source = stand
    async with running(source, inbox):
        await inbox.wait(2)
        far.dead = True
        await inbox.until(lambda _: source.status().devices[0].state == "parked")
        assert inbox.batches[-1].quality.tolist() == [LOST, 0]
        assert np.isnan(inbox.batches[-1].values[0])
        assert inbox.batches[-1].values[1] == 0.0
        assert "timeout after 0.1" in source.status().devices[0].detail
        far.dead = False
        await inbox.until(lambda batches: batches[-1].quality.tolist() == [0, 0])
        await inbox.until(lambda _: len([m for m in caplog.messages if "back" in m]) == 1)
    lost, back = [m for m in caplog.messages if m.startswith("dev ")]
    assert lost.startswith("dev stopped answering: timeout after 0.1")
    assert back.startswith("dev is back after ")
    tally = source.status().devices[0].tally
    assert tally.expected == tally.read + tally.failed + sum(tally.skipped.values())
    assert len(inbox.batches) == tally.read + tally.failed


async def test_a_late_answer_is_never_a_value(stand: Any, inbox: Any, running: Any) -> None:
    far, source = stand
    far.delay = lambda number: 1.6 * TIMEOUT if number % 4 == 0 else 0.0
    async with running(source, inbox):
        await inbox.until(lambda _: len(far.sent_late) >= 3, within=20)
        far.delay = lambda _: 0.0
        await inbox.wait(len(inbox.batches) + 3)
    read = [batch.values[0] for batch in inbox.batches if batch.quality[0] == 0]
    assert not far.sent_late.intersection(read)
    assert read == sorted(read)


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_stopping_gives_back_what_it_opened(stand: Any, inbox: Any, running: Any) -> None:
    _, source = stand
    before = descriptors()
    for _ in range(3):
        async with running(source, inbox):
            await inbox.wait(len(inbox.batches) + 2)
    async with asyncio.timeout(5):
        while descriptors() > before:  # the far end closes in its own time
            await asyncio.sleep(0.01)
