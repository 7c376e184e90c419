"""Where everything of a panel stands: one slot per signal, then per window, then per arithmetic feature of a rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rules.expression import Closure
from rules.rule import Bound, Program
from rules.windows import Window

Slots = NDArray[np.intp]
Group = tuple[str, int, int]  # function, length, max_gap: windows that are kept together
AGE: Group = ("age", 0, 0)


@dataclass(frozen=True, slots=True)
class Derived:
    """One arithmetic feature over all bindings of a program in a view: ``into = compute(inputs)``."""

    compute: Closure
    inputs: tuple[Slots, ...]
    into: Slots
    max_gap: int


@dataclass(frozen=True, slots=True)
class Pushed:
    """Windows over signals of a view: their ``rows`` in the group, the place ``at`` of their signal, their slots."""

    group: Group
    rows: Slots
    at: Slots
    into: Slots


@dataclass(frozen=True, slots=True)
class Plan:
    """How one signal set meets the panel: ``slots`` for its ``columns``, ``size`` of each; neighbours are a slice."""

    size: int
    columns: Slots | slice
    slots: Slots | slice
    windows: tuple[Pushed, ...]
    derived: tuple[Derived, ...]
    derived_slots: Slots


class Layout:
    """The slots of ``bounds``; it never changes."""

    def __init__(self, bounds: Sequence[Bound]) -> None:
        self.bounds = bounds
        names = dict.fromkeys(name for bound in bounds for name in bound.inputs)
        windows = dict.fromkeys(window for bound in bounds for window in bound.windows)
        keys: list[str | Window] = [*names, *windows]
        self.slot = {key: slot for slot, key in enumerate(keys)}
        self.signals = list(names)
        assets: dict[str, list[int]] = {}
        for slot, name in enumerate(names):
            assets.setdefault(asset_of(name), []).append(slot)
        self.assets = {asset: np.array(slots, np.intp) for asset, slots in assets.items()}
        self.groups: dict[Group, list[Window]] = {}
        for window in windows:
            self.groups.setdefault(_group(window), []).append(window)
        self._row = {window: row for members in self.groups.values() for row, window in enumerate(members)}
        self._over: dict[str, list[Window]] = {}
        for window in windows:
            self._over.setdefault(window.signal, []).append(window)
        derived = [
            (b, bound, feature)
            for b, bound in enumerate(bounds)
            for feature, found in enumerate(bound.program.features)
            if found.compute is not None
        ]
        self._derived = {
            (bound, feature): len(self.slot) + i for i, (_, bound, feature) in enumerate(derived)
        }
        self._derived_of = [b for b, _, _ in derived]
        self.size = len(self.slot) + len(derived)
        self._attach()

    def _attach(self) -> None:
        """Which rules look at which slot, as one flat array and where each slot's part of it starts."""
        flat = [slot for bound in self.bounds for slot in self.inputs_of(bound)]
        lengths = [len(bound.inputs) + len(bound.windows) for bound in self.bounds]
        owners = np.repeat(np.arange(len(self.bounds)), lengths)
        order = np.argsort(np.array(flat, np.intp), kind="stable")
        self._rules = owners[order]
        counts = np.bincount(np.array(flat, np.intp), minlength=len(self.slot))
        self._start = np.concatenate(([0], np.cumsum(counts)))

    def programs(self) -> dict[Program, list[int]]:
        """Which rules share a program, as places in ``bounds``."""
        found: dict[Program, list[int]] = {}
        for b, bound in enumerate(self.bounds):
            found.setdefault(bound.program, []).append(b)
        return found

    def inputs_of(self, bound: Bound) -> list[int]:
        """The slots of the rule's signals and windows, in the order that ``step`` wants."""
        slot = self.slot
        return [slot[name] for name in bound.inputs] + [slot[window] for window in bound.windows]

    def row(self, window: Window) -> tuple[Group, int]:
        """The group of the window, and its row there."""
        return _group(window), self._row[window]

    def attached(self, slot: int) -> list[int]:
        """The rules that look at ``slot``, as places in ``bounds``."""
        if slot >= len(self.slot):
            return [self._derived_of[slot - len(self.slot)]]
        found: list[int] = self._rules[self._start[slot] : self._start[slot + 1]].tolist()
        return found

    def feature_slot(self, bound: Bound, feature: int) -> int:
        """Where the feature's value stands."""
        found = bound.program.features[feature]
        if found.compute is not None:
            return self._derived[bound, feature]
        place = found.input - len(bound.inputs)
        return self.slot[bound.inputs[found.input] if place < 0 else bound.windows[place]]

    def feature_slots(self, feature: int, members: Sequence[int]) -> Slots:
        """Where the feature's values of these rules stand."""
        return np.array([self.feature_slot(self.bounds[b], feature) for b in members], np.intp)

    def plan(self, names: Sequence[str]) -> Plan:
        """How batches of these signals are judged."""
        columns = [column for column, name in enumerate(names) if name in self.slot]
        known = [names[column] for column in columns]
        windows = [(at, window) for at, name in enumerate(known) for window in self._over.get(name, ())]
        derived = self._derived_over([self.slot[name] for name in known])
        return Plan(
            len(known),
            _as_slice(columns),
            _as_slice([self.slot[name] for name in known]),
            self._pushed(windows),
            derived,
            np.concatenate([group.into for group in derived]) if derived else np.empty(0, np.intp),
        )

    def _pushed(self, windows: Sequence[tuple[int, Window]]) -> tuple[Pushed, ...]:
        groups: dict[Group, list[tuple[int, Window]]] = {}
        for at, window in windows:
            groups.setdefault(_group(window), []).append((at, window))
        return tuple(
            Pushed(
                group,
                np.array([self._row[window] for _, window in members], np.intp),
                np.array([at for at, _ in members], np.intp),
                np.array([self.slot[window] for _, window in members], np.intp),
            )
            for group, members in groups.items()
        )

    def _derived_over(self, slots: Sequence[int]) -> tuple[Derived, ...]:
        if not self._derived:
            return ()
        groups: dict[tuple[Program, int], list[int]] = {}
        for b in sorted({b for slot in slots for b in self.attached(slot)}):
            program = self.bounds[b].program
            for feature, found in enumerate(program.features):
                if found.compute is not None:
                    groups.setdefault((program, feature), []).append(b)
        return tuple(
            self._group_of(program, feature, members) for (program, feature), members in groups.items()
        )

    def _group_of(self, program: Program, feature: int, members: Sequence[int]) -> Derived:
        compute = program.features[feature].compute
        assert compute is not None
        inputs = np.array([self.inputs_of(self.bounds[b]) for b in members], np.intp)
        return Derived(compute, tuple(inputs.T.copy()), self.feature_slots(feature, members), program.max_gap)


def chosen(slots: Slots | slice, which: NDArray[np.bool_]) -> Slots:
    """Those of ``slots`` where ``which`` is true."""
    return np.flatnonzero(which) + slots.start if isinstance(slots, slice) else slots[which]


def _as_slice(places: Sequence[int]) -> Slots | slice:
    """A slice looks at memory where it is, an array of places copies it."""
    if places and list(places) == list(range(places[0], places[0] + len(places))):
        return slice(places[0], places[0] + len(places))
    return np.array(places, np.intp)


def asset_of(signal: str) -> str:
    """``"pump-1/"`` of ``"pump-1/vib_rms"``: what its name begins with, never itself the name of a signal."""
    return signal[: signal.rfind("/") + 1]


def _group(window: Window) -> Group:
    return AGE if window.function == "age" else (window.function, window.length, window.max_gap)
