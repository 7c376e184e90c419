"""A wire that carries one question and its answer at a time, over a socket or a serial port."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeAlias, cast

from devices.batch import DeviceError


class LineDownError(DeviceError):
    """The wire itself is gone: nothing on it can answer."""


class SilentError(DeviceError):
    """No answer in time."""


class GarbledError(DeviceError):
    """An answer came and cannot be read."""


GLITCH = 3  # so many odd bytes are what a transceiver makes when it turns round
_TICK = 0.001  # seconds: the loop's timers are no finer
Opener: TypeAlias = Callable[[asyncio.Protocol], Awaitable[None]]


class Wire(asyncio.Protocol):
    """One open line. A protocol's framing is a subclass: it asks by ``_exchange`` and answers by ``_settle``.

    Writing is possible only through the questions that a subclass knows. ``counts`` says what was odd.
    """

    def __init__(self, where: str, opener: Opener) -> None:
        self.where = where
        self.counts: Counter[str] = Counter()
        self.sent_at = 0.0  # monotonic seconds of the last question
        self._opener = opener
        self._transport: asyncio.Transport | None = None
        self._gone: asyncio.Future[None] | None = None  # until the last transport has said its last word
        self._waiting: asyncio.Future[bytes] | None = None  # of the newest question; done when nobody waits
        self._within = self._deadline = 0.0  # of that question: seconds, and when they are over
        self._alarm: asyncio.TimerHandle | None = None  # one for many questions
        self._alarm_at = math.inf

    @property
    def is_open(self) -> bool:
        """Is there something to talk through? A peer that hung up has closed the wire."""
        return self._transport is not None

    async def open(self) -> None:
        """Open the wire; raises LineDownError in one clear sentence."""
        self.close()
        if self._gone is not None:
            await self._gone
        try:
            await self._opener(self)
        except BaseException:
            self.close()
            raise
        if self._transport is None:
            raise LineDownError(f"{self.where} hung up at once")
        self.counts["opened"] += 1

    def close(self) -> None:
        """Close the wire; never raises."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The transport is there."""
        self._transport = cast(asyncio.Transport, transport)
        self._gone = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone: whoever waits for an answer hears it at once."""
        self._transport = None
        if self._gone is not None and not self._gone.done():
            self._gone.set_result(None)
        if (waiting := self._waited_for()) is not None:
            waiting.set_exception(LineDownError(f"{self.where} hung up" + (f": {exc}" if exc else "")))

    def _exchange(self, question: bytes, within: float) -> asyncio.Future[bytes]:
        """Write ``question``; what ``_settle`` is given for it, or SilentError after ``within`` seconds."""
        if self._transport is None:
            raise LineDownError(f"{self.where} is not open")
        self.sent_at = time.monotonic()
        self._transport.write(question)
        return self._answer(self.sent_at, within)

    def _answer(self, since: float, within: float) -> asyncio.Future[bytes]:
        if self._transport is None:
            raise LineDownError(f"{self.where} is not open")
        loop = asyncio.get_running_loop()
        self._waiting = waiting = loop.create_future()
        self._within, self._deadline = within, since + within
        if self._deadline < self._alarm_at:
            self._set_alarm(loop, within)
        return waiting

    def _waited_for(self) -> asyncio.Future[bytes] | None:
        """The open question, if there is one."""
        waiting = self._waiting
        return None if waiting is None or waiting.done() else waiting

    def _settle(self, answer: bytes) -> None:
        if (waiting := self._waited_for()) is not None:
            waiting.set_result(answer)

    def _spoil(self, why: str) -> None:
        self.counts["garbled"] += 1
        if (waiting := self._waited_for()) is not None:
            waiting.set_exception(GarbledError(why))

    def _set_alarm(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = self._deadline
        self._alarm = loop.call_later(seconds, self._expire, loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        self._alarm, self._alarm_at = None, math.inf
        if (waiting := self._waited_for()) is None:
            return
        if (early := self._deadline - time.monotonic()) > 0:
            self._set_alarm(loop, max(early, _TICK))
            return
        self.counts["timeouts"] += 1
        waiting.set_exception(SilentError(f"timeout after {self._within:.3g} s"))


class QuietWire(Wire):
    """A wire whose answers carry no number: silence before each question, quarantine after each fault.

    There a late answer looks like the next one's. After whatever went wrong the line therefore keeps silent
    for ``quarantine`` seconds, the longest that anything on it takes to answer, and what arrives is thrown away.
    """

    def __init__(self, where: str, opener: Opener, *, gap: float, quarantine: float) -> None:
        super().__init__(where, opener)
        self._gap = gap
        self._quarantine = quarantine
        self._quiet_until = 0.0
        self._last_byte = 0.0

    async def _converse(self, question: bytes, within: float, pause: float) -> bytes:
        """One question and its answer, after at least ``pause`` seconds of silence."""
        await self._silence(max(self._gap, pause))
        while self._pending():  # somebody began to talk just now: let it be heard, and wait again
            await asyncio.sleep(0.001)
            await self._silence(max(self._gap, pause))
        self._forget()
        try:
            return await self._exchange(question, within)
        except BaseException:  # cancelled too: the answer is still under way
            self._isolate()
            raise

    def _heeds(self, data: bytes) -> bool:
        """Does anybody wait for this? What nobody asked for isolates the line."""
        self._last_byte = time.monotonic()
        if self._waited_for() is not None:
            return True
        self.counts["strangers"] += 1
        if len(data) > GLITCH:  # a second master, or an answer sent twice
            self._isolate()
        return False

    def _pending(self) -> bool:
        look: Callable[[], bool] | None = getattr(self._transport, "pending", None)
        return look is not None and look()

    def _forget(self) -> None:
        """Throw away what has arrived."""

    def _isolate(self) -> None:
        now = time.monotonic()
        if now >= self._quiet_until:
            self.counts["quarantines"] += 1
        self._quiet_until = now + self._quarantine

    async def _silence(self, gap: float) -> None:
        """Wait until the line has been silent for ``gap`` seconds and its quarantine is over."""
        began = time.monotonic()
        while (wait := max(self._last_byte + gap, self._quiet_until) - (now := time.monotonic())) > 0:
            if now - began > 2 * self._quarantine + 1.0:
                raise GarbledError(f"{self.where} is never silent: a second master, or a stuck transmitter")
            await asyncio.sleep(wait)


def tcp_opener(host: str, port: int, timeout: float, settle: float = 0.0) -> Opener:
    """Opens a TCP connection; ``settle`` seconds are waited after it, for devices that need them."""

    async def connect(protocol: asyncio.Protocol) -> None:
        loop = asyncio.get_running_loop()
        where = f"{host}:{port}"
        try:
            async with asyncio.timeout(timeout):
                transport, _ = await loop.create_connection(lambda: protocol, host, port)
        except TimeoutError:
            raise LineDownError(f"cannot connect to {where}: no answer within {timeout:.3g} s") from None
        except OSError as error:
            raise LineDownError(f"cannot connect to {where}: {_reason(error)}") from error
        _notice_dead_peer(transport)
        if settle:
            await asyncio.sleep(settle)

    return connect


def _reason(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "connection refused (is the device on, and the port right?)"
    if isinstance(error, socket.gaierror):
        return "the host name is not known"
    return error.strerror or str(error)


def _notice_dead_peer(transport: asyncio.Transport) -> None:
    """Let the kernel end a connection whose other side is gone without a word: within about 25 s."""
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", 10),
        ("TCP_KEEPINTVL", 5),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", 20_000),
    ):
        with contextlib.suppress(OSError, AttributeError):  # not every platform has each
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
