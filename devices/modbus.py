"""Modbus lines, and one unit as its line reads it."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from typing import Literal

import numpy as np
from pydantic import Field

from devices.batch import signal_set
from devices.line import Line, Time
from devices.modbus_frame import AsciiFraming, RtuFraming
from devices.modbus_map import ModbusDevice
from devices.modbus_pdu import Question, RefusedError
from devices.modbus_wire import ModbusWire, SharedWire, TcpWire
from devices.plan import Cost, Learned, plan, silence
from devices.register import Block, Register, compile_decoder
from devices.serial_line import SerialLine, serial_opener
from devices.settings import LineSettings, NotNegative, Positive
from devices.unit import Reading
from devices.wire import GarbledError, Opener, SilentError, tcp_opener

log = logging.getLogger(__name__)

_ASK_AGAIN = 600.0  # seconds until an address that was refused is tried once more
_LASTING_CODES = (1, 2, 3)  # function, address, value: it will say so again
_GATEWAY_CODES = (10, 11)  # a bridge speaks for a unit that did not answer


class ModbusTcpLine(LineSettings):
    """One Modbus TCP endpoint; the units behind a bridge share it."""

    kind: Literal["modbus-tcp"]
    host: str = Field(min_length=1)
    port: int = Field(default=502, ge=1, le=65535)
    connect_timeout: Positive = timedelta(seconds=3)
    connect_delay: NotNegative = timedelta()


class ModbusSerialLine(SerialLine):
    """A serial line with Modbus units. ``latency`` is the longest that any of them may take to answer."""

    kind: Literal["modbus-rtu", "modbus-ascii"]
    latency: Positive | None = None


class ModbusRtuTcpLine(LineSettings):
    """RTU frames through a TCP connection: a serial server that passes bytes on as they are."""

    kind: Literal["modbus-rtu-tcp"]
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    connect_timeout: Positive = timedelta(seconds=3)
    connect_delay: NotNegative = timedelta()
    latency: Positive | None = None


class ModbusUnit:
    """One unit on a Modbus line."""

    def __init__(
        self, name: str, settings: ModbusDevice, wire: ModbusWire, cost: Cost, quiet: float = 0.0
    ) -> None:
        self.name = name
        self.patience = settings.timeout.total_seconds() + cost.request + quiet
        self._unit_id = settings.unit_id
        self._timeout = settings.timeout.total_seconds()
        self._pause = settings.turn_around.total_seconds()
        self._retries = settings.retries
        self.wire = wire
        self.polls = [
            ModbusPoll(self, points, period.total_seconds(), cost, settings.max_registers)
            for period, points in settings.groups().items()
        ]

    async def ask(self, question: Question, retry: bool) -> bytes:
        """The data of ``question``; raises RefusedError, or another DeviceError when there was no answer."""
        attempts = 1 + self._retries if retry else 1
        while True:
            try:
                answer = await self.wire.ask(self._unit_id, question.pdu, self._timeout, self._pause)
                return question.data(answer)
            except (SilentError, GarbledError) as error:
                attempts -= 1
                if not attempts:
                    raise type(error)(f"{error} ({self._place(question)})") from None
            except RefusedError as error:
                if error.code in _GATEWAY_CODES:
                    raise SilentError(f"{error} ({self._place(question)})") from None
                raise

    async def probe(self) -> None:
        """Ask for the first block; a refusal is a sign of life too."""
        with contextlib.suppress(RefusedError):
            await self.ask(self.polls[0].first, retry=False)

    def notes(self) -> tuple[str, ...]:
        """What the unit refuses to give."""
        return tuple(note for poll in self.polls for note in poll.notes())

    def _place(self, question: Question) -> str:
        return f"unit {self._unit_id}, {question.block}"


@lru_cache(maxsize=1024)
def _plan(registers: tuple[Register, ...], cost: Cost, limit: int) -> tuple[Block, ...]:
    """The requests for a map; devices of one type share them."""
    return plan(registers, cost, limit)


class ModbusPoll:
    """The points of one unit that share a period, and the requests that fetch them."""

    def __init__(
        self, unit: ModbusUnit, points: Mapping[str, Register], period: float, cost: Cost, limit: int
    ) -> None:
        self.signals = signal_set(unit.name, (*points, f"{unit.name}/online"))
        self.period = period
        self._unit = unit
        self._registers = _shared(tuple(points.values()))
        self._line_cost, self._limit = cost, limit
        self._learned: Learned | None = None  # most devices refuse nothing
        self._ask_again = 0.0
        self._compile(_plan(self._registers, cost, limit))
        self.first = self._questions[0]

    @property
    def cost(self) -> float:
        """Predicted seconds of line time."""
        return sum(self._line_cost.of(question.block) for question in self._questions)

    async def read(self, retry: bool) -> Reading:
        """See Poll; a block that the device refuses makes only its own points bad."""
        if self._learned is not None and self._learned.unreadable and time.monotonic() > self._ask_again:
            self._learned.doubt()
            self._replan(self._learned)
        if not self._questions:  # nothing can be read, and is there anybody?
            await self._unit.probe()
        answers: list[bytes] = []
        refused: dict[int, RefusedError] = {}
        started = 0.0
        for number, question in enumerate(self._questions):
            try:
                answers.append(await self._unit.ask(question, retry))
            except RefusedError as error:
                refused[number] = error
                answers.append(question.blank)
            if not number:
                started = self._unit.wire.sent_at
        ended = time.monotonic()
        count = len(self._registers)
        values = np.empty(count + 1)
        quality = np.zeros(count + 1, dtype=np.uint8)
        values[count] = 1.0
        data = answers[0] if len(answers) == 1 else b"".join(answers)
        self._decoder.decode(data, values[:count], quality[:count], tuple(refused))
        if refused:
            self._learn(refused)
        return Reading(started or ended, ended, values, quality)

    def notes(self) -> tuple[str, ...]:
        """What cannot be read, and why."""
        return tuple(sorted(set(self._learned.unreadable.values()))) if self._learned else ()

    def _learn(self, refused: Mapping[int, RefusedError]) -> None:
        learned = self._learned or Learned()
        changed = False
        for number, error in refused.items():
            if error.code not in _LASTING_CODES:
                continue
            block = self._questions[number].block
            why = f"refuses {block}: {error}"
            if learned.refused(block, self._registers, why, whole=error.code == 1):
                log.warning("%s %s; its points stay bad, the rest is read", self._unit.name, why)
                self._ask_again = time.monotonic() + _ASK_AGAIN
            changed = True
        if changed:
            self._learned = learned
            self._replan(learned)

    def _replan(self, learned: Learned) -> None:
        self._compile(learned.plan(self._registers, self._line_cost, self._limit))

    def _compile(self, blocks: Sequence[Block]) -> None:
        self._questions = [Question(block) for block in blocks]
        self._decoder = compile_decoder(self._registers, tuple(blocks))


@lru_cache(maxsize=1024)
def _shared(registers: tuple[Register, ...]) -> tuple[Register, ...]:
    return registers


def open_tcp(
    name: str, line: ModbusTcpLine, devices: Mapping[str, ModbusDevice], clock: Time, start: float
) -> Line:
    """The line of one endpoint with its units; nothing is connected yet."""
    wire = TcpWire(f"{line.host}:{line.port}", _connection(line))
    units = [ModbusUnit(device, settings, wire, Cost.network()) for device, settings in devices.items()]
    return Line(name, line.kind, wire, units, start=start, clock=clock)


def open_serial(
    name: str, line: ModbusSerialLine, devices: Mapping[str, ModbusDevice], clock: Time, start: float
) -> Line:
    """An RTU or ASCII line with its units; the port is not opened yet."""
    quarantine = _longest(line.latency, devices)
    wire = SharedWire(
        line.port,
        serial_opener(line),
        RtuFraming() if line.kind == "modbus-rtu" else AsciiFraming(),
        gap=silence(line.baud, line.char_bits) if line.kind == "modbus-rtu" else 0.0,
        char=line.char_bits / line.baud,
        quarantine=quarantine,
    )
    cost = serial_cost(line)
    units = [ModbusUnit(device, settings, wire, cost, quarantine) for device, settings in devices.items()]
    return Line(name, line.kind, wire, units, start=start, clock=clock)


def open_rtu_tcp(
    name: str, line: ModbusRtuTcpLine, devices: Mapping[str, ModbusDevice], clock: Time, start: float
) -> Line:
    """RTU units behind a serial server; nothing is connected yet."""
    quarantine = _longest(line.latency, devices)
    wire = SharedWire(
        f"{line.host}:{line.port}", _connection(line), RtuFraming(), gap=0.0, char=0.0, quarantine=quarantine
    )
    cost = Cost.network(latency=0.02)
    units = [ModbusUnit(device, settings, wire, cost, quarantine) for device, settings in devices.items()]
    return Line(name, line.kind, wire, units, start=start, clock=clock)


def serial_cost(line: ModbusSerialLine) -> Cost:
    """What a request costs on this line."""
    if line.kind == "modbus-rtu":
        return Cost.rtu(line.baud, line.char_bits)
    return Cost.ascii(line.baud, line.char_bits)


def line_load(line: LineSettings, devices: Mapping[str, ModbusDevice]) -> dict[str, float]:
    """Predicted share of line time per device: 1 is all of it. TCP endpoints are not limited by their wire."""
    if not isinstance(line, ModbusSerialLine):
        return {}
    cost = serial_cost(line)
    return {
        name: sum(
            cost.of(block) / period.total_seconds()
            for period, points in device.groups().items()
            for block in plan(points.values(), cost, device.max_registers)
        )
        for name, device in devices.items()
    }


def _connection(line: ModbusTcpLine | ModbusRtuTcpLine) -> Opener:
    return tcp_opener(
        line.host, line.port, line.connect_timeout.total_seconds(), line.connect_delay.total_seconds()
    )


def _longest(latency: timedelta | None, devices: Mapping[str, ModbusDevice]) -> float:
    return (latency or max(device.timeout for device in devices.values())).total_seconds()
