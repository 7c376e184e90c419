"""Modbus RTU and ASCII frames. Pure."""

from __future__ import annotations

import binascii
from typing import NamedTuple

from devices.modbus_pdu import answer_size
from devices.wire import GarbledError

_NOISE = 3  # odd bytes before a frame that a transceiver may make when it turns round
_LONGEST_ASCII = 513


class Frame(NamedTuple):
    """A whole frame whose checksum is right."""

    unit_id: int
    pdu: bytes


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
        table.append(crc)
    return tuple(table)


_CRC = _crc_table()


def crc16(data: bytes | bytearray | memoryview) -> int:
    """CRC-16/MODBUS; it goes onto the wire low byte first."""
    crc = 0xFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    return crc


class RtuFraming:
    """Unit, PDU, CRC; where a frame ends is known from its own length."""

    def wrap(self, unit_id: int, pdu: bytes) -> bytes:
        """See Framing."""
        frame = bytes((unit_id,)) + pdu
        return frame + crc16(frame).to_bytes(2, "little")

    def characters(self, size: int) -> int:
        """See Framing."""
        return size + 3

    def take(self, buffer: bytearray) -> Frame | None:
        """See Framing; up to three odd bytes before a frame are passed over."""
        view = bytes(buffer)
        waiting = not view
        for start in range(min(_NOISE + 1, len(view))):
            size = answer_size(view[start + 1 :])
            if size is None or (size and len(view) < start + size + 3):
                waiting = True
            elif size and crc16(view[start : start + size + 3]) == 0:  # a CRC over itself is zero
                del buffer[: start + size + 3]
                return Frame(view[start], view[start + 1 : start + 1 + size])
        if waiting:
            return None
        raise GarbledError(f"checksum wrong ({view[:8].hex(' ')}): noise, or baud rate or parity wrong")


class AsciiFraming:
    """A colon, hexadecimal digits with an LRC, CR LF."""

    def wrap(self, unit_id: int, pdu: bytes) -> bytes:
        """See Framing."""
        frame = bytes((unit_id,)) + pdu
        return b":" + (frame + bytes((-sum(frame) & 0xFF,))).hex().upper().encode() + b"\r\n"

    def characters(self, size: int) -> int:
        """See Framing."""
        return 2 * (size + 2) + 3

    def take(self, buffer: bytearray) -> Frame | None:
        """See Framing; what stands before the colon is passed over."""
        end = buffer.find(b"\r\n")
        if end < 0:
            if len(buffer) > _LONGEST_ASCII:
                raise GarbledError("an answer without end")
            return None
        text = bytes(buffer[buffer.rfind(b":", 0, end) + 1 : end])
        del buffer[: end + 2]
        try:
            frame = binascii.unhexlify(text)
        except binascii.Error:
            frame = b""
        if len(frame) < 4 or sum(frame) & 0xFF:
            raise GarbledError(f"checksum wrong ({text[:16]!r}): noise, or baud rate or parity wrong")
        return Frame(frame[0], frame[1:-1])
