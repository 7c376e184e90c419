"""A device profile on trial: a simulated device holds known numbers in its map, and our own reader fetches them."""

from __future__ import annotations

import asyncio
import json
import math
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from devices.batch import Batch, describe
from devices.forecast import forecast
from devices.kinds import KINDS, open_sources
from devices.modbus_map import ModbusDevice
from devices.profile import Profile
from devices.source import Source
from gateway.children import child

PATIENCE = 20.0  # s for all points to be read


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of reading a profile over one kind of line; ``seconds`` of line time are what the planner says."""

    kind: str
    points: int
    requests: int
    registers: int
    seconds: float
    wrong: tuple[str, ...]


def try_out(profile: Profile) -> list[Verdict]:
    """Read every point over Modbus TCP and RTU, from a process that holds known numbers; raises ChildFailedError."""
    numbers = {name: _number(profile, name, n) for n, name in enumerate(profile.points)}
    points = {f"trial/{name}": profile.point(name) for name in profile.points}
    settings = {"line": "l", **profile.manners(), "period": timedelta(seconds=0.5), "points": points}
    device = ModbusDevice.model_validate(settings)
    with tempfile.TemporaryDirectory(prefix="trial-") as folder:
        image, link, log = (Path(folder) / name for name in ("image.json", "rtu", "log"))
        held = [_held(device, name, raw) for name, raw in numbers.items()]
        image.write_text(json.dumps({device.unit_id: held}))
        words = ["-m", "simulators", "registers", str(image), "--rtu", str(link)]
        with child("simulated device", words, log, talks=True) as simulated:
            ready = json.loads(simulated.stdout.readline() or "{}")
            if not ready:
                simulated.finish(5)
            serial = profile.port.model_dump() if profile.port else {}
            lines = {"modbus-tcp": ready["tcp"], "modbus-rtu": serial | {"port": str(link)}}
            return [_verdict({"kind": kind, **line}, device, numbers) for kind, line in lines.items()]


def _number(profile: Profile, name: str, n: int) -> float:
    """A number before scaling that this point may well hold, another one for each point; exact in its type."""
    point, spread = profile.points[name], (n + 1) / (len(profile.points) + 1)
    type_ = point.register().type
    if type_ == "bit":
        return float(n % 2)
    if point.range is not None:
        low, high = point.range
        raw = (low + spread * (high - low) - point.offset) / point.scale
    else:
        raw = (100.25 + 8 * n) * (-1 if type_[0] in "if" and n % 2 else 1)
    return float(np.float32(raw)) if type_[0] == "f" else float(round(raw))


def _held(device: ModbusDevice, name: str, raw: float) -> dict[str, Any]:
    register = device.points[f"trial/{name}"].register()
    keys = ("table", "address", "type", "order", "bit")
    return {key: getattr(register, key) for key in keys} | {"raw": raw}


def _verdict(line: dict[str, Any], device: ModbusDevice, numbers: Mapping[str, float]) -> Verdict:
    kind = KINDS[line["kind"]]
    sources = open_sources({"l": kind.line.model_validate(line)}, {"trial": device})
    [plan] = forecast(sources)
    batch = asyncio.run(_first(sources[0]))
    wrong = tuple(_faults(device, numbers, batch)) if batch else ("nothing was read",)
    return Verdict(
        line["kind"],
        len(numbers),
        sum(len(poll.requests) for poll in plan.polls),
        sum(poll.registers for poll in plan.polls),
        sum(poll.seconds for poll in plan.polls),
        wrong,
    )


async def _first(source: Source) -> Batch | None:
    """The first batch in which the device answered; all its points have one period."""
    found: list[Batch] = []
    enough = asyncio.Event()

    def emit(batch: Batch, done: object = None) -> bool:  # noqa: ARG001 - an Emit's form
        if batch.values[-1] == 1.0:
            found.append(batch)
            enough.set()
        return True

    task = asyncio.create_task(source.run(emit))
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await enough.wait()
    task.cancel()
    await asyncio.wait([task])
    return found[0] if found else None


def _faults(device: ModbusDevice, numbers: Mapping[str, float], batch: Batch) -> list[str]:
    found = []
    for (name, raw), value, quality in zip(numbers.items(), batch.values, batch.quality, strict=False):
        point = device.points[f"trial/{name}"]
        held = raw * point.scale + point.offset
        if quality or not math.isclose(value, held, rel_tol=1e-6, abs_tol=1e-9):
            found.append(f"{name}: {value:g} ({describe(int(quality))}) where {held:g} is held")
    return found
