"""The plant in trouble, for a gateway to be tried on before it goes live.

Before each Modbus wire stands a proxy that spoils answers, and now and then a device misbehaves for some seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random

from simulators.chaos import RtuProxy, TcpProxy, Trouble
from simulators.stand import MOODS, Device

USUAL = 0.1  # share of answers
_MIX = {  # of all troubles; those that no client could notice are left out
    "delay": 0.2, "slice": 0.2, "late": 0.1, "drop": 0.1, "flip": 0.1, "stranger": 0.1, "noise": 0.05, "collide": 0.05,
    "repeat": 0.04, "swap": 0.03, "cut": 0.03,
}  # fmt: skip
_CALM, _SPELL = (5.0, 15.0), (5.0, 15.0)  # s between two misbehaviours, and for one


class ChaosPlant:
    """Makes trouble for ``share`` of the answers of all wires that it stands before."""

    def __init__(self, share: float, seed: int) -> None:
        self._trouble = Trouble(**{name: share * part for name, part in _MIX.items()})
        self._random = Random(seed)  # noqa: S311 - troubles by seed
        self._moods: Counter[str] = Counter()
        self._answers: list[Counter[str]] = []
        self._closing = contextlib.AsyncExitStack()

    async def stand_before_tcp(self, upstream: tuple[str, int], host: str, port: int) -> int:
        """Listen for clients; the port."""
        proxy = TcpProxy(upstream, self._trouble, self._next_seed())
        listening = await proxy.start(port, host)
        self._closing.push_async_callback(proxy.stop)
        self._answers.append(proxy.counts)
        return listening

    def stand_before_rtu(self, upstream: Path, link: Path) -> None:
        """A line of its own under ``link``."""
        proxy = RtuProxy(upstream, self._trouble, self._next_seed())
        proxy.start(link)
        self._closing.callback(proxy.stop)
        self._answers.append(proxy.counts)

    def unsettle(self, devices: Mapping[str, Device]) -> None:
        """Let one of ``devices`` misbehave from time to time; each time is a line of JSON on standard error."""
        task = asyncio.create_task(self._unsettle(devices), name="moods")

        async def stop() -> None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        self._closing.push_async_callback(stop)

    async def close(self) -> None:
        """End all trouble."""
        await self._closing.aclose()

    def counts(self) -> dict[str, object]:
        """What happened to how many answers, and how often devices misbehaved in which way."""
        return {"troubles": dict(sum(self._answers, Counter())), "moods": dict(self._moods)}

    def _next_seed(self) -> int:
        return self._random.randrange(1 << 32)

    async def _unsettle(self, devices: Mapping[str, Device]) -> None:
        while True:
            await asyncio.sleep(self._random.uniform(*_CALM))
            device = self._random.choice(list(devices.values()))
            mood, spell = self._random.choice(MOODS[1:]), round(self._random.uniform(*_SPELL), 1)
            self._moods[mood] += 1
            sys.stderr.write(json.dumps({"device": device.asset, "behave": mood, "seconds": spell}) + "\n")
            device.behave(mood)
            await asyncio.sleep(spell)
            device.behave("well")
