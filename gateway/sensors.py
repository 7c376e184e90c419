"""Soft sensors on their way: rows for the models out of batches, batches out of their scores."""

from __future__ import annotations

import json
import logging
import struct
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from devices.batch import GOOD, Batch, Reason, SignalSet, bad, signal_set
from models.lifetime import Forecast
from models.promise import Contribution, ModelError
from models.sensor import SoftSensor
from models.settings import ns

log = logging.getLogger(__name__)

_STALE = 5  # a value older than so many steps is missing


class Sensors:
    """All soft sensors of a site. A function of the log: the same batches give the same scores."""

    def __init__(self, slots: Iterable[Slot]) -> None:
        self._use(list(slots))

    def renew(self, slots: Iterable[Slot]) -> None:
        """Go on with ``slots``, after a version was promoted or retired; those that stay keep what they know."""
        known = {(slot.name, slot.version): slot for slot in self._slots}
        self._use([_kept(known.get((slot.name, slot.version)), slot) for slot in slots])

    def _use(self, slots: list[Slot]) -> None:
        wanted: dict[str, list[tuple[Slot, int]]] = {}
        for slot in slots:
            for column, signal in enumerate(slot.sensor.inputs):
                wanted.setdefault(signal, []).append((slot, column))
        self._slots, self._wanted = slots, wanted
        self._views: dict[SignalSet, list[tuple[Slot, list[int], list[int]]]] = {}

    def step(self, batch: Batch, may_learn: Callable[[str], bool]) -> list[Batch]:
        """Feed ``batch``; the batches of every soft sensor whose next step is due."""
        derived = []
        for slot, columns, places in self._view(batch.signals):
            slot.take(batch, columns, places)
            if batch.time >= slot.due:
                derived.append(slot.step(batch, may_learn(slot.sensor.asset)))
        return derived

    def status(self) -> list[dict[str, object]]:
        """Each sensor's state and how far its commissioning is."""
        return [
            {
                "model": slot.name,
                "asset": slot.sensor.asset,
                "state": str(slot.sensor.state),
                "progress": round(slot.sensor.progress, 3),
                "trouble": slot.trouble or slot.sensor.trouble,
                "version": slot.version,
                "shadow": slot.shadow,
                "drifted": list(slot.sensor.drifted),
            }
            for slot in self._slots
        ]

    def why(self, signal: str) -> tuple[Contribution, ...]:
        """The greatest contributions to the last score of the soft signal ``signal``; none for a measured one."""
        slot = self._giving(signal)
        return slot.sensor.detector.why(slot.sensor.outputs.index(signal))[:3] if slot else ()

    def version(self, signal: str) -> str:
        """The promoted version that gives the soft signal; empty for what the daemon has learned by itself."""
        slot = self._giving(signal)
        return slot.version if slot else ""

    def forecast(self, signal: str) -> Forecast | None:
        """Where the signal behind a soft signal ``…/rul`` is going, if its model says so."""
        slot = self._giving(signal)
        return slot.sensor.forecast if slot else None

    def _giving(self, signal: str) -> Slot | None:
        return next((s for s in self._slots if not s.shadow and signal in s.sensor.outputs), None)

    def dump(self) -> bytes:
        """Every sensor's state and the values it holds."""
        return b"".join(_packed(slot.name.encode()) + _packed(slot.dump()) for slot in self._slots)

    def load(self, data: bytes) -> None:
        """Take up a dump; a model whose settings changed since begins anew, and says so."""
        parts = iter(_unpacked(data))
        states = {name.decode(): state for name, state in zip(parts, parts, strict=True)}
        for slot in self._slots:
            if slot.name not in states:
                continue
            try:
                slot.load(states[slot.name])
            except ModelError as error:
                log.warning("model %s begins to learn anew: %s", slot.name, error)

    def _view(self, signals: SignalSet) -> list[tuple[Slot, list[int], list[int]]]:
        view = self._views.get(signals)
        if view is None:
            found: dict[str, tuple[Slot, list[int], list[int]]] = {}
            for place, name in enumerate(signals.names):
                for slot, column in self._wanted.get(name, ()):
                    entry = found.setdefault(slot.name, (slot, [], []))
                    entry[1].append(column)
                    entry[2].append(place)
            view = self._views[signals] = list(found.values())
        return view


class Slot:
    """One soft sensor with the latest good values of its inputs.

    ``version`` is the trained version it began with, empty if it commissions itself. A ``shadow`` writes
    ``…_shadow`` signals, to be looked at beside the live ones; no rule judges them and none is told as a reason.
    """

    def __init__(self, name: str, sensor: SoftSensor, *, shadow: bool = False) -> None:
        self.name, self.sensor, self.shadow = name, sensor, shadow
        self.version = self.trouble = ""
        outputs = tuple(f"{output}_shadow" for output in sensor.outputs) if shadow else sensor.outputs
        self.signals = signal_set(f"model:{name}", outputs)
        self.due = 0
        self._every = ns(sensor.settings.every)
        self._row = np.full(len(sensor.inputs), np.nan)
        self._at = np.zeros(len(sensor.inputs), np.int64)

    def begin(self, version: str, state: bytes) -> None:
        """Go on from a trained version. ModelError if it is of other signals or settings."""
        self.sensor.load(state)
        self.version = version

    def take(self, batch: Batch, columns: Sequence[int], places: Sequence[int]) -> None:
        if batch.time <= self._at[columns[0]]:
            return  # late: stored, and no part of what is judged
        good = batch.quality[places] == GOOD
        self._row[columns] = np.where(good, batch.values[places], np.nan)
        self._at[columns] = batch.time

    def step(self, batch: Batch, learn: bool) -> Batch:
        self.due = (batch.time // self._every + 1) * self._every
        row = np.where(batch.time - self._at <= _STALE * self._every, self._row, np.nan)
        scores = self.sensor.step(batch.time, row, learn=learn)
        quality = np.where(np.isnan(scores), bad(Reason.STALE), GOOD).astype(np.uint8)
        return Batch(self.signals, batch.time, batch.arrival, scores, quality)

    def dump(self) -> bytes:
        held = json.dumps({"due": self.due, "at": self._at.tolist(), "version": self.version}).encode()
        return _packed(held) + _packed(self._row.tobytes()) + _packed(self.sensor.dump())

    def load(self, data: bytes) -> None:
        held, row, state = _unpacked(data)
        known = json.loads(held)
        if len(known["at"]) != len(self._at):
            raise ModelError("its signals changed")
        if known.get("version", "") != self.version:
            return  # another version was promoted meanwhile: it goes on from its own file
        self.sensor.load(state)
        self.due = known["due"]
        self._at[:] = known["at"]
        self._row[:] = np.frombuffer(row)


def _kept(known: Slot | None, slot: Slot) -> Slot:
    """The slot as it was, unless it is another now."""
    same = known is not None and (
        known.sensor.settings == slot.sensor.settings and known.sensor.inputs == slot.sensor.inputs
    )
    return known if known is not None and same else slot


def _packed(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def _unpacked(data: bytes) -> Iterable[bytes]:
    place = 0
    while place < len(data):
        (size,) = struct.unpack_from("<I", data, place)
        yield data[place + 4 : place + 4 + size]
        place += 4 + size
