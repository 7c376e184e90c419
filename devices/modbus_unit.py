"""One Modbus unit as its line reads it: its polls, the requests that fetch them, and what it taught us."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np

from devices.batch import signal_set
from devices.memory import Memory
from devices.modbus_map import ModbusDevice
from devices.modbus_pdu import Question, RefusedError
from devices.modbus_point import ModbusPoint
from devices.modbus_text import TextPoll
from devices.modbus_wire import ModbusWire
from devices.plan import Cost, Learned, plan
from devices.register import Block, Register, compile_decoder
from devices.settings import slope_limit
from devices.unit import Poll, Reading, Request
from devices.wire import GarbledError, SilentError

log = logging.getLogger(__name__)

_ASK_AGAIN = 600.0  # seconds until an address that was refused is tried once more
_LASTING_CODES = (1, 2, 3)  # function, address, value: it will say so again
_GATEWAY_CODES = (10, 11)  # a bridge speaks for a unit that did not answer
_RECONSIDER = 64  # readings after which the plan follows the measured latency
_SMOOTH = 0.05


class ModbusUnit:
    """One unit on a Modbus line. ``cost`` is the line's, with the latency that is assumed until it is measured."""

    def __init__(
        self,
        name: str,
        settings: ModbusDevice,
        wire: ModbusWire,
        cost: Cost,
        *,
        quiet: float = 0.0,
        memory: Memory | None = None,
    ) -> None:
        self.name = name
        self.patience = settings.timeout.total_seconds() + cost.request + quiet
        self._unit_id = settings.unit_id
        self._timeout = settings.timeout.total_seconds()
        self._pause = settings.turn_around.total_seconds()
        self._retries = settings.retries
        self._limit = settings.max_registers
        self.wire = wire
        self._line_cost = cost
        self._memory = memory or Memory()
        self._where = f"{wire.where} unit {self._unit_id}"
        known = self._memory.of(name, self._where)
        self.learned = Learned(known)
        self.is_measured = "latency" in known
        self.latency: float = known.get("latency", cost.latency)
        self._ask_again = time.monotonic() + _ASK_AGAIN
        numbers = [
            ModbusPoll(self, settings, points, period.total_seconds())
            for period, points in settings.groups().items()
        ]
        self._first = numbers[0].first
        self._texts = TextPoll(self, settings.texts, self._memory, self._where) if settings.texts else None
        self.polls: list[Poll] = [*numbers, *([self._texts] if self._texts else [])]

    @property
    def cost(self) -> Cost:
        """What a request costs with this unit's own latency."""
        cost = self._line_cost.measured(self.latency) if self.is_measured else self._line_cost
        return replace(cost, gap=max(cost.gap, self._pause))

    def plan(self, registers: tuple[Register, ...]) -> tuple[Block, ...]:
        """The cheapest requests for what it gives of ``registers``."""
        if self.learned.is_blank:
            return _plan(registers, self.cost, self._limit)
        return self.learned.plan(registers, self.cost, self._limit)

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
            await self.ask(self._first, retry=False)

    def notes(self) -> tuple[str, ...]:
        """What the unit refuses to give, and which of its texts changed."""
        limit = self.learned.limit
        size = (f"gives at most {limit} registers at once",) if limit else ()
        refused = tuple(sorted(set(self.learned.unreadable.values())))
        return size + refused + (self._texts.notes() if self._texts else ())

    def texts(self) -> Mapping[str, str]:
        """See Unit."""
        return self._texts.texts() if self._texts else {}

    def answered(self, after: float) -> None:
        """Take the measure of an answer: the unit thought for so many seconds."""
        self.latency += _SMOOTH * (max(0.0, after) - self.latency)

    def travel(self, block: Block) -> float:
        """Seconds that a question for ``block`` and its answer are on the line."""
        return self._line_cost.travel(block)

    def go_by_measure(self) -> None:
        """Enough answers were measured for the plan to follow them."""
        self.is_measured = True
        self._keep()

    def refused(
        self, registers: Sequence[Register], questions: Sequence[Question], by: Mapping[int, RefusedError]
    ) -> None:
        """Learn from a reading in which some ``questions`` were refused (by their numbers)."""
        for number, question in enumerate(questions):
            if number not in by:
                self.learned.answered(question.block)
        lasting = {number: error for number, error in by.items() if error.code in _LASTING_CODES}
        for number, error in lasting.items():
            block = questions[number].block
            why = f"refuses {block}: {error}"
            if self.learned.refused(block, registers, why, error.code):
                log.warning("%s %s; its points stay bad, the rest is read", self.name, why)
                self._ask_again = time.monotonic() + _ASK_AGAIN
        if lasting:
            self._keep(at_once=True)

    def doubt_in_time(self) -> None:
        """Ask for refused addresses once more when their time has come."""
        if not self.learned.is_settled and time.monotonic() > self._ask_again:
            self._ask_again = time.monotonic() + _ASK_AGAIN
            self.learned.doubt()

    def _keep(self, at_once: bool = False) -> None:
        measured = {"latency": round(self.latency, 6)} if self.is_measured else {}
        note = measured | self.learned.to_json()
        self._memory.keep(self.name, self._where, note, at_once=at_once)

    def _place(self, question: Question) -> str:
        return f"unit {self._unit_id}, {question.block}"


class ModbusPoll:
    """The points of one unit that share a period, and the requests that fetch them."""

    def __init__(
        self, unit: ModbusUnit, settings: ModbusDevice, points: Mapping[str, ModbusPoint], period: float
    ) -> None:
        self.signals = signal_set(unit.name, (*points, f"{unit.name}/online"))
        self.period = period
        self._unit = unit
        self._registers = _shared(tuple(point.register() for point in points.values()))
        self.changes = settings.changes(list(points.values()), period)
        self._slopes = slope_limit(list(points.values()))
        self._readings = 0
        self._basis: tuple[int, Cost] | None = None  # what the plan follows from
        self._blocks: tuple[Block, ...] | None = None
        self._plan_anew()
        one = self._registers[0]
        self.first = Question(Block(one.table, one.address, one.size))

    @property
    def requests(self) -> tuple[Request, ...]:
        """See Poll."""
        cost = self._unit.cost
        return tuple(Request(str(q.block), q.block.count, cost.of(q.block)) for q in self._questions)

    @property
    def cost(self) -> float:
        """Predicted seconds of line time."""
        return sum(request.seconds for request in self.requests)

    async def read(self, retry: bool) -> Reading:
        """See Poll; a block that the device refuses makes only its own points bad."""
        unit = self._unit
        wire = unit.wire
        self._readings += 1
        if unit.learned.version or self._readings % _RECONSIDER == 0:
            self._keep_up()
        if not self._questions:  # nothing can be read, and is there anybody?
            await unit.probe()
        answers: list[bytes] = []
        refused: dict[int, RefusedError] = {}
        started = 0.0
        for question in self._questions:
            try:
                answers.append(await unit.ask(question, retry))
            except RefusedError as error:
                refused[len(answers)] = error
                answers.append(question.blank)
            started = started or wire.sent_at
        ended = time.monotonic()
        if refused:
            unit.refused(self._registers, self._questions, refused)
        elif answers:
            unit.answered(ended - wire.sent_at - self._travel)
        count = len(self._registers)
        values = np.empty(count + 1)
        quality = np.zeros(count + 1, dtype=np.uint8)
        values[count] = 1.0
        data = answers[0] if len(answers) == 1 else b"".join(answers)
        self._decoder.decode(data, values[:count], quality[:count], tuple(refused))
        if self._slopes is not None:
            self._slopes.apply(ended, values, quality)
        return Reading(started or ended, ended, values, quality)

    def _keep_up(self) -> None:
        """Follow what the unit has taught since the last reading, and how fast it answers."""
        unit = self._unit
        unit.doubt_in_time()
        if self._readings % _RECONSIDER == 0:
            unit.go_by_measure()
        self._plan_anew()

    def _plan_anew(self) -> None:
        basis = self._unit.learned.version, self._unit.cost
        if basis != self._basis:
            self._basis = basis
            self._compile(self._unit.plan(self._registers))

    def _compile(self, blocks: tuple[Block, ...]) -> None:
        if blocks == self._blocks:
            return
        self._blocks = blocks
        self._questions = [Question(block) for block in blocks]
        self._travel = self._unit.travel(blocks[-1]) if blocks else 0.0
        self._decoder = compile_decoder(self._registers, blocks)


@lru_cache(maxsize=1024)
def _plan(registers: tuple[Register, ...], cost: Cost, limit: int) -> tuple[Block, ...]:
    """The requests for a map; devices of one type share them."""
    return plan(registers, cost, limit)


@lru_cache(maxsize=1024)
def _shared(registers: tuple[Register, ...]) -> tuple[Register, ...]:
    return registers
