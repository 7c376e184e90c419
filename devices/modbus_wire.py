"""Modbus on a wire: MBAP frames on TCP. Everything but reading is refused here, below the drivers."""

from __future__ import annotations

import asyncio
import struct
import time
from typing import Protocol

from devices.modbus_pdu import is_reading
from devices.wire import Opener, Wire

_MBAP = struct.Struct(">HHHB")  # transaction, protocol 0, bytes that follow, unit


class NotReadingError(Exception):
    """Somebody asked us to write: our bug or an attack, never equipment. Nothing went onto the wire."""


class ModbusWire(Protocol):
    """What a Modbus driver needs of any framing."""

    sent_at: float

    async def ask(self, unit_id: int, pdu: bytes, within: float, pause: float = 0.0) -> bytes:
        """The answer PDU of ``unit_id`` (``within`` seconds); before it the line is silent for ``pause``."""
        ...


class TcpWire(Wire):
    """Modbus TCP. An answer counts only with the transaction id and unit of the one open question."""

    def __init__(self, where: str, opener: Opener) -> None:
        super().__init__(where, opener)
        self._transaction = 0
        self._unit_id = 0
        self._rest = b""
        self._last = 0.0

    async def ask(self, unit_id: int, pdu: bytes, within: float, pause: float = 0.0) -> bytes:
        """See ModbusWire."""
        refuse_writing(pdu)
        if pause and (early := self._last + pause - time.monotonic()) > 0:
            await asyncio.sleep(early)
        self._transaction = (self._transaction + 1) & 0xFFFF
        self._unit_id = unit_id
        return await self._exchange(_MBAP.pack(self._transaction, 0, len(pdu) + 1, unit_id) + pdu, within)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A new connection begins with an empty stream."""
        super().connection_made(transport)
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Take whole frames out of the stream; what nobody waits for is dropped and counted."""
        if self._rest:
            data = self._rest + data
        while len(data) >= 8:
            transaction, protocol, length, unit_id = _MBAP.unpack_from(data)
            if protocol or not 3 <= length <= 254:
                self._spoil(f"{self.where} does not speak Modbus TCP: {data[:8].hex(' ')}")
                self.close()  # there is no finding the next frame in a stream without marks
                return
            if len(data) < length + 6:
                break
            answer, data = data[7 : length + 6], data[length + 6 :]
            if self._waiting is None or transaction != self._transaction or unit_id != self._unit_id:
                self.counts["strangers"] += 1
            else:
                self._last = time.monotonic()
                self._settle(answer)
        self._rest = data


def refuse_writing(pdu: bytes) -> None:
    """Raises NotReadingError for every function but 1 to 4 and 43/14."""
    if not is_reading(pdu):
        raise NotReadingError(f"function code {pdu[0] if pdu else None} is not for reading; nothing was sent")
