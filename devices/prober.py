"""Probing and scanning lines while they are read: questions go through the line's owner, one between two polls.

Each operation is a stream of plain dictionaries for the control socket; the last one has ``done`` or ``error``.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any, Final, Protocol, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from devices.batch import DeviceError
from devices.kinds import KINDS, DeviceSettings, LineSettings
from devices.line import Line, Time
from devices.memory import Memory
from devices.modbus_map import ModbusDevice
from devices.modbus_wire import ModbusWire
from devices.probe import Ask, Guess, guesses, read_around, scan_registers, scan_units
from devices.register import Table
from devices.source import Source

SHARE: Final = 0.2  # of a line's time that a probe or scan takes while devices on it are read
READINGS: Final = 3  # for a probe, so that a value that jumps is seen
BETWEEN: Final = 0.4  # s

Item = dict[str, Any]
UnitId = Annotated[int, Field(ge=0, le=255)]
Address = Annotated[int, Field(ge=0, le=65535)]


def _rising(pair: tuple[int, int]) -> tuple[int, int]:
    if pair[0] > pair[1]:
        raise ValueError(f"{pair[0]}-{pair[1]} is empty; first-last would do")
    return pair


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    target: str = Field(description="a device, or a line")
    unit: UnitId | None = Field(default=None, description="absent: the device's own")
    timeout: float = Field(default=0.5, gt=0, le=10, description="s that an answer may take")


class ProbeForm(_Form):
    """What do the registers around ``address`` mean?"""

    table: Table = "holding"
    address: Address
    expect: float | None = Field(default=None, description="what the device's display shows")
    within: tuple[float, float] | None = Field(default=None, description="plausible values")


class UnitsForm(_Form):
    """Who is on this line?"""

    units: Annotated[tuple[UnitId, UnitId], AfterValidator(_rising)]


class RegistersForm(_Form):
    """Which registers can be read?"""

    table: Table = "holding"
    registers: Annotated[tuple[Address, Address], AfterValidator(_rising)]


class ProbeError(ValueError):
    """This cannot be probed; the text says what would do."""


class Wiring(Protocol):
    """The lines and devices of a site, by name."""

    @property
    def lines(self) -> Mapping[str, LineSettings]: ...
    @property
    def devices(self) -> Mapping[str, DeviceSettings]: ...


class Prober:
    """Probes the lines of a site; those of ``sources`` through their owners, others by opening them for the while."""

    def __init__(self, site: Callable[[], Wiring], sources: Callable[[], Iterable[Source]]) -> None:
        self._site, self._sources = site, sources
        self._turn = asyncio.Lock()

    def streams(self) -> dict[str, Callable[[Mapping[str, Any]], AsyncIterator[Item]]]:
        """The operations by their names."""
        return {"probe": self.probe, "scan-units": self.scan_units, "scan-registers": self.scan_registers}

    async def probe(self, request: Mapping[str, Any]) -> AsyncIterator[Item]:
        """One item: what was read, and every way of reading it (see ``ProbeForm``)."""
        try:
            form = ProbeForm.model_validate(request)
            async with self._asking(form) as (ask, unit_id):
                readings = []
                for n in range(READINGS):
                    await asyncio.sleep(BETWEEN if n else 0)
                    readings.append(await read_around(ask, unit_id, form.table, form.address))
            found = guesses(form.table, form.address, readings, expect=form.expect, within=form.within)
            raw = {str(at): word.hex() for at, word in sorted(readings[-1].items())}
            yield {"unit": unit_id, "registers": raw, "guesses": [_plain(g) for g in found], "done": True}
        except (DeviceError, ProbeError, ValidationError) as error:
            yield {"error": _words(error)}

    async def scan_units(self, request: Mapping[str, Any]) -> AsyncIterator[Item]:
        """An item for each unit id: does it answer, and what does it say of itself (see ``UnitsForm``)?"""
        try:
            form = UnitsForm.model_validate(request)
            async with self._asking(form) as (ask, _):
                async for unit_id, name in scan_units(ask, range(form.units[0], form.units[1] + 1)):
                    yield {"unit": unit_id, "answers": name is not None, "name": name or ""}
            yield {"done": True}
        except (DeviceError, ProbeError, ValidationError) as error:
            yield {"error": _words(error)}

    async def scan_registers(self, request: Mapping[str, Any]) -> AsyncIterator[Item]:
        """An item for each few registers: what could be read (see ``RegistersForm``)."""
        try:
            form = RegistersForm.model_validate(request)
            async with self._asking(form) as (ask, unit_id):
                async for upto, found in scan_registers(ask, unit_id, form.table, *form.registers):
                    yield {"upto": upto, "registers": {str(at): word.hex() for at, word in found.items()}}
            yield {"done": True}
        except (DeviceError, ProbeError, ValidationError) as error:
            yield {"error": _words(error)}

    @asynccontextmanager
    async def _asking(self, form: _Form) -> AsyncIterator[tuple[Ask, int]]:
        """A way to ask questions of the line, and the unit that is meant."""
        site = self._site()
        device = site.devices.get(form.target)
        name = device.line if device else form.target
        if name not in site.lines:
            known = ", ".join([*site.devices, *site.lines])
            raise ProbeError(f"there is no device or line {form.target}; {known} are there")
        settings = site.lines[name]
        if not settings.kind.startswith("modbus"):
            raise ProbeError(f"line {name} is {settings.kind}; only Modbus has registers to probe")
        if self._turn.locked():
            raise ProbeError("another probe or scan is running; wait for its end")
        usual, pause = 1, 0.0
        if isinstance(device, ModbusDevice):
            usual, pause = device.unit_id, device.turn_around.total_seconds()
        unit_id = usual if form.unit is None else form.unit
        async with self._turn:
            read = next((s for s in self._sources() if s.name == name and isinstance(s, Line)), None)
            line = read or KINDS[settings.kind].open(name, settings, {}, Time(), 0.0, memory=Memory())
            assert isinstance(line, Line)
            try:
                yield _gently(line, form.timeout, pause, share=SHARE if read else 1.0), unit_id
            finally:
                if read is None:
                    line.close()


def _gently(line: Line, timeout: float, pause: float, share: float) -> Ask:
    """Asks the line's owner, and then rests, so that no more than ``share`` of the line's time goes into it."""

    async def ask(unit_id: int, pdu: bytes) -> bytes:
        began = 0.0

        async def question(wire: object) -> bytes:
            nonlocal began
            began = time.monotonic()
            return await cast(ModbusWire, wire).ask(unit_id, pdu, timeout, pause)

        try:
            return await line.lend(question)
        finally:
            if began:
                await asyncio.sleep((time.monotonic() - began) * (1 / share - 1))

    return ask


def _plain(guess: Guess) -> Item:
    register = guess.register
    return {
        "address": register.address,
        "type": register.type,
        "order": register.order,
        "scale": register.scale,
        "value": guess.value if math.isfinite(guess.value) else None,
        "mark": guess.mark,
        "steady": guess.steady,
        "point": point(guess.register),
    }


def point(register: Any) -> str:
    """The register as a point of ``devices.toml``."""
    parts = [f'table = "{register.table}"', f"address = {register.address}"]
    if register.type != "bit":
        parts.append(f'type = "{register.type}"')
    if register.order != "ABCD":
        parts.append(f'order = "{register.order}"')
    if register.scale != 1:
        parts.append(f"scale = {register.scale:g}")
    return "{ " + ", ".join(parts) + " }"


def _words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return str(error)
