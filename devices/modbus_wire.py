"""Modbus on a wire: TCP, and shared lines (RTU, ASCII). Whatever is not reading is refused here."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import time
from collections import deque
from collections.abc import Awaitable
from typing import Protocol

from devices.modbus_frame import Frame
from devices.modbus_pdu import expected_size, is_reading
from devices.wire import GLITCH, GarbledError, Opener, QuietWire, SilentError, Wire

_TWICE = 0.1  # seconds in which an answer may come a second time
_TRAILING = 0.01  # seconds in which a lost answer may follow the one that proves us in step again
_REPEATABLE = 4  # answers of a unit that are remembered for it
_LONGEST_QUARANTINE = 10.0  # seconds
_LONGEST_STRAY = 600  # bytes that nobody asked for, and that are looked through for an answer
_FORGOTTEN = 60.0  # seconds after which an answer that never came will not come any more
STRIDE = 0xFF67  # between transactions: up to 64 apart their numbers differ in four bits or more
_MBAP = struct.Struct(">HHHB")  # transaction, protocol 0, bytes that follow, unit


class NotReadingError(Exception):
    """Somebody asked us to write: our bug or an attack, never equipment. Nothing went onto the wire."""


class ModbusWire(Protocol):
    """What a Modbus driver needs of any framing."""

    where: str
    sent_at: float

    def ask(self, unit_id: int, pdu: bytes, within: float, pause: float = 0.0) -> Awaitable[bytes]:
        """The answer PDU of ``unit_id`` (``within`` seconds); before it the line is silent for ``pause``."""
        ...


class TcpWire(Wire):
    """Modbus TCP. An answer counts only with the transaction id and unit of the one open question.

    Ids that follow each other are far apart in bits, so that a late answer with a flipped bit is still a stranger.
    """

    def __init__(self, where: str, opener: Opener) -> None:
        super().__init__(where, opener)
        self._transaction = 0
        self._unit_id = 0
        self._rest = b""
        self._last = 0.0

    def ask(self, unit_id: int, pdu: bytes, within: float, pause: float = 0.0) -> Awaitable[bytes]:
        """See ModbusWire."""
        refuse_writing(pdu)
        if pause and (early := self._last + pause - time.monotonic()) > 0:
            return self._ask_later(early, unit_id, pdu, within)
        return self._ask(unit_id, pdu, within)

    async def _ask_later(self, early: float, unit_id: int, pdu: bytes, within: float) -> bytes:
        await asyncio.sleep(early)
        return await self._ask(unit_id, pdu, within)

    def _ask(self, unit_id: int, pdu: bytes, within: float) -> asyncio.Future[bytes]:
        self._transaction = (self._transaction + STRIDE) & 0xFFFF
        self._unit_id = unit_id
        return self._exchange(_MBAP.pack(self._transaction, 0, len(pdu) + 1, unit_id) + pdu, within)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A new connection begins with an empty stream."""
        super().connection_made(transport)
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Take whole frames out of the stream; what nobody waits for is dropped and counted."""
        if self._rest:
            data = self._rest + data
        answer = None
        while len(data) >= 8:
            transaction, protocol, length, unit_id = _MBAP.unpack_from(data)
            if protocol or not 3 <= length <= 254:
                self._hang_up(f"{self.where} does not speak Modbus TCP: {data[:8].hex(' ')}")
                return
            if len(data) < length + 6:
                break
            if transaction != self._transaction or unit_id != self._unit_id or self._waited_for() is None:
                self.counts["strangers"] += 1
            else:
                answer = data[7 : length + 6]
            data = data[length + 6 :]
        self._rest = data
        if answer is not None:
            if data:
                self._hang_up(f"{self.where} sends frames that overlap")
                return
            self._last = time.monotonic()
            self._settle(answer)

    def _hang_up(self, why: str) -> None:
        self._spoil(why)
        self.close()  # there is no finding the next frame in a stream without marks


class Framing(Protocol):
    """How PDUs are wrapped on a line where everybody hears everybody and frames have no number."""

    def wrap(self, unit_id: int, pdu: bytes) -> bytes:
        """The frame that carries ``pdu``."""
        ...

    def characters(self, size: int) -> int:
        """Characters of a frame around a PDU of ``size`` bytes."""
        ...

    def take(self, buffer: bytearray) -> Frame | None:
        """Cut the first whole frame out of ``buffer``; None while more is needed, GarbledError if hopeless."""
        ...


class SharedWire(QuietWire):
    """Modbus RTU or ASCII, where frames carry no number and everybody hears everybody."""

    def __init__(
        self, where: str, opener: Opener, framing: Framing, *, gap: float, char: float, quarantine: float
    ) -> None:
        super().__init__(where, opener, gap=gap, quarantine=quarantine)
        self._framing = framing
        self._char = char
        self._buffer = bytearray()
        self._unit_id = 0
        self._code = 0
        self._size = 0
        self._before: dict[int, deque[tuple[bytes, float]]] = {}  # unit: its last answers, and when
        self._known: dict[bytes, bytes] = {}  # each question's last answer
        self._lost: dict[int, dict[int, float]] = {}  # unit: sizes of answers that never came, and since when

    async def ask(self, unit_id: int, pdu: bytes, within: float, pause: float = 0.0) -> bytes:
        """See ModbusWire. ``within`` counts from the end of the question, whatever the baud rate.

        What tells answers apart is their size. So after a failure the unit is first asked for another size; and
        an answer that equals one just before it, and not this question's own last one, may be that one again:
        it counts as lost and is asked for anew.
        """
        refuse_writing(pdu)
        question = bytes((unit_id,)) + pdu
        answer = await self._surely(unit_id, pdu, within, pause)
        before = self._before.setdefault(unit_id, deque(maxlen=_REPEATABLE))
        twice = any(answer == old and self.sent_at - when < _TWICE for old, when in before)
        if twice and len(answer) > 2 and self._known.get(question) != answer:  # refusals are all alike
            self.counts["doubtful"] += 1
            self._miss(unit_id)
            answer = await self._surely(unit_id, pdu, within, max(pause, _TRAILING))
        before.append((answer, time.monotonic()))
        self._known[question] = answer
        return answer

    async def _surely(self, unit_id: int, pdu: bytes, within: float, pause: float) -> bytes:
        if (lost := self._lost.get(unit_id)) and (other := _distinct(pdu, _recent(lost))):
            await self._answered(unit_id, other, within, pause)
            pause = max(pause, _TRAILING)
        return await self._answered(unit_id, pdu, within, pause)

    def _miss(self, unit_id: int) -> None:
        self._lost.setdefault(unit_id, {})[self._size] = time.monotonic()

    async def _answered(self, unit_id: int, pdu: bytes, within: float, pause: float) -> bytes:
        self._unit_id, self._code, self._size = unit_id, pdu[0], expected_size(pdu)
        characters = self._framing.characters(len(pdu)) + self._framing.characters(self._size)
        question = self._framing.wrap(unit_id, pdu)
        try:
            answer = await self._converse(question, within + characters * self._char, pause)
        except BaseException as error:  # cancelled too: the answer is still under way
            self._miss(unit_id)
            if isinstance(error, SilentError) and self._buffer:
                self.counts["garbled"] += 1
                heard = f"{len(self._buffer)} bytes that are no answer ({bytes(self._buffer[:8]).hex(' ')})"
                raise GarbledError(f"{heard}: noise, or baud rate or parity wrong") from None
            raise
        self._lost.pop(unit_id, None)
        return answer

    def data_received(self, data: bytes) -> None:
        """Collect the answer."""
        if not self._heeds(data):
            self._overhear(data)
            return
        self._buffer += data
        try:
            while (frame := self._framing.take(self._buffer)) is not None:
                if self._answers(frame):
                    self._accept(frame.pdu)
                    return
                self.counts["strangers"] += 1
                self._learn_lateness(frame)
        except GarbledError as error:
            self._spoil(str(error))

    def _overhear(self, data: bytes) -> None:
        """Nobody waits for this; is it a lost answer?"""
        self._buffer += data
        if len(self._buffer) > _LONGEST_STRAY:
            self._buffer.clear()
        with contextlib.suppress(GarbledError):
            while (frame := self._framing.take(self._buffer)) is not None:
                self._learn_lateness(frame)

    def _learn_lateness(self, frame: Frame) -> None:
        """A lost answer that comes after its quarantine is later than was promised: the next quarantine is longer."""
        lost_at = self._lost.get(frame.unit_id, {}).get(len(frame.pdu))
        if lost_at is None or (late := time.monotonic() - lost_at) <= self._quarantine:
            return
        self.counts["later_than_promised"] += 1
        self._quarantine = min(_LONGEST_QUARANTINE, 1.5 * late)

    def _forget(self) -> None:
        self._buffer.clear()

    def _answers(self, frame: Frame) -> bool:
        unit_id, pdu = frame
        if unit_id != self._unit_id or pdu[0] & 0x7F != self._code:
            return False
        return bool(pdu[0] & 0x80) or len(pdu) == self._size or self._code > 4

    def _accept(self, pdu: bytes) -> None:
        if len(self._buffer) > GLITCH:
            self._spoil("more than one answer to one question")
        else:
            self._settle(pdu)


def refuse_writing(pdu: bytes) -> None:
    """Raises NotReadingError for every function but 1 to 4 and 43/14."""
    if not is_reading(pdu):
        raise NotReadingError(f"function code {pdu[0] if pdu else None} is not for reading; nothing was sent")


def _recent(lost: dict[int, float]) -> set[int]:
    now = time.monotonic()
    return {size for size, since in lost.items() if now - since < _FORGOTTEN}


def _distinct(pdu: bytes, sizes: set[int]) -> bytes | None:
    """The question ``pdu`` for fewer or a few more addresses, with an answer of none of ``sizes`` nor its own.

    None if ``pdu`` cannot be mistaken itself, or nothing suits.
    """
    if pdu[0] > 4 or expected_size(pdu) not in sizes:
        return None
    count = int.from_bytes(pdu[3:5])
    step = 8 if pdu[0] < 3 else 1
    for other in (*range(count - step, 0, -step), *range(count + step, min(125, count + 8 * step) + 1, step)):
        candidate: bytes = pdu[:3] + other.to_bytes(2)
        if expected_size(candidate) not in sizes | {expected_size(pdu)}:
            return candidate
    return None
