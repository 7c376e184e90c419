"""Sparkplug B: edge nodes behind a broker. As plain MQTT, and a node of which not all is known is asked for its birth.

That request (``Node Control/Rebirth``) is the only thing that is ever published to a node; nothing else can be.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from devices.batch import Emit
from devices.line import Time
from devices.mqtt import MqttLine, MqttSource
from devices.mqtt_reception import DeadLetter
from devices.sparkplug_node import NAMESPACE, SparkplugDevice, SparkplugTopics
from devices.sparkplug_payload import rebirth

__all__ = ["SparkplugDevice", "SparkplugSource", "open_nodes"]

log = logging.getLogger(__name__)

_LOOK = 1.0  # seconds
_ASK_AGAIN = 15.0  # seconds until a node that was asked for its birth is asked again


class SparkplugSource(MqttSource):
    """A broker and the edge nodes that publish to it."""

    async def run(self, emit: Emit) -> None:
        """Listen until cancelled; no fault of broker or node ends it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(super().run(emit), name=f"{self.name} messages")
            tasks.create_task(self._ask_for_births(), name=f"{self.name} births")

    async def _ask_for_births(self) -> None:
        asked: dict[str, float] = {}
        while True:
            await self._clock.sleep(_LOOK)
            for listener in self._reception.listeners:
                topics, now = listener.topics, self._clock.now()
                assert isinstance(topics, SparkplugTopics)
                if not topics.wants_birth or now - asked.get(topics.name, -_ASK_AGAIN) < _ASK_AGAIN:
                    continue
                if self.session is not None and self._reception.listening:
                    asked[topics.name] = now
                    self._reception.counts["rebirths"] += 1
                    self._ask(topics.device)

    def _ask(self, node: SparkplugDevice) -> None:
        assert self.session is not None
        command = f"{NAMESPACE}/{node.group}/NCMD/{node.node}"
        self.session.tell(command, rebirth(self._clock.wall() // 1_000_000))
        log.info("asked %s/%s for its birth", node.group, node.node)


def open_nodes(
    name: str,
    line: MqttLine,
    devices: Mapping[str, SparkplugDevice],
    clock: Time,
    _start: float,
    dead_letter: DeadLetter | None = None,
) -> SparkplugSource:
    """The broker ``name`` with its edge nodes; nothing is connected yet."""
    return SparkplugSource(name, line, devices, clock=clock, dead_letter=dead_letter, topics=SparkplugTopics)
