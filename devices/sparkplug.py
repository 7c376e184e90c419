"""Sparkplug B: edge nodes behind a broker. As plain MQTT, and a node of which not all is known is asked for its birth.

That request (``Node Control/Rebirth``) is the only thing that is ever published to a node; nothing else can be.
With a ``host_id`` the gateway is a host application that all may see: nodes that wait for it keep what they measure
while it is away (Sparkplug 3.0, chapters 4.3 and 6.4).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Literal

import msgspec
from pydantic import Field

from devices.batch import Emit
from devices.line import Time
from devices.mqtt import MqttLine, MqttSource
from devices.mqtt_packets import Message
from devices.mqtt_reception import DeadLetter
from devices.mqtt_session import Presence, Session, Take, connected
from devices.sparkplug_node import NAMESPACE, SparkplugDevice, SparkplugTopics
from devices.sparkplug_payload import rebirth

__all__ = ["SparkplugDevice", "SparkplugLine", "SparkplugSource", "open_nodes"]

log = logging.getLogger(__name__)

_LOOK = 1.0  # seconds
_ASK_AGAIN = 15.0  # seconds until a node that was asked for its birth is asked again


class SparkplugLine(MqttLine):
    """A broker with edge nodes."""

    kind: Literal["sparkplug"]
    host_id: str | None = Field(
        default=None,
        pattern=r"^[^/+#\x00]+$",
        description="spBv1.0/STATE/<host_id> tells nodes whether we listen; they may have it as their primary host",
    )


class SparkplugSource(MqttSource):
    """A broker and the edge nodes that publish to it."""

    def __init__(
        self, name: str, line: SparkplugLine, devices: Mapping[str, SparkplugDevice], **more: Any
    ) -> None:
        super().__init__(name, line, devices, topics=SparkplugTopics, **more)
        self._host_id = line.host_id

    def _connected(self, take: Take) -> AbstractAsyncContextManager[Session]:
        if self._host_id is None:
            return super()._connected(take)
        presence = _state(self._host_id, self._clock.wall() // 1_000_000)
        return connected(self._line, self.client_id, presence, _heeding(presence, take))

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


def _state(host_id: str, now: int) -> Presence:
    """What nodes see of a host; birth and death of one connection carry the same time (UTC in ms)."""
    here, gone = (
        msgspec.json.encode({"online": online, "timestamp": now}).decode() for online in (True, False)
    )
    return Presence(f"{NAMESPACE}/STATE/{host_id}", here, gone, heard=True)


def _heeding(presence: Presence, take: Take) -> Take:
    """``take``, but a death of ours that somebody else told, as the broker does late, is taken back at once."""

    def heed(session: Session, messages: list[Message]) -> None:
        for message in messages:
            if message.topic == presence.topic:
                _answer(session, presence, message)
        take(session, [message for message in messages if message.topic != presence.topic])

    return heed


def _answer(session: Session, presence: Presence, message: Message) -> None:
    if message.packet_id:
        session.ack(message.packet_id)
    dead = b"false" in message.payload and not message.retained
    if dead and message.payload != presence.gone.encode():  # which is our own goodbye
        session.tell_all(presence.topic, presence.here)


def open_nodes(
    name: str,
    line: SparkplugLine,
    devices: Mapping[str, SparkplugDevice],
    clock: Time,
    _start: float,
    dead_letter: DeadLetter | None = None,
) -> SparkplugSource:
    """The broker ``name`` with its edge nodes; nothing is connected yet."""
    return SparkplugSource(name, line, devices, clock=clock, dead_letter=dead_letter)
