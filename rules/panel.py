"""Many rules on many assets, judged a batch at a time.

``step`` is the truth; the panel only knows when it need not be called. Every bound rule at rest names the
intervals inside which nothing can change (``episode.watch``). Their intersection per signal is one low and
one high number, so a batch costs two comparisons over its columns, however many rules look at them. Only
where a value leaves its interval, or a timer runs, are the rules of that signal stepped one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rules import snapshot
from rules.episode import State, Transition, report, step, watch
from rules.expression import Closure
from rules.rule import Bound, Program

NEVER = -(2**62)  # far enough back that no time minus it overflows
_REST = State()

Slots = NDArray[np.intp]
Interval = tuple[int, float, float]  # slot, low, high


@dataclass(frozen=True, slots=True)
class _Derived:
    """One arithmetic feature over all bindings of a program in a view: ``into = compute(inputs)``."""

    compute: Closure
    inputs: tuple[Slots, ...]
    into: Slots
    max_gap: int


@dataclass(slots=True)
class View:
    """How the columns of one signal set meet the panel; made by ``Panel.view`` and kept by the caller."""

    names: tuple[str, ...]
    generation: int = -1
    columns: Slots = field(default_factory=lambda: np.empty(0, np.intp))
    slots: Slots = field(default_factory=lambda: np.empty(0, np.intp))
    derived: tuple[_Derived, ...] = ()
    derived_slots: Slots = field(default_factory=lambda: np.empty(0, np.intp))


class Panel:
    """Holds bound rules and where each of them stands. Rules of mode ``off`` are left out."""

    def __init__(self, bounds: Iterable[Bound] = ()) -> None:
        self._generation = 0
        self._arrange(list(bounds))

    # ------------------------------------------------------------------------------------------ judging

    def view(self, names: Sequence[str]) -> View:
        """How batches of these signals are judged; it stays good over ``rebind``."""
        view = View(tuple(names))
        self._compile(view)
        return view

    def judge(
        self, view: View, time: int, values: NDArray[np.float64], quality: NDArray[np.uint8]
    ) -> list[Transition]:
        """What one batch at ``time`` (UTC ns) changes. Quality 0 counts; anything else freezes.

        A signal whose last sample is as new or newer is ignored.
        """
        if view.generation != self._generation:
            self._compile(view)
        slots, columns = view.slots, view.columns
        if not slots.size:
            return []
        fresh = self._time[slots] < time
        if not fresh.all():
            slots, columns = slots[fresh], columns[fresh]
        x = values[columns]
        all_good = not quality.any()
        if not all_good:
            x = np.where(quality[columns] == 0, x, math.nan)
        self._time[slots] = time
        self._value[slots] = x
        out = (x < self._low[slots]) | (x > self._high[slots])
        if not all_good:
            out |= self._timing[slots]  # a sample without value moves nothing, but it stops running timers
        tripped = slots[out].tolist() if out.any() else []
        if view.derived:
            tripped += self._derive(view)
        return self._step(tripped) if tripped else []

    def _derive(self, view: View) -> list[int]:
        """Compute the arithmetic features of a view; return the slots that left their interval."""
        with np.errstate(all="ignore"):
            for group in view.derived:
                self._value[group.into] = group.compute(self._columns(group))
        x = self._value[view.derived_slots]
        out = (x < self._low[view.derived_slots]) | (x > self._high[view.derived_slots])
        found: list[int] = view.derived_slots[out].tolist()
        return found

    def _columns(self, group: _Derived) -> list[NDArray[np.float64]]:
        if len(group.inputs) == 1:
            return [self._value[group.inputs[0]]]
        times = [self._time[slots] for slots in group.inputs]
        oldest = np.maximum.reduce(times) - group.max_gap
        return [
            np.where(time < oldest, math.nan, self._value[slots])
            for time, slots in zip(times, group.inputs, strict=True)
        ]

    def _step(self, tripped: list[int]) -> list[Transition]:
        """Step every rule on these slots that may change, in the order of binding."""
        found: list[Transition] = []
        for b in sorted({b for slot in tripped for b in self._attached(slot)}):
            if b in self._busy or self._left(b):
                found += self._step_one(b)
        return found

    def _left(self, b: int) -> bool:
        value = self._value
        return any(
            not low <= value[slot] <= high and value[slot] == value[slot]
            for slot, low, high in self._watched(b)
        )

    def _step_one(self, b: int) -> list[Transition]:
        bound, before = self._bounds[b], self._states.get(b, _REST)
        time, values = self._inputs_now(b)
        after = step(bound, before, time, values)
        self._settle(b, after, values)
        return report(bound, before, after, time, values)

    def _inputs_now(self, b: int) -> tuple[int, list[float]]:
        """Time of the newest input, and all of them; one older than the rule's max_gap is unknown."""
        slots = self._slots_of(b)
        times, values = self._time[slots].tolist(), self._value[slots].tolist()
        newest = max(times)
        oldest = newest - self._bounds[b].program.max_gap
        return newest, [math.nan if t < oldest else x for t, x in zip(times, values, strict=True)]

    # ------------------------------------------------------------------------------------------ resting

    def _settle(self, b: int, state: State, values: Sequence[float]) -> None:
        """Keep the state, and watch what could change it next."""
        bound = self._bounds[b]
        if state.levels or state.severity:
            self._states[b] = state
        else:
            self._states.pop(b, None)
        intervals = watch(bound, state, values)
        if intervals is None:
            if b not in self._busy:
                self._busy.add(b)
                self._refresh(self._slots_of(b).tolist())
            return
        old = self._watched(b)
        new = tuple((self._feature_slot(b, feature), low, high) for feature, low, high in intervals)
        was_busy = b in self._busy
        self._busy.discard(b)
        if new != old:
            self._watch[b] = new
        if was_busy or new != old:
            self._refresh({slot for slot, _, _ in (*old, *new)} | set(self._slots_of(b).tolist()))

    def _refresh(self, slots: Iterable[int]) -> None:
        """Set the interval of each slot anew from the rules on it."""
        for slot in slots:
            low, high, timing = -math.inf, math.inf, False
            for b in self._attached(slot):
                if b in self._busy:
                    timing = True
                for place, least, most in self._watched(b):
                    if place == slot:
                        low, high = max(low, least), min(high, most)
            self._low[slot], self._high[slot] = (math.inf, -math.inf) if timing else (low, high)
            self._timing[slot] = timing

    def _watched(self, b: int) -> tuple[Interval, ...]:
        found = self._watch.get(b)
        if found is not None:
            return found
        at_rest = self._at_rest[self._bounds[b].program]
        return tuple((self._feature_slot(b, feature), low, high) for feature, low, high in at_rest)

    def _slots_of(self, b: int) -> Slots:
        start, end = self._input_start[b : b + 2]
        slots: Slots = self._input_slots[start:end]
        return slots

    def _attached(self, slot: int) -> list[int]:
        if slot >= len(self._signals):
            return [self._derived_of[slot - len(self._signals)]]
        found: list[int] = self._rules[self._rule_start[slot] : self._rule_start[slot + 1]].tolist()
        return found

    def _feature_slot(self, b: int, feature: int) -> int:
        found = self._bounds[b].program.features[feature]
        if found.compute is None:
            return int(self._input_slots[self._input_start[b] + found.inputs[0]])
        return self._derived_slot[b, feature]

    # ------------------------------------------------------------------------------------------ arranging

    def _arrange(self, bounds: list[Bound]) -> None:
        """Lay out slots: one per signal, then one per arithmetic feature of a binding."""
        self._generation += 1
        self._views = 0
        self._bounds = [bound for bound in bounds if bound.rule.settings.mode != "off"]
        self._signals: dict[str, int] = {}
        flat = [
            self._signals.setdefault(name, len(self._signals))
            for bound in self._bounds
            for name in bound.inputs
        ]
        self._input_slots = np.array(flat, np.intp)
        self._input_start = np.cumsum([0, *(len(bound.inputs) for bound in self._bounds)])
        owners = np.repeat(np.arange(len(self._bounds)), np.diff(self._input_start))
        self._rules = owners[np.argsort(self._input_slots, kind="stable")]
        counts = (
            np.bincount(self._input_slots, minlength=len(self._signals)) if flat else np.zeros(0, np.intp)
        )
        self._rule_start = np.concatenate(([0], np.cumsum(counts)))
        derived = [
            (b, feature)
            for b, bound in enumerate(self._bounds)
            for feature, found in enumerate(bound.program.features)
            if found.compute is not None
        ]
        self._derived_slot = {pair: len(self._signals) + i for i, pair in enumerate(derived)}
        self._derived_of = [b for b, _ in derived]
        size = len(self._signals) + len(derived)
        self._value = np.full(size, math.nan)
        self._time = np.full(size, NEVER, np.int64)
        self._low = np.full(size, -math.inf)
        self._high = np.full(size, math.inf)
        self._timing = np.zeros(size, np.bool_)
        self._home = np.full(len(self._signals), -1, np.intp)
        self._states: dict[int, State] = {}
        self._watch: dict[int, tuple[Interval, ...]] = {}
        self._busy: set[int] = set()
        self._rest()

    def _rest(self) -> None:
        """The intervals of rules that have seen nothing, for all bindings of a program at once."""
        self._at_rest: dict[Program, tuple[Interval, ...]] = {}
        members: dict[Program, list[int]] = {}
        for b, bound in enumerate(self._bounds):
            members.setdefault(bound.program, []).append(b)
        for program, bindings in members.items():
            first = self._bounds[bindings[0]]
            self._at_rest[program] = watch(first, _REST, [math.nan] * len(first.inputs)) or ()
            for feature, low, high in self._at_rest[program]:
                slots = self._feature_slots(program, feature, bindings)
                np.maximum.at(self._low, slots, low)
                np.minimum.at(self._high, slots, high)

    def _feature_slots(self, program: Program, feature: int, bindings: list[int]) -> Slots:
        found = program.features[feature]
        if found.compute is None:
            slots: Slots = self._input_slots[self._input_start[bindings] + found.inputs[0]]
            return slots
        return np.array([self._derived_slot[b, feature] for b in bindings], np.intp)

    def _compile(self, view: View) -> None:
        known = [
            (column, self._signals[name]) for column, name in enumerate(view.names) if name in self._signals
        ]
        view.columns = np.array([column for column, _ in known], np.intp)
        view.slots = np.array([slot for _, slot in known], np.intp)
        view.generation = self._generation
        homes = self._home[view.slots]
        self._home[view.slots] = np.where(homes == -1, self._views, -2)
        self._views += 1
        groups: dict[tuple[Program, int], list[int]] = {}
        for b in sorted({b for _, slot in known for b in self._attached(slot)}) if self._derived_slot else ():
            program = self._bounds[b].program
            for feature, found in enumerate(program.features):
                if found.compute is not None:
                    groups.setdefault((program, feature), []).append(b)
        view.derived = tuple(
            self._group(program, feature, members) for (program, feature), members in groups.items()
        )
        view.derived_slots = np.array(
            [slot for group in view.derived for slot in group.into.tolist()], np.intp
        )

    def _group(self, program: Program, feature: int, members: list[int]) -> _Derived:
        compute = program.features[feature].compute
        assert compute is not None
        starts = self._input_start[members]
        inputs = tuple(
            self._input_slots[starts + place] for place in range(len(self._bounds[members[0]].inputs))
        )
        return _Derived(compute, inputs, self._feature_slots(program, feature, members), program.max_gap)

    # ------------------------------------------------------------------------------------------ keeping

    def states(self) -> Iterator[tuple[Bound, State]]:
        """Every binding that is not at rest in normal, with its state."""
        for b in sorted(self._states):
            yield self._bounds[b], self._states[b]

    def rebind(self, bounds: Iterable[Bound]) -> list[Transition]:
        """Take other rules; where rule, parameters and asset are as before the state goes on.

        Episodes whose rule has changed or gone are returned as withdrawn.
        """
        kept = self._snapshot(self._signals)
        self._arrange(list(bounds))
        return self._restore(kept)

    def dump(self) -> bytes:
        """All that a restart needs to decide as if nothing had happened; small when little is going on."""
        return snapshot.write(self._snapshot(self._spread_inputs()))

    def load(self, data: bytes) -> list[Transition]:
        """Go on from a ``dump``; episodes of rules changed or gone since are returned as withdrawn."""
        self._arrange(self._bounds)
        return self._restore(snapshot.read(data))

    def _snapshot(self, remembered: Iterable[str]) -> snapshot.Snapshot:
        times = self._time[: len(self._signals)].tolist()
        return snapshot.Snapshot(
            states=[snapshot.Kept.of(bound, state) for bound, state in self.states()],
            times=snapshot.fold(
                {n: None if t == NEVER else t for n, t in zip(self._signals, times, strict=True)}
            ),
            values={name: x for name in remembered if (x := float(self._value[self._signals[name]])) == x},
        )

    def _spread_inputs(self) -> list[str]:
        """Signals of rules whose inputs do not all come in one batch: their last values matter."""
        names = list(self._signals)
        spread: set[int] = set()
        for b in np.flatnonzero(np.diff(self._input_start) > 1).tolist():
            slots = self._slots_of(b)
            homes = set(self._home[slots].tolist())
            if len(homes) > 1 or min(homes) < 0:
                spread.update(slots.tolist())
        return [names[slot] for slot in sorted(spread)]

    def _restore(self, kept: snapshot.Snapshot) -> list[Transition]:
        for name, slot in self._signals.items():
            time = kept.time(name)
            self._time[slot] = NEVER if time is None else time
        for name, value in kept.values.items():
            if name in self._signals:
                self._value[self._signals[name]] = value
        places = {(bound.rule.id, bound.hash, bound.asset): b for b, bound in enumerate(self._bounds)}
        gone: list[Transition] = []
        for entry in kept.states:
            b = places.get((entry.rule, entry.hash, entry.asset))
            if b is not None:
                self._settle(b, entry.state, self._inputs_now(b)[1])
            elif entry.state.severity:
                gone.append(entry.withdrawn())
        return gone
