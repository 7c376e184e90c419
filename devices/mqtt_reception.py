"""Where an MQTT message goes: to its device, as a batch to the hall, and back to the broker as acknowledged."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

from devices.batch import Batch, DeviceError, Emit, Reason, bad
from devices.line import Time
from devices.mqtt_packets import Message
from devices.mqtt_payload import PayloadError
from devices.mqtt_session import Session
from devices.mqtt_topics import Reading, Route, Topics
from devices.source import DeviceStatus, Tally

log = logging.getLogger("devices.mqtt")

DeadLetter: TypeAlias = Callable[[str, bytes, str], None]

_BRAKE = 0.1  # seconds until the hall is asked again whether it has room
_NAMED = 100  # topics that are logged, each once, as strange or unreadable
_SMOOTH = 0.1


class DeviceTopics(Protocol):
    """The topics of one device, and how a message on one becomes batches: ``Topics``, or one for another payload."""

    name: str
    silent: int
    device: Any
    routes: dict[str, Route]

    @property
    def online(self) -> bool: ...
    def heard(self, route: Route, now: float) -> bool: ...
    def overdue(self, now: float) -> dict[str, Route]: ...
    def bind(self, topic: str, now: float) -> Route | None: ...
    def read(self, route: Route, message: Message, arrival: int) -> Reading: ...
    def absent(self, route: Route, time: int, reason: Reason) -> Batch: ...


@dataclass(slots=True, eq=False)
class _Held:
    """A message for which the hall had no room yet."""

    message: Message
    batch: Batch
    done: Callable[[], None]

    @property
    def key(self) -> tuple[str, bytes]:
        return self.message.topic, self.message.payload


class Listener:
    """One device's topics, and how it goes."""

    def __init__(self, topics: DeviceTopics, since: int) -> None:
        self.topics = topics
        self.tally = Tally()
        self.since = since
        self.detail = ""
        self.logged = False  # its silence is in the log
        self.refused = ""  # why the broker gives us none of its topics
        self._last: float | None = None

    def received(self, now: float) -> None:
        """Count a message."""
        tally = self.tally
        tally.expected += 1
        if self._last is not None:
            gap, old = now - self._last, tally.achieved_period
            tally.achieved_period = gap if old is None else old + _SMOOTH * (gap - old)
        self._last = now

    def status(self) -> DeviceStatus:
        """Parked when all its topics are silent, suspect when some are."""
        topics = self.topics
        silent = "suspect" if topics.silent < len(topics.routes) else "parked"
        return DeviceStatus(
            name=topics.name,
            state="healthy" if topics.online else silent,
            since=self.since,
            detail=self.refused or self.detail,
            period=topics.device.silence.total_seconds(),
            tally=self.tally,
        )


class Reception:
    """Takes messages for its devices; acknowledges what the hall has made durable, and nothing else.

    While the hall has no room, messages are held and asked about again, in their order. They are bounded by
    what a broker sends without an acknowledgement; what nobody acknowledges (QoS 0) is not held but counted.
    """

    def __init__(
        self,
        devices: Mapping[str, Any],
        clock: Time,
        dead_letter: DeadLetter | None,
        topics: Callable[..., DeviceTopics] = Topics,
    ) -> None:
        self.listeners = [
            Listener(topics(name, device, clock.now()), clock.wall()) for name, device in devices.items()
        ]
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._dead_letter = dead_letter
        self.listening = False
        self._by_topic: dict[str, tuple[Listener, Route]] = {}
        for listener in self.listeners:
            for topic, route in listener.topics.routes.items():
                if topic in self._by_topic:
                    other = self._by_topic[topic][0].topics.name
                    raise DeviceError(
                        f"{listener.topics.name} and {other} both read topic {topic}; join them"
                    )
                self._by_topic[topic] = listener, route
        self._held: deque[_Held] = deque()
        self._older: dict[tuple[str, bytes], _Held] = {}  # held since an earlier session
        self._braked = asyncio.Event()
        self._session: Session | None = None
        self._named: set[str] = set()

    def take(self, session: Session, messages: Iterable[Message], emit: Emit) -> None:
        """Messages came, all at this moment. Called in the loop."""
        if session is not self._session:
            self._session = session
            self._older = {each.key: each for each in self._held}
        now, arrival = self._clock.now(), self._clock.wall()
        for message in messages:
            self._take(session, message, now, arrival, emit)

    def _take(self, session: Session, message: Message, now: float, arrival: int, emit: Emit) -> None:
        done = partial(session.ack, message.packet_id) if message.packet_id else _nobody_waits
        if message.again:
            self.counts["again"] += 1
            if older := self._older.pop((message.topic, message.payload), None):
                older.done = done  # it waits here already; only its acknowledgement has a new address
                return
        bound = self._by_topic.get(message.topic) or self._bind(session, message)
        if bound is None:
            done()
            return
        batch, _, more, *_ = self._read(*bound, message, now, arrival)
        for each in more:  # they are durable before the last, which acknowledges for all
            self._hand_over(bound[0], message, each, _nobody_waits, emit)
        if batch is None:
            done()
        else:
            self._hand_over(bound[0], message, batch, done, emit)

    def _hand_over(
        self, listener: Listener, message: Message, batch: Batch, done: Callable[[], None], emit: Emit
    ) -> None:
        if self._held and message.packet_id:
            self._held.append(_Held(message, batch, done))
        elif not emit(batch, done):
            if message.packet_id:
                self._held.append(_Held(message, batch, done))
                self._braked.set()
            else:
                listener.tally.refused += 1

    @property
    def held(self) -> int:
        """Messages that wait for room in the hall."""
        return len(self._held)

    async def release(self, emit: Emit) -> None:
        """Hand over what is held, as soon as the hall has room again; until cancelled."""
        while True:
            await self._braked.wait()
            self.counts["braked"] += 1
            while self._held:
                first = self._held[0]
                if emit(first.batch, first.done):
                    self._held.popleft()
                    self._older.pop(first.key, None)
                else:
                    await self._clock.sleep(_BRAKE)
            self._braked.clear()

    async def watch_silence(self, emit: Emit) -> None:
        """One batch without values per topic and silent period; until cancelled."""
        shortest = min(each.topics.device.silence.total_seconds() for each in self.listeners)
        while True:
            await self._clock.sleep(min(1.0, shortest / 4))
            for listener in self.listeners:
                self._say_silent(listener, emit)

    def _say_silent(self, listener: Listener, emit: Emit) -> None:
        topics, tally = listener.topics, listener.tally
        was_online = topics.online
        overdue = topics.overdue(self._clock.now())
        for route in overdue.values():
            tally.expected += 1
            tally.failed += 1
            batch = topics.absent(route, self._clock.wall(), Reason.COMM_LOST)
            if not self.listening:  # the broker is away: whether its publishers live, nobody knows
                batch.values[-1], batch.quality[-1] = math.nan, bad(Reason.COMM_LOST)
            if not emit(batch):
                tally.refused += 1
        if not overdue:
            return
        if was_online:
            listener.since = self._clock.wall()
        silence = topics.device.silence.total_seconds()
        listener.detail = f"no message on {', '.join(list(overdue)[:3])} for {silence:.3g} s"
        if self.listening and not listener.logged:  # while the broker is away there is one line for all
            listener.logged = True
            log.warning("%s stopped answering: %s", topics.name, listener.detail)

    def _bind(self, session: Session, message: Message) -> tuple[Listener, Route] | None:
        """Who listens to this topic, which is new; None if nobody does, or it cannot be bound."""
        topic = message.topic
        for listener in self.listeners:
            try:
                route = listener.topics.bind(topic, self._clock.now())
            except PayloadError as error:
                self._bury(message, str(error))
                return None
            if route is not None:
                self._by_topic[topic] = listener, route
                return listener, route
        self.counts["strangers"] += 1
        if self._is_news(topic):
            log.warning("nobody listens to %s: an older subscription of %s", topic, session.client_id)
            session.unsubscribe(topic)
        return None

    def _read(self, listener: Listener, route: Route, message: Message, now: float, arrival: int) -> Reading:
        topics, tally = listener.topics, listener.tally
        listener.received(now)
        if message.retained:  # says what was, not that anybody lives
            self.counts["retained"] += 1
        elif topics.heard(route, now):
            self._is_back(listener)
        reading = topics.read(route, message, arrival)
        if reading.complaint:
            tally.failed += 1
            self._bury(message, reading.complaint)
        elif reading.gone:
            tally.failed += 1
            listener.since, listener.detail = self._clock.wall(), reading.gone
        elif reading.batch is None:
            tally.skip("unchanged" if reading.unchanged else "nothing_for_us")
        else:
            tally.read += 1
            if reading.more:
                tally.expected += len(reading.more)
                tally.read += len(reading.more)
        return reading

    def _is_back(self, listener: Listener) -> None:
        listener.since = self._clock.wall()
        listener.detail = ""
        if listener.logged:
            listener.logged = False
            log.info("%s is back", listener.topics.name)

    def _bury(self, message: Message, reason: str) -> None:
        self.counts["dead_letters"] += 1
        if self._is_news(message.topic):
            log.warning("cannot read %s: %s (said once per topic)", message.topic, reason)
        if self._dead_letter:
            self._dead_letter(message.topic, message.payload, reason)

    def _is_news(self, topic: str) -> bool:
        """Is this the first time that ``topic`` would be logged?"""
        if topic in self._named or len(self._named) >= _NAMED:
            return False
        self._named.add(topic)
        return True


def _nobody_waits() -> None:
    """What is done for a message of QoS 0."""
