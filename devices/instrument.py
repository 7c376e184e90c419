"""Instruments that speak lines of text, by configuration: asked, or listened to."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field, field_validator, model_validator

from devices.batch import signal_set
from devices.conditioning import Conditioner
from devices.line import Line, Time
from devices.sentence import Checksum, Sentence
from devices.serial_line import SerialLine, serial_opener
from devices.settings import (
    LineSettings,
    NotNegative,
    PointName,
    PolledDevice,
    Positive,
    Reported,
    slope_limit,
)
from devices.unit import Reading, Request
from devices.wire import GarbledError, Opener, QuietWire, SilentError, Wire, tcp_opener

_SECOND = timedelta(seconds=1)
_LONGEST = 4096
Fault = Callable[[bytes], str | None]


class SerialAsciiLine(SerialLine):
    """A serial port with instruments that speak text. ``latency`` is the longest that any may take to answer."""

    kind: Literal["serial-ascii"]
    baud: int = Field(default=9600, ge=50, le=4_000_000)
    latency: Positive | None = None


class TcpAsciiLine(LineSettings):
    """Instruments that speak text through a TCP connection, most often a serial server."""

    kind: Literal["tcp-ascii"]
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    connect_timeout: Positive = timedelta(seconds=3)
    connect_delay: NotNegative = timedelta()
    latency: Positive | None = None


class InstrumentPoint(Reported):
    """Which named group of the pattern is this signal."""

    field: str


def _spelled_out(value: Any) -> Any:
    return {"kind": value} if isinstance(value, str) else value


class InstrumentDevice(PolledDevice):
    """An instrument and the form of its answers. Without ``request`` it speaks by itself and is listened to."""

    timeout: Positive = _SECOND
    retries: int = Field(default=1, ge=0, le=10)
    turn_around: NotNegative = timedelta()
    request: str | None = Field(default=None, min_length=1)
    terminator: str = Field(default="\r\n", min_length=1, max_length=8)
    pattern: str
    checksum: Annotated[Checksum | None, BeforeValidator(_spelled_out)] = None
    points: Annotated[dict[PointName, InstrumentPoint], Field(min_length=1)]

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            groups = re.compile(pattern).groupindex
        except re.error as error:
            raise ValueError(f"no regular expression: {error}") from None
        if not groups:
            raise ValueError("it names no field; a group such as (?P<T>[-.0-9]+) would do")
        return pattern

    @model_validator(mode="after")
    def _fields_exist(self) -> InstrumentDevice:
        self.check_reports(self.points)
        groups = re.compile(self.pattern).groupindex
        for name, point in self.points.items():
            if point.field not in groups:
                raise ValueError(
                    f"{name}: no field {point.field!r} in the pattern; it has {', '.join(groups)}"
                )
        return self

    def signals(self) -> tuple[str, ...]:
        """The names of its points."""
        return tuple(self.points)


class TextLines:
    """Cuts a stream into lines; what is longer than any line is thrown away."""

    def __init__(self, terminator: bytes) -> None:
        self._terminator = terminator
        self._rest = b""

    def take(self, data: bytes) -> list[bytes]:
        """The lines that ``data`` completes, without terminator and outer blanks; empty ones are left out."""
        *lines, self._rest = (self._rest + data).split(self._terminator)
        if len(self._rest) > _LONGEST:
            self._rest = b""
        return [line for line in (line.strip() for line in lines) if line]

    def clear(self) -> None:
        """Forget what was begun."""
        self._rest = b""


class AskingWire(QuietWire):
    """Instruments that answer: a line that is no answer (an echo, a banner) is passed over, and named at the end."""

    def __init__(self, where: str, opener: Opener, quarantine: float) -> None:
        super().__init__(where, opener, gap=0.0, quarantine=quarantine)
        self._lines = TextLines(b"")
        self._fault: Fault = lambda _: None
        self._heard = ""

    async def ask(
        self, request: bytes, terminator: bytes, within: float, pause: float, fault: Fault
    ) -> bytes:
        """The line that answers ``request``; ``fault`` says why another one does not."""
        self._lines, self._fault, self._heard = TextLines(terminator), fault, ""
        try:
            return await self._converse(request, within, pause)
        except SilentError:
            if self._heard:
                raise GarbledError(self._heard) from None
            raise

    def data_received(self, data: bytes) -> None:
        """Collect lines until one answers."""
        if not self._heeds(data):
            return
        for line in self._lines.take(data):
            fault = self._fault(line)
            if fault is None:
                self._settle(line)
            else:
                self.counts["strangers"] += 1
                self._heard = fault

    def _forget(self) -> None:
        self._lines.clear()


class ListeningWire(Wire):
    """One instrument that speaks by itself: the newest good line is kept until it is read."""

    def __init__(self, where: str, opener: Opener, terminator: bytes, fault: Fault) -> None:
        super().__init__(where, opener)
        self._lines = TextLines(terminator)
        self._fault = fault
        self._newest: bytes | None = None

    async def hear(self, within: float) -> bytes:
        """The newest line that was not read yet, or the next one; ``sent_at`` becomes its time."""
        line, self._newest = self._newest, None
        return line if line is not None else await self._answer(time.monotonic(), within)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin anew: the first line may be half a line."""
        super().connection_made(transport)
        self._lines.clear()
        self._newest = None

    def data_received(self, data: bytes) -> None:
        """Hand a line to whoever waits, or keep it."""
        for line in self._lines.take(data):
            if self._fault(line) is not None:
                self.counts["garbled"] += 1
                continue
            self.sent_at = time.monotonic()
            if self._waited_for() is not None:
                self._settle(line)
                continue
            if self._newest is not None:
                self.counts["surplus"] += 1
            self._newest = line


class Instrument:
    """One instrument as the line reads it: it is a unit with one poll."""

    is_measured = False

    def __init__(
        self, name: str, settings: InstrumentDevice, wire: AskingWire | ListeningWire, quiet: float
    ) -> None:
        self.name = name
        self.signals = signal_set(name, (*settings.points, f"{name}/online"))
        self.period = settings.period.total_seconds()
        self.cost = 0.1 if settings.request else 0.0  # seconds; what an answer takes is not known before
        self.patience = settings.timeout.total_seconds() + quiet
        self._wire = wire
        self._sentence = sentence(settings)
        points = list(settings.points.values())
        self._conditioner = Conditioner(points)
        self._slopes = slope_limit(points)
        self.changes = settings.changes(points, self.period)
        self._request = (settings.request or "").encode("latin-1")
        self._terminator = settings.terminator.encode("latin-1")
        self._timeout = settings.timeout.total_seconds()
        self._pause = settings.turn_around.total_seconds()
        self._retries = settings.retries

    @property
    def polls(self) -> tuple[Instrument, ...]:
        """Itself."""
        return (self,)

    @property
    def requests(self) -> tuple[Request, ...]:
        """See Poll."""
        what = repr(self._request.decode("latin-1")) if self._request else "listens"
        return (Request(what, 0, self.cost if self._request else 0.0),)

    async def read(self, retry: bool) -> Reading:
        """See Poll."""
        line = await self._line(1 + self._retries if retry else 1)
        listened = isinstance(self._wire, ListeningWire)
        started = self._wire.sent_at
        count = len(self.signals.names) - 1
        values = np.empty(count + 1)
        quality = np.zeros(count + 1, dtype=np.uint8)
        values[:count] = self._sentence.numbers(line)
        values[count] = 1.0
        self._conditioner.apply(values[:count], quality[:count])
        if self._slopes is not None:
            self._slopes.apply(started, values, quality)
        return Reading(started, started if listened else time.monotonic(), values, quality)

    async def probe(self) -> None:
        """See Unit."""
        await self._line(1)

    def notes(self) -> tuple[str, ...]:
        """See Unit."""
        return ()

    def texts(self) -> Mapping[str, str]:
        """See Unit."""
        return {}

    async def _line(self, attempts: int) -> bytes:
        while True:
            try:
                if isinstance(self._wire, ListeningWire):
                    return await self._wire.hear(self._timeout)
                return await self._wire.ask(
                    self._request, self._terminator, self._timeout, self._pause, self._sentence.fault
                )
            except (SilentError, GarbledError):
                attempts -= 1
                if not attempts:
                    raise


def sentence(settings: InstrumentDevice) -> Sentence:
    """The form of this instrument's answers."""
    fields = [point.field for point in settings.points.values()]
    return Sentence(settings.pattern, settings.checksum, fields)


def open_line(
    name: str,
    line: SerialAsciiLine | TcpAsciiLine,
    devices: Mapping[str, InstrumentDevice],
    clock: Time,
    start: float,
) -> Line:
    """A line of instruments; nothing is opened yet. One that is listened to has the line for itself."""
    if isinstance(line, SerialAsciiLine):
        where, opener = line.port, serial_opener(line)
    else:
        where = f"{line.host}:{line.port}"
        opener = tcp_opener(
            line.host, line.port, line.connect_timeout.total_seconds(), line.connect_delay.total_seconds()
        )
    quarantine = (line.latency or max(device.timeout for device in devices.values())).total_seconds()
    first = next(iter(devices.values()))
    wire: AskingWire | ListeningWire
    if first.request is None:
        wire, quarantine = ListeningWire(where, opener, first.terminator.encode(), sentence(first).fault), 0.0
    else:
        wire = AskingWire(where, opener, quarantine)
    units = [Instrument(device, settings, wire, quarantine) for device, settings in devices.items()]
    return Line(name, line.kind, wire, units, start=start, clock=clock)
