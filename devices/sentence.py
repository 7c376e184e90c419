"""What an instrument's line of text says: its checksum, and numbers by a regular expression. Pure."""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from devices.modbus_frame import crc16
from devices.settings import Settings

ChecksumKind: TypeAlias = Literal["xor", "sum8", "lrc", "crc16-modbus", "crc16-ccitt", "crc16-xmodem"]


def _xor(data: bytes) -> int:
    result = 0
    for byte in data:
        result ^= byte
    return result


# How the checksum is reckoned, and how many hexadecimal digits it has.
_CHECKSUMS: Final[Mapping[ChecksumKind, tuple[Callable[[bytes], int], int]]] = {
    "xor": (_xor, 2),
    "sum8": (lambda data: sum(data) & 0xFF, 2),
    "lrc": (lambda data: -sum(data) & 0xFF, 2),
    "crc16-modbus": (crc16, 4),
    "crc16-ccitt": (lambda data: binascii.crc_hqx(data, 0xFFFF), 4),
    "crc16-xmodem": (lambda data: binascii.crc_hqx(data, 0), 4),
}


class Checksum(Settings):
    """A checksum in hexadecimal digits at the end of a line.

    It covers what stands between ``start`` and ``separator``: NMEA 0183 is ``{ kind = "xor", start = "$" }``.
    With an empty ``separator`` the digits follow the text at once.
    """

    kind: ChecksumKind
    start: str = Field(default="", max_length=1)
    separator: str = Field(default="*", max_length=1)

    def strip(self, line: bytes) -> bytes | None:
        """The text that the checksum covers; None if it is wrong or missing."""
        reckon, digits = _CHECKSUMS[self.kind]
        covered, given = line[:-digits], line[-digits:]
        separator, start = self.separator.encode(), self.start.encode()
        if not covered.endswith(separator) or not covered.startswith(start):
            return None
        covered = covered[len(start) : len(covered) - len(separator)]
        try:
            found = int.from_bytes(binascii.unhexlify(given))
        except binascii.Error:
            return None
        return covered if found == reckon(covered) else None


class Sentence:
    """The form of an instrument's answer: ``pattern`` matches the whole line, less its checksum."""

    def __init__(self, pattern: str, checksum: Checksum | None, fields: Sequence[str]) -> None:
        self._pattern = re.compile(pattern)
        self._checksum = checksum
        self._fields = tuple(fields)

    def fault(self, line: bytes) -> str | None:
        """Why ``line`` is no answer; None if it is one."""
        text = self._checksum.strip(line) if self._checksum else line
        if text is None:
            return f"checksum wrong in {_shown(line)}"
        if not self._pattern.fullmatch(text.decode("latin-1")):
            return f"{_shown(line)} does not match the pattern"
        return None

    def numbers(self, line: bytes) -> NDArray[np.float64]:
        """The fields' numbers; NaN where there is none. ``line`` has no fault."""
        text = self._checksum.strip(line) if self._checksum else line
        match = self._pattern.fullmatch((text or b"").decode("latin-1"))
        return np.array(
            [_number(match[field] if match else None) for field in self._fields], dtype=np.float64
        )


def _number(text: str | None) -> float:
    """The number that ``text`` spells, with a decimal point or comma; NaN if it is none."""
    if text is None or "_" in text:  # Python reads 1_0 as ten; no instrument means it
        return math.nan
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return math.nan


def _shown(line: bytes) -> str:
    return repr(line[:60].decode("latin-1")) + ("…" if len(line) > 60 else "")
