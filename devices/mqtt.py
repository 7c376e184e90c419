"""MQTT: a broker with its publishers, read into batches; acknowledged once the hall holds them durably.

A message is acknowledged when ``emit``'s ``done`` is called. While the hall has no room nothing is, so
that the broker waits: on MQTT 5 after ``receive_maximum`` messages, on 3.1.1 after a limit of its own.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Any

from devices.batch import Emit
from devices.line import Time
from devices.mqtt_device import MqttDevice
from devices.mqtt_line import MqttLine
from devices.mqtt_packets import Message
from devices.mqtt_reception import DeadLetter, DeviceTopics, Reception, log
from devices.mqtt_session import BrokerError, Presence, Session, Take, connected
from devices.mqtt_topics import Topics
from devices.mqtt_waveform import Features
from devices.source import SourceStatus

__all__ = ["MqttDevice", "MqttLine", "MqttSource"]

_FIRST_DELAY, _LONGEST_DELAY = 0.5, 5.0  # seconds between attempts to reach a broker that is away,
_REFUSED_DELAY = 20.0  # and one that refuses: asking sooner only fills its log
_STEADY = 5.0  # seconds that a connection must hold for the outage to be over
_CHASED = 3  # connections in a row that did not: brokers seldom tell that another client has our name
_FAILURE = 0x80  # reason codes from here on
_USERS = "check username, password_file and the broker's users and access list"
_REMEDIES = {
    0x84: 'try the other version: "5" or "3.1.1"',
    0x85: "try another client_id",
    0x86: _USERS,
    0x87: _USERS,
    0x8A: "the broker has banned this client; ask its owner",
    0x8E: "another client has this client_id; give each its own",
    0x97: "a limit of the broker is reached; ask its owner",
    0x9F: "the broker limits how often one may connect; ask its owner",
}


class MqttSource:
    """A broker and the devices that publish to it.

    ``dead_letter(topic, payload, reason)`` takes what cannot be read, before it is acknowledged. ``topics`` makes, of a
    device's name, settings and the time, what reads its messages.
    """

    def __init__(
        self,
        name: str,
        line: MqttLine,
        devices: Mapping[str, Any],
        *,
        dead_letter: DeadLetter | None = None,
        clock: Time | None = None,
        topics: Callable[..., DeviceTopics] = Topics,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.client_id = line.client_id or f"watchkeeper-{socket.gethostname()}-{name}"
        self._line = line
        self._clock = clock or Time()
        self._draw = draw
        self._reception = Reception(devices, self._clock, dead_letter, topics)
        self.session: Session | None = None  # while there is one
        self._detail = "not connected yet"
        self._failures = 0  # of this outage
        self._said: set[str | None] = set()  # what of this outage is in the log
        self._promised = False
        self._steady = False
        self._brief = 0  # connections in a row that did not hold

    async def run(self, emit: Emit) -> None:
        """Listen until cancelled; no fault of broker or publisher ends it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._stay_connected(emit), name=f"{self.name} connection")
            tasks.create_task(self._reception.release(emit), name=f"{self.name} brake")
            tasks.create_task(self._reception.watch_silence(emit), name=f"{self.name} silence")

    def status(self) -> SourceStatus:
        """How the broker and its devices do now."""
        reception = self._reception
        return SourceStatus(
            name=self.name,
            kind=self._line.kind,
            up=reception.listening,
            detail=self._detail,
            counts={**reception.counts, "held": reception.held},
            devices=tuple(listener.status() for listener in reception.listeners),
        )

    async def _stay_connected(self, emit: Emit) -> None:
        delay = _FIRST_DELAY
        while True:
            self._steady = False
            try:
                await self._converse(emit)
            except BrokerError as error:
                refused = self._is_down(error)
            if self._steady:
                delay = _FIRST_DELAY
            await self._clock.sleep((_REFUSED_DELAY if refused else delay) * (0.75 + 0.5 * self._draw()))
            delay = min(_LONGEST_DELAY, 2 * delay)

    async def _converse(self, emit: Emit) -> None:
        """Be connected for as long as it lasts, and end with a BrokerError."""

        def take(session: Session, messages: list[Message]) -> None:
            self._reception.take(session, messages, emit)

        try:
            async with self._connected(take) as session:
                await self._subscribe(session)
                self.session = session
                self._greet(session)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_STEADY):
                        await session.lost()
                self._is_back()
                await session.lost()
        finally:
            self._reception.listening = False
            self.session = None

    def _connected(self, take: Take) -> AbstractAsyncContextManager[Session]:
        presence = Presence(f"watchkeeper/{self.client_id}/status")
        return connected(self._line, self.client_id, presence, take)

    async def _subscribe(self, session: Session) -> None:
        """Subscribe on every connection: a session that was resumed may know older topics only."""
        listeners = {listener.topics.device.topic: listener for listener in self._reception.listeners}
        for topic, code in (await session.subscribe(listeners)).items():
            refused = f"{self._line.address} refuses {topic} (reason code {code}); {_USERS}"
            refused = refused if code >= _FAILURE else ""
            if refused and not listeners[topic].refused:
                log.error("%s: %s", listeners[topic].topics.name, refused)
            listeners[topic].refused = refused

    def _greet(self, session: Session) -> None:
        self._reception.listening = True
        self._detail = ""
        self._brief += 1
        if not self._promised:
            self._promised = True
            log.info("line %s: %s", self.name, promise(self._line, session))
        elif not session.resumed:
            self._reception.counts["sessions_lost"] += 1
            log.warning("line %s: the broker forgot our session, and what it kept for us is lost", self.name)

    def _is_back(self) -> None:
        self._steady = True
        self._brief = 0
        if self._failures:
            log.info("line %s is back after %d failed attempts", self.name, self._failures)
        self._failures = 0
        self._said.clear()

    def _is_down(self, error: BrokerError) -> bool:
        """One log line for each kind of reason in an outage, however long; is it one that takes a person?"""
        remedy = _REMEDIES.get(error.code or 0)
        self._detail = f"{self._line.address} {'refuses us' if remedy else 'is away'}: {error}"
        if self._brief >= _CHASED:
            remedy = f"does another client have the client_id {self.client_id}?"
        if remedy:
            self._detail += f"; {remedy}"
        self._failures += 1
        if remedy not in self._said:
            self._said.add(remedy)
            log.warning("line %s is down: %s", self.name, self._detail)
        return remedy is not None


def promise(line: MqttLine, session: Session) -> str:
    """Whose promise ends where, as far as the broker tells."""
    told, asked = session.properties, int(line.session_expiry.total_seconds())
    kept = told.get("SessionExpiryInterval", asked)
    while_away = f"for {kept / 3600:.4g} h" if line.version == "5" else "as long as its settings say"
    if line.version == "5" and kept < asked:
        while_away += f" ({asked / 3600:.4g} h were asked for)"
    weak = "" if told.get("MaximumQoS", 1) else "; it serves QoS 0 only, so messages may be lost on the way"
    return (
        f"the broker at {line.address} (MQTT {line.version}) keeps messages {while_away} "
        f"while we are away, within its queue limits and if it persists; what we acknowledge is durable here{weak}"
    )


def open_broker(
    name: str,
    line: MqttLine,
    devices: Mapping[str, MqttDevice],
    clock: Time,
    _start: float,
    dead_letter: DeadLetter | None = None,
    *,
    features: Features | None = None,
) -> MqttSource:
    """The broker ``name`` with its devices; nothing is connected yet."""
    topics = partial(Topics, features=features)
    return MqttSource(name, line, devices, clock=clock, dead_letter=dead_letter, topics=topics)
