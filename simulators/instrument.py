"""An ASCII instrument on a serial line, in the manner of SCPI: asked ``MEAS?``, it answers one line."""

from __future__ import annotations

import math
from functools import reduce
from operator import xor

from simulators.stand import Device
from simulators.terminal import Terminal

FIELDS = {
    "P": ("discharge_pressure", 2),
    "T": ("oil_temp", 1),
    "O": ("oil_pressure", 2),
    "V": ("vib_rms", 2),
    "N": ("speed", 0),
}


class Instrument:
    r"""Answers ``MEAS?`` with ``P=7.02 T=81.3 O=2.31 V=2.10 N=2950*5A\r\n``; see ``line``.

    A command (a line without ``?``) is counted as a write and refused with ``ERR``.
    """

    def __init__(self, device: Device, terminal: Terminal) -> None:
        self._device = device
        self._terminal = terminal
        self._buffer = b""
        terminal.listen(self.received)

    def received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).replace(b"\r", b"\n").split(b"\n")
        self._buffer = self._buffer[-256:]
        for line in lines:
            if line:
                self._answer(line.decode("ascii", "replace").strip())

    def _answer(self, request: str) -> None:
        device = self._device
        device.requests += 1
        if not request.endswith("?"):
            device.writes += 1
        delay = device.delay()
        if delay is None:
            return
        answer = measurement(device.values()) if request.upper() == "MEAS?" else "ERR"
        self._terminal.reply(line(answer), len(request) + 2, delay)


def measurement(values: dict[str, float]) -> str:
    """``P=7.02 T=81.3 …``; dashes where a sensor says nothing."""
    return " ".join(
        f"{field}={'---' if math.isnan(values[quantity]) else format(values[quantity], f'.{decimals}f')}"
        for field, (quantity, decimals) in FIELDS.items()
    )


def line(text: str) -> bytes:
    r"""The text, ``*``, two hex digits, ``\r\n``; the digits are the XOR of all characters before ``*``."""
    return f"{text}*{reduce(xor, text.encode('ascii'), 0):02X}\r\n".encode("ascii")
