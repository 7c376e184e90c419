"""What a Modbus device says of itself in letters: serial number, firmware, name. It is shown, and never judged."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from pydantic import Field, model_validator

from devices.batch import signal_set
from devices.memory import Memory
from devices.modbus_pdu import Question, RefusedError
from devices.plan import Cost
from devices.register import Block
from devices.settings import Settings
from devices.unit import Reading, Request

log = logging.getLogger(__name__)

EVERY = 600.0  # seconds between readings: a device that was replaced is seen within ten minutes
_LONGEST = 60  # registers


TextName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class ModbusText(Settings):
    """A text in the device's map: ``length`` registers of two letters each."""

    address: int = Field(ge=0, le=65535)
    length: int = Field(ge=1, le=_LONGEST, description="registers")
    table: Literal["holding", "input"] = "holding"
    order: Literal["AB", "BA"] = "AB"

    @model_validator(mode="after")
    def _ends_within_the_map(self) -> ModbusText:
        if self.address + self.length > 65536:
            raise ValueError(f"{self.length} registers at address {self.address} end beyond 65535")
        return self


class Asked(Protocol):
    """The unit that has the texts."""

    @property
    def name(self) -> str: ...
    @property
    def cost(self) -> Cost: ...
    async def ask(self, question: Question, retry: bool) -> bytes: ...


def letters(data: bytes, order: str) -> str:
    """The text in these registers, up to its first NUL; what cannot be printed becomes a question mark."""
    if order == "BA":
        data = bytes(data[place ^ 1] for place in range(len(data)))
    text = data.partition(b"\0")[0].rstrip(b"\xff").decode("utf-8", "replace").strip()
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class TextPoll:
    """The texts of one unit. To its line it is one more poll, whose readings say only that the device is online."""

    changes = None
    period = EVERY

    def __init__(self, unit: Asked, texts: Mapping[str, ModbusText], memory: Memory, where: str) -> None:
        self.signals = signal_set(unit.name, (f"{unit.name}/online",))
        self._unit = unit
        self._orders = {name: text.order for name, text in texts.items()}
        self._questions = {
            name: Question(Block(text.table, text.address, text.length)) for name, text in texts.items()
        }
        self._memory, self._where = memory, where
        known = memory.of(self._note, where)
        self._known: dict[str, dict[str, Any]] = {name: known[name] for name in texts if name in known}
        self._refused: dict[str, str] = {}

    @property
    def _note(self) -> str:
        return f"{self._unit.name} texts"

    @property
    def requests(self) -> Sequence[Request]:
        """See Poll."""
        cost = self._unit.cost
        return [Request(str(q.block), q.block.count, cost.of(q.block)) for q in self._questions.values()]

    @property
    def cost(self) -> float:
        """Predicted seconds of line time."""
        return sum(request.seconds for request in self.requests)

    async def read(self, retry: bool) -> Reading:
        """See Poll; a text that the device refuses is noted."""
        started = time.monotonic()
        for name, question in self._questions.items():
            try:
                self._found(name, letters(await self._unit.ask(question, retry), self._orders[name]))
            except RefusedError as error:
                self._refused[name] = f"does not tell its {name} ({question.block}): {error}"
        return Reading(started, time.monotonic(), np.ones(1), np.zeros(1, np.uint8))

    def texts(self) -> dict[str, str]:
        """What the device said last."""
        return {name: self._known[name]["text"] for name in self._orders if name in self._known}

    def notes(self) -> tuple[str, ...]:
        """Texts that changed, and those that it refuses."""
        changed = [
            f"its {name} was {known['before']!r} until {known['since']}"
            for name, known in self._known.items()
            if "before" in known
        ]
        return (*changed, *self._refused.values())

    def _found(self, name: str, text: str) -> None:
        self._refused.pop(name, None)
        known = self._known.get(name)
        if known is not None and known["text"] == text:
            return
        self._known[name] = {"text": text}
        if known is not None:
            now = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
            self._known[name] |= {"before": known["text"], "since": now}
            log.warning(
                "%s: its %s is %r now and was %r: was it replaced?",
                self._unit.name,
                name,
                text,
                known["text"],
            )
        self._memory.keep(self._note, self._where, dict(self._known), at_once=True)
