"""Modbus questions and answers below any framing. Pure. Only reading exists here: codes 1 to 4, and 43/14."""

from __future__ import annotations

import struct
from typing import Final

from devices.batch import DeviceError
from devices.register import Block
from devices.wire import GarbledError

READ_CODES: Final = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
IDENTIFY: Final = b"\x2b\x0e\x01\x00"  # read device identification, basic, from the first object
EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal address",
    3: "illegal value",
    4: "device failure",
    5: "acknowledge",
    6: "device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target did not respond",
}
LONGEST: Final = 253  # bytes of a PDU
_QUESTION = struct.Struct(">BHH")


class RefusedError(DeviceError):
    """The device answered with a Modbus exception."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code} ({EXCEPTIONS.get(code, 'unknown')})")
        self.code = code


class Question:
    """One read request, encoded once."""

    __slots__ = ("blank", "block", "pdu", "size")

    def __init__(self, block: Block) -> None:
        self.block = block
        self.pdu = _QUESTION.pack(READ_CODES[block.table], block.start, block.count)
        self.size = block.size
        self.blank = bytes(block.size)

    def data(self, answer: bytes) -> bytes:
        """The registers or coils in ``answer``; raises RefusedError or GarbledError."""
        code = self.pdu[0]
        if len(answer) == self.size + 2 and answer[0] == code and answer[1] == self.size:
            return answer[2:]
        if len(answer) == 2 and answer[0] == code | 0x80:
            raise RefusedError(answer[1])
        raise GarbledError(f"{len(answer)} bytes that do not answer the request: {answer[:8].hex(' ')}")


def is_reading(pdu: bytes) -> bool:
    """May this go onto a wire at all?"""
    return (len(pdu) == 5 and 1 <= pdu[0] <= 4) or (len(pdu) == 4 and pdu[:2] == IDENTIFY[:2])


def expected_size(pdu: bytes) -> int:
    """Bytes of the answer PDU to this question, at most."""
    if pdu[0] > 4:
        return LONGEST
    count = int.from_bytes(pdu[3:5])
    return 2 + ((count + 7) // 8 if pdu[0] < 3 else 2 * count)


def answer_size(start: bytes | bytearray | memoryview) -> int | None:
    """Bytes of the answer PDU that begins with ``start``; None while more is needed, 0 if it is no answer."""
    if len(start) < 2:
        return None
    code = start[0]
    if code & 0x80:
        return 2
    if 1 <= code <= 4:
        return 2 + start[1] if start[1] <= LONGEST - 2 else 0
    return _identification_size(start) if code == 0x2B and start[1] == 0x0E else 0


def _identification_size(start: bytes | bytearray | memoryview) -> int | None:
    if len(start) < 7:
        return None
    size = 7
    for _ in range(start[6]):
        if len(start) < size + 2:
            return None
        size += 2 + start[size + 1]
        if size > LONGEST:
            return 0
    return size


def identification(answer: bytes) -> dict[int, str]:
    """The objects in an answer to IDENTIFY: 0 vendor, 1 product, 2 revision."""
    if len(answer) == 2 and answer[0] == 0xAB:
        raise RefusedError(answer[1])
    if answer_size(answer) != len(answer) or answer[:2] != IDENTIFY[:2]:
        raise GarbledError("this is no device identification")
    objects: dict[int, str] = {}
    at = 7
    for _ in range(answer[6]):
        number, length = answer[at], answer[at + 1]
        objects[number] = answer[at + 2 : at + 2 + length].decode("utf-8", "replace")
        at += 2 + length
    return objects
