"""The one place that opens a serial port, and makes it a transport of the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import stat
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import serial
from pydantic import Field

from devices.settings import LineSettings
from devices.wire import LineDownError, Opener

_CHUNK = 4096
_PORT_ERRORS = (OSError, ValueError, termios.error)  # pyserial's own error is an OSError; this one is not
BY_ID = Path("/dev/serial/by-id")


class SerialLine(LineSettings):
    """A serial port, by its path or better by its lasting name under /dev/serial/by-id."""

    port: str = Field(min_length=1)
    baud: int = Field(default=19200, ge=50, le=4_000_000)
    parity: Literal["N", "E", "O"] = "N"
    stop_bits: Literal[1, 2] = 1
    data_bits: Literal[7, 8] = 8

    @property
    def char_bits(self) -> int:
        """Bits on the wire for one character, the start bit included."""
        return 1 + self.data_bits + (self.parity != "N") + self.stop_bits


def serial_opener(line: SerialLine) -> Opener:
    """Opens the port exclusively; what is wrong with it is one clear LineDownError."""

    async def connect(protocol: asyncio.Protocol) -> None:
        SerialTransport(_open(line), protocol, asyncio.get_running_loop())

    return connect


def _open(line: SerialLine) -> serial.Serial:
    path = line.port
    try:
        if not stat.S_ISCHR(Path(path).stat().st_mode):
            raise LineDownError(f"{path} is not a serial port")
        return serial.Serial(
            path, line.baud, line.data_bits, line.parity, line.stop_bits, timeout=0, exclusive=True
        )
    except _PORT_ERRORS as error:
        raise LineDownError(_reason(path, error)) from error


def _reason(path: str, error: Exception) -> str:
    code = getattr(error, "errno", None)
    if code == errno.ENOENT:
        there = ", ".join(sorted(map(str, BY_ID.glob("*")))) or "none"
        return f"no serial port at {path} (in {BY_ID}: {there})"
    if code == errno.EACCES:
        return f"no permission to open {path}: add this user to the group dialout"
    if code in (errno.EAGAIN, errno.EBUSY):
        return f"{path} is in use by another program"
    if code == errno.ENOTTY or "Could not configure port" in str(error):
        return f"{path} is not a serial port, or does not take these settings ({error})"
    return f"cannot open {path}: {error}"


class SerialTransport(asyncio.Transport):
    """Bytes between an open serial port and a protocol, by the loop's readers and writers."""

    def __init__(
        self, port: serial.Serial, protocol: asyncio.Protocol, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__()
        self._port = port
        self._fd: int = port.fileno()
        self._protocol = protocol
        self._loop = loop
        self._unsent = b""
        self._closed = False
        loop.add_reader(self._fd, self._read)
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send now, and the rest as soon as the port takes it."""
        if self._closed:
            return
        pending = bool(self._unsent)
        self._unsent += bytes(data)
        if not pending:
            self._send()

    def pending(self) -> bool:
        """Has something arrived that was not read yet?"""
        with contextlib.suppress(*_PORT_ERRORS):
            return bool(self._port.in_waiting)
        return False  # a port that is gone says so when it is read

    def is_closing(self) -> bool:
        """Is it closed?"""
        return self._closed

    def close(self) -> None:
        """Close the port; nothing more is sent."""
        self._end(None)

    def abort(self) -> None:
        """Close the port; nothing more is sent."""
        self._end(None)

    def _read(self) -> None:
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self._end(OSError(errno.ENODEV, "the port is gone"))

    def _send(self) -> None:
        try:
            sent = os.write(self._fd, self._unsent)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self._end(error)
            return
        self._unsent = self._unsent[sent:]
        if self._unsent:
            self._loop.add_writer(self._fd, self._send)
        else:
            self._loop.remove_writer(self._fd)

    def _end(self, error: OSError | None) -> None:
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        closing: list[Callable[[], object]] = [self._port.reset_output_buffer, self._port.close]
        for step in closing:  # what is left unsent would let closing wait for a dead line
            with contextlib.suppress(*_PORT_ERRORS):
                step()
        self._loop.call_soon(self._protocol.connection_lost, error)
