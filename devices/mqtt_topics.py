"""An MQTT device: which topics are its own, and how a message on one becomes a batch. Pure."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from devices.batch import GOOD, Batch, Reason, SignalSet, bad, signal_set, uncertain
from devices.changes import Changes, SlopeLimit
from devices.conditioning import Conditioner
from devices.mqtt_device import SIGNAL, MqttDevice, MqttPoint, path_of
from devices.mqtt_packets import Message
from devices.mqtt_payload import (
    PayloadError,
    number,
    numbers,
    parser,
    picker,
    time_ns,
)
from devices.mqtt_waveform import Features
from devices.settings import slope_limit

MAX_PAYLOAD = 64 * 1024
EARLIEST = 946_684_800_000_000_000  # 2000-01-01: a payload that says less has no clock
AHEAD = 300_000_000_000  # five minutes; a payload from further in the future has a wrong one
FEW = 12  # points that are conditioned one by one
MAX_SHAPES = 256  # different sets of points that messages of one ``partial`` topic may carry

_RETAINED, _TIME_UNCERTAIN = uncertain(Reason.RETAINED), uncertain(Reason.TIME_UNCERTAIN)
_PLACE = re.compile(r"\{(\d+)\}")


class Reading(NamedTuple):
    """What a message came to; ``complaint`` says why it belongs into the dead letters as well.

    ``more`` are batches that go before it; ``gone`` says why the device is known to be away now.
    """

    batch: Batch | None
    complaint: str = ""
    more: tuple[Batch, ...] = ()
    gone: str = ""
    unchanged: bool = False  # nothing in it is worth a report


@dataclass(slots=True, eq=False)
class Route:
    """One topic bound to its signals. ``seen`` is the loop's time of its last sign of life."""

    signals: SignalSet
    seen: float
    silent: bool = False
    shapes: dict[bytes, SignalSet] = field(default_factory=dict)
    slopes: SlopeLimit | None = None
    changes: Changes | None = None


class Topics:
    """A device's topics, bound to their signals: at once, or with wildcards when a topic first appears."""

    def __init__(self, name: str, device: MqttDevice, now: float, features: Features | None = None) -> None:
        self.name = name
        self.device = device
        self._features = features
        self.silent = 0  # how many of the topics are
        self._matches = re.compile(_pattern(device.topic))
        self._parse = parser(device.payload, device.separator)
        paths = [path_of(*each) for each in device.points.items()]
        self._timed = device.time_path is not None
        if device.time_path is not None:
            paths.append(device.time_path)
        self._pick = picker([device.compiled(path) for path in paths])
        self._conditioner = Conditioner(list(device.points.values()))
        self._plain = _plain(list(device.points.values()))
        self._good = np.zeros(len(device.points) + 1, np.uint8)
        names = () if self._matches.groups else tuple(device.points)
        self.routes = {device.topic: self._route(names, now)}

    @property
    def online(self) -> bool:
        """Has none of the topics fallen silent?"""
        return self.silent == 0

    def heard(self, route: Route, now: float) -> bool:
        """Note a sign of life on this topic; is it the one that makes the device whole again?"""
        was_silent, route.silent, route.seen = route.silent, False, now
        self.silent -= was_silent
        return was_silent and self.silent == 0

    def overdue(self, now: float) -> dict[str, Route]:
        """The topics that owe a message: they are silent now, and owe the next a period later."""
        limit = now - self.device.silence.total_seconds()
        found = {topic: route for topic, route in self.routes.items() if route.seen <= limit}
        for route in found.values():
            self.silent += not route.silent
            route.seen, route.silent = now, True
        return found

    def bind(self, topic: str, now: float) -> Route | None:
        """The route of ``topic``, which has none yet; None if the topic is not this device's.

        PayloadError if it is and cannot be bound: a level that is no name, or a topic too many.
        """
        found = self._matches.fullmatch(topic)
        if found is None:
            return None
        names = tuple(_PLACE.sub(lambda place: found[int(place[1])], name) for name in self.device.points)
        for name in names:
            if not SIGNAL.fullmatch(name):
                raise PayloadError(f'{name!r} is no "<asset>/<quantity>" of letters, digits, _ . -')
        if len(self.routes) >= self.device.max_topics and self.device.topic not in self.routes:
            raise PayloadError(f"more than max_topics = {self.device.max_topics} match {self.device.topic}")
        if waiting := self.routes.pop(self.device.topic, None):  # it stood for all while none was known
            self.heard(waiting, now)
        route = self.routes[topic] = self._route(names, now)
        return route

    def read(self, route: Route, message: Message, arrival: int) -> Reading:
        """The batch of ``message``, which came at ``arrival`` (UTC in ns)."""
        try:
            document = self._document(message)
            if self.device.waveform is not None:
                asset = route.signals.names[0].partition("/")[0]
                document = self.device.waveform.told(document, asset, self._features)
        except PayloadError as error:
            return Reading(self.absent(route, arrival, Reason.DECODE), str(error))
        found = self._pick(document)
        time, doubt = self._time(found.pop(), arrival) if self._timed else (arrival, GOOD)
        if self.device.partial and all(each is None for each in found):
            return Reading(None)
        quick = self._quickly(found)
        raw = numbers(found) if quick is None else []
        values, quality = self._conditioned(raw) if quick is None else (quick, self._good.copy())
        if message.retained:
            doubt = _RETAINED
        if doubt:
            quality[:-1][quality[:-1] == GOOD] = doubt
        if route.slopes is not None:
            route.slopes.apply(time / 1e9, values, quality)
        if route.changes is not None and not route.changes.worth(time / 1e9, values, quality):
            return Reading(None, unchanged=True)
        batch = Batch(route.signals, time, arrival, values, quality)
        if self.device.partial and None in found:
            batch = self._present(route, batch, [each is not None for each in found])
        if quick is None and all(map(math.isnan, raw)):
            return Reading(batch, "none of its points can be read")
        return Reading(batch)

    def absent(self, route: Route, time: int, reason: Reason) -> Batch:
        """A batch without values: the topic fell silent, or what came cannot be read."""
        if route.changes is not None:
            route.changes.forget()  # what comes after this is news
        width = len(route.signals.names)
        values = np.full(width, math.nan)
        quality = np.full(width, bad(reason), np.uint8)
        values[-1], quality[-1] = self.online, GOOD
        return Batch(route.signals, time, time, values, quality)

    def _route(self, names: tuple[str, ...], now: float) -> Route:
        points = list(self.device.points.values())
        return Route(
            self._signals(names), now, slopes=slope_limit(points), changes=self.device.changes(points, 0.0)
        )

    def _signals(self, names: tuple[str, ...]) -> SignalSet:
        return signal_set(self.name, (*names, f"{self.name}/online"))

    def _document(self, message: Message) -> object:
        if message.cut or len(message.payload) > MAX_PAYLOAD:
            raise PayloadError(f"longer than {MAX_PAYLOAD} bytes")
        return self._parse(message.payload)

    def _quickly(self, found: list[object]) -> NDArray[np.float64] | None:
        """What ``_conditioned`` gives for a few values that are all good; None for others: for few NumPy is slow."""
        if self._plain is None:
            return None
        values = []
        for each, (scale, offset, low, high) in zip(found, self._plain, strict=True):
            value = (each if type(each) is float else number(each)) * scale + offset
            if not low <= value <= high:
                return None
            values.append(value)
        values.append(self.silent == 0)
        return np.array(values, np.float64)

    def _conditioned(self, raw: list[float]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Engineering values and their quality, with the device's ``online`` behind them."""
        values, quality = np.array([*raw, self.online]), np.zeros(len(raw) + 1, np.uint8)
        self._conditioner.apply(values[:-1], quality[:-1])
        return values, quality

    def _time(self, said: object, arrival: int) -> tuple[int, int]:
        """When the sample was taken, and the quality of saying so: a payload's own time must be sane."""
        time = time_ns(said, self.device.time_unit)
        if time is None or not EARLIEST < time < arrival + AHEAD:
            return arrival, _TIME_UNCERTAIN
        return time, GOOD

    def _present(self, route: Route, batch: Batch, present: list[bool]) -> Batch:
        """The batch with those points only that the message carried."""
        keep = [*present, True]
        shape = bytes(keep)
        signals = route.shapes.get(shape)
        if signals is None:
            if len(route.shapes) >= MAX_SHAPES:  # somebody plays: what lacks stays in, as bad
                return batch
            names = [name for name, kept in zip(route.signals.names, present, strict=False) if kept]
            signals = route.shapes[shape] = self._signals(tuple(names))
        return Batch(signals, batch.time, batch.arrival, batch.values[keep], batch.quality[keep])


def _plain(points: Sequence[MqttPoint]) -> list[tuple[float, float, float, float]] | None:
    """Scale, offset and plausible range of each of a few points without sentinels."""
    if len(points) > FEW or any(point.sentinel for point in points):
        return None
    whole = (-sys.float_info.max, sys.float_info.max)
    return [(point.scale, point.offset, *(point.range or whole)) for point in points]


def _pattern(topic: str) -> str:
    """The regular expression of a topic filter; each wildcard is a group."""
    levels = {"+": "([^/]*)", "#": "(.*)"}
    return "/".join(levels.get(level) or re.escape(level) for level in topic.split("/"))
