"""A Sparkplug B edge node: which of its metrics are whose points, and how its messages become batches. Pure.

A node reports what changed, and dies aloud: its birth names all metrics, the broker tells its death. So a metric that
is not in a message still has its last value, until the node or its device dies.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated, Final

import numpy as np
from pydantic import Field

from devices.batch import GOOD, Batch, Reason, SignalSet, bad, signal_set, uncertain
from devices.conditioning import Conditioner
from devices.mqtt_packets import Message
from devices.mqtt_payload import PayloadError
from devices.mqtt_payload import number as as_number
from devices.mqtt_topics import AHEAD, EARLIEST, MAX_PAYLOAD, MAX_SHAPES, Reading, Route
from devices.settings import DeviceSettings, PointName, Scaled, slope_limit
from devices.sparkplug_payload import BD_SEQ, Metric, Payload, number, payload

NAMESPACE: Final = "spBv1.0"
_LEVEL = r"^[^/+#\x00]+$"
_KINDS: Final = frozenset({"NBIRTH", "DBIRTH", "NDATA", "DDATA", "NDEATH", "DDEATH"})
_STALE, _LOST, _NULL = bad(Reason.STALE), bad(Reason.COMM_LOST), bad(Reason.SENTINEL)
_TIME_UNCERTAIN, _HISTORICAL = uncertain(Reason.TIME_UNCERTAIN), uncertain(Reason.LATE)
_MS: Final = 1_000_000

Key = tuple[str, str]  # a device of the node ("" for the node itself), and a metric's name


class SparkplugPoint(Scaled):
    """Which metric is this signal, and how it becomes engineering units."""

    metric: str = Field(min_length=1)
    device: str = Field(default="", description="the node's device that has it; absent: the node itself")


class SparkplugDevice(DeviceSettings):
    """An edge node with its devices."""

    group: str = Field(pattern=_LEVEL)
    node: str = Field(pattern=_LEVEL)
    points: Annotated[dict[PointName, SparkplugPoint], Field(min_length=1)]
    silence: timedelta = Field(
        default=timedelta(days=1),
        ge=timedelta(seconds=1),
        description="no message for so long means: it is gone, even if no death was told",
    )

    @property
    def topic(self) -> str:
        """All that the node says."""
        return f"{NAMESPACE}/{self.group}/+/{self.node}/#"

    def signals(self) -> tuple[str, ...]:
        """The names of its points."""
        return tuple(self.points)


@dataclass(slots=True)
class _Known:
    """What is known of the metrics by the births: ``alias`` → key, key → datatype."""

    aliases: dict[int, Key] = field(default_factory=dict)
    datatypes: dict[Key, int] = field(default_factory=dict)


class SparkplugTopics:
    """One edge node. It stands where ``Topics`` stands for plain MQTT."""

    def __init__(self, name: str, device: SparkplugDevice, now: float) -> None:
        self.name = name
        self.device = device
        self.silent = 0  # 1 while the node is dead or silent
        self.wants_birth = True  # nothing, or not all, is known of its metrics
        points = device.points.values()
        self._places: dict[Key, list[int]] = {}
        for place, point in enumerate(points):
            self._places.setdefault((point.device, point.metric), []).append(place)
        self._conditioner = Conditioner(list(points))
        self._slopes = slope_limit(list(points))
        self._devices = np.array([point.device for point in points])
        self._raw = np.full(len(points), math.nan)
        self._lack = np.full(len(points), _STALE, np.uint8)  # why there is no value; GOOD where there is one
        self._known = _Known()
        self._seq: int | None = None
        self._bd_seq: int | None = None
        self._signals = signal_set(name, (*device.points, f"{name}/online"))
        self._shapes: dict[bytes, SignalSet] = {}
        self._route = Route(self._signals, now)
        self.routes = {device.topic: self._route}
        self._mine = re.compile(
            rf"{NAMESPACE}/{re.escape(device.group)}/([A-Z]+)/{re.escape(device.node)}(?:/([^/]+))?"
        )

    @property
    def online(self) -> bool:
        """Is the node alive, as far as was told?"""
        return self.silent == 0

    def heard(self, route: Route, now: float) -> bool:
        """Note a sign of life; is it the one that brings the node back?"""
        was_silent, route.silent, route.seen = route.silent, False, now
        self.silent = 0
        return was_silent

    def overdue(self, now: float) -> dict[str, Route]:
        """Its topics, if it owes a message."""
        if self._route.seen > now - self.device.silence.total_seconds():
            return {}
        self._die(now)
        return dict(self.routes)

    def bind(self, topic: str, now: float) -> Route | None:  # noqa: ARG002  # as Topics.bind
        """The node's route, if ``topic`` is the node's."""
        return self._route if self._mine.fullmatch(topic) else None

    def absent(self, route: Route, time: int, reason: Reason) -> Batch:
        """A batch without values."""
        width = len(route.signals.names)
        values, quality = np.full(width, math.nan), np.full(width, bad(reason), np.uint8)
        values[-1], quality[-1] = self.online, GOOD
        return Batch(route.signals, time, time, values, quality)

    def read(self, route: Route, message: Message, arrival: int) -> Reading:
        """The batch of ``message``; older values that the node had kept come as ``more``."""
        found = self._mine.fullmatch(message.topic)
        kind, device = (found[1], found[2] or "") if found else ("", "")
        if kind not in _KINDS:
            return Reading(None)  # commands, which others give
        try:
            if message.cut or len(message.payload) > MAX_PAYLOAD:
                raise PayloadError(f"longer than {MAX_PAYLOAD} bytes")
            said = payload(message.payload)
        except PayloadError as error:
            self.wants_birth = True
            return Reading(self.absent(route, arrival, Reason.DECODE), str(error))
        if kind == "NDEATH":
            return self._node_death(route, said, arrival)
        self._count(kind, said)
        if kind == "DDEATH":
            self._lack[self._devices == device] = _LOST
            return Reading(self._batch(arrival, arrival, GOOD))
        if kind in ("NBIRTH", "DBIRTH"):
            self._birth(kind, device, said)
        return self._data(device, said, arrival)

    def _node_death(self, route: Route, said: Payload, arrival: int) -> Reading:
        bd_seq = next((metric.value for metric in said.metrics if metric.name == BD_SEQ), None)
        if self._bd_seq is not None and bd_seq is not None and bd_seq != self._bd_seq:
            return Reading(None)  # of a former life: the broker was late to notice
        self._die(route.seen)
        return Reading(self.absent(route, arrival, Reason.COMM_LOST), gone="its death was told")

    def _die(self, now: float) -> None:
        self.silent, self._route.silent, self._route.seen = 1, True, now
        self._lack[:] = _LOST
        self._seq, self.wants_birth = None, True

    def _count(self, kind: str, said: Payload) -> None:
        """Each message of a node has the next number; one that is missing may have been a birth."""
        if kind != "NBIRTH" and self._seq is not None and said.seq != (self._seq + 1) % 256:
            self.wants_birth = True
        self._seq = said.seq

    def _birth(self, kind: str, device: str, said: Payload) -> None:
        if kind == "NBIRTH":
            self._known = _Known()
            self._lack[:] = _STALE  # its devices follow with births of their own
            self.wants_birth = False
            bd_seq = next((metric.value for metric in said.metrics if metric.name == BD_SEQ), None)
            self._bd_seq = bd_seq if isinstance(bd_seq, int) else None
        for metric in said.metrics:
            key = (device, metric.name)
            if key not in self._places:
                key = ("", "")  # nobody's point: its alias is known all the same
            if metric.alias is not None:
                self._known.aliases[metric.alias] = key
            self._known.datatypes[key] = metric.datatype

    def _data(self, device: str, said: Payload, arrival: int) -> Reading:
        """Live values into one batch with the last ones of the others; historical ones into batches by their times."""
        live: list[tuple[list[int], Metric]] = []
        older: dict[int, list[tuple[list[int], Metric]]] = {}
        for metric in said.metrics:
            key = self._key(device, metric)
            if key is None or key not in self._places:
                continue
            places = self._places[key]
            typed = metric._replace(
                value=number(metric.value, metric.datatype or self._known.datatypes.get(key, 0))
            )
            if metric.historical:
                older.setdefault(metric.time or said.time or 0, []).append((places, typed))
            else:
                live.append((places, typed))
        more = tuple(self._historical(time, found, arrival) for time, found in sorted(older.items()))
        if not live:
            return Reading(more[-1], more=more[:-1]) if more else Reading(None)
        for places, metric in live:
            self._put(self._raw, self._lack, places, metric)
        newest = max((metric.time for _, metric in live if metric.time), default=said.time)
        time, doubt = _sane(newest, arrival)
        return Reading(self._batch(time, arrival, doubt), more=more)

    def _key(self, device: str, metric: Metric) -> Key | None:
        if metric.name:
            return device, metric.name
        key = self._known.aliases.get(metric.alias) if metric.alias is not None else None
        if key is None:
            self.wants_birth = True  # an alias that no birth explained
        return key

    @staticmethod
    def _put(raw: np.ndarray, lack: np.ndarray, places: list[int], metric: Metric) -> None:
        for place in places:
            raw[place] = as_number(metric.value)
            lack[place] = _NULL if metric.value is None else GOOD

    def _batch(self, time: int, arrival: int, doubt: int) -> Batch:
        values, quality = self._conditioned(self._raw, self._lack, doubt)
        if self._slopes is not None:
            self._slopes.apply(time / 1e9, values, quality)
        return Batch(self._signals, time, arrival, values, quality)

    def _historical(self, ms: int, found: list[tuple[list[int], Metric]], arrival: int) -> Batch:
        """What the node kept while it could not send: stored at its time, and not judged any more."""
        raw, lack = np.full(len(self._raw), math.nan), np.full(len(self._raw), _STALE, np.uint8)
        for places, metric in found:
            self._put(raw, lack, places, metric)
        time, doubt = _sane(ms, arrival)
        values, quality = self._conditioned(raw, lack, doubt or _HISTORICAL)
        quality[-1] = _HISTORICAL
        keep = np.append(lack != _STALE, True)
        signals = self._shape(keep)
        if signals is self._signals:
            return Batch(signals, time, arrival, values, quality)
        return Batch(signals, time, arrival, values[keep], quality[keep])

    def _shape(self, keep: np.ndarray) -> SignalSet:
        shape = keep.tobytes()
        if shape not in self._shapes and len(self._shapes) < MAX_SHAPES:
            names = tuple(n for n, kept in zip(self._signals.names, keep.tolist(), strict=True) if kept)
            self._shapes[shape] = signal_set(self.name, names)
        return self._shapes.get(shape, self._signals)

    def _conditioned(self, raw: np.ndarray, lack: np.ndarray, doubt: int) -> tuple[np.ndarray, np.ndarray]:
        values, quality = np.append(raw, float(self.online)), np.zeros(len(raw) + 1, np.uint8)
        self._conditioner.apply(values[:-1], quality[:-1])
        lacking = lack != GOOD
        values[:-1][lacking], quality[:-1][lacking] = math.nan, lack[lacking]
        if doubt:
            quality[:-1][quality[:-1] == GOOD] = doubt
        return values, quality


def _sane(ms: int | None, arrival: int) -> tuple[int, int]:
    """The time (UTC ns) that the node said, or the arrival when that cannot be."""
    time = (ms or 0) * _MS
    return (time, GOOD) if EARLIEST < time < arrival + AHEAD else (arrival, _TIME_UNCERTAIN)
