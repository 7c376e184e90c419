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
from rules.episode import State, step
from rules.expression import Closure
from rules.rule import Bound, Program
from rules.transition import Transition, report
from rules.watch import Watch, watch

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
    all_good: bytes
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
        view = View(tuple(names), bytes(len(names)))
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
        if np.count_nonzero(fresh) < slots.size:
            slots, columns = slots[fresh], columns[fresh]
        x = values[columns]
        all_good = quality.tobytes() == view.all_good
        if not all_good:
            x = np.where(quality[columns] == 0, x, math.nan)
        self._time[slots] = time
        self._value[slots] = x
        out = (x < self._low[slots]) | (x > self._high[slots])
        if not all_good:
            out |= self._timing[slots]  # a sample without value moves nothing, but it stops running timers
        tripped = slots[out].tolist() if np.count_nonzero(out) else []
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
            if self._may_change(b):
                found += self._step_one(b)
        return found

    def _may_change(self, b: int) -> bool:
        intervals = self._watched(b)
        if intervals is None:
            return True
        value = self._value.item
        return any(value(slot) < low or value(slot) > high for slot, low, high in intervals)

    def _step_one(self, b: int) -> list[Transition]:
        bound, before = self._bounds[b], self._states.get(b, _REST)
        time, values = self._inputs_now(bound)
        after = step(bound, before, time, values)
        self._settle(b, after, values)
        return report(bound, before, after, time, values)

    def _inputs_now(self, bound: Bound) -> tuple[int, list[float]]:
        """Time of the newest input, and all of them; one older than the rule's max_gap is unknown."""
        slots = self._slots_of(bound)
        times = [self._time.item(slot) for slot in slots]
        newest = max(times)
        oldest = newest - bound.program.max_gap
        value = self._value.item
        return newest, [math.nan if t < oldest else value(slot) for t, slot in zip(times, slots, strict=True)]

    # ------------------------------------------------------------------------------------------ resting

    def _settle(self, b: int, state: State, values: Sequence[float]) -> None:
        """Keep the state, and watch what could change it next."""
        bound = self._bounds[b]
        if state.levels or state.severity:
            self._states[b] = state
        else:
            self._states.pop(b, None)
        old = self._watched(b)
        new = self._place(bound, watch(bound, state, values))
        if new == old:
            return
        if new == self._place(bound, self._at_rest[bound.program]):
            del self._watch[b]
        else:
            self._watch[b] = new
        self._refresh({slot for slot, _, _ in (*(old or ()), *(new or ()))} | set(self._slots_of(bound)))

    def _refresh(self, slots: Iterable[int]) -> None:
        """Set the interval of each slot anew from the rules on it."""
        for slot in slots:
            watches = [self._watched(b) for b in self._attached(slot)]
            timing = None in watches
            low, high = (math.inf, -math.inf) if timing else (-math.inf, math.inf)
            for place, least, most in (interval for intervals in watches for interval in intervals or ()):
                if place == slot:
                    low, high = max(low, least), min(high, most)
            self._low[slot], self._high[slot], self._timing[slot] = low, high, timing

    def _watched(self, b: int) -> tuple[Interval, ...] | None:
        """The intervals of a rule at rest; None while it has to see every sample."""
        if b in self._watch:
            return self._watch[b]
        bound = self._bounds[b]
        return self._place(bound, self._at_rest[bound.program])

    def _place(self, bound: Bound, intervals: Watch | None) -> tuple[Interval, ...] | None:
        if intervals is None:
            return None
        return tuple([(self._feature_slot(bound, feature), low, high) for feature, low, high in intervals])

    def _slots_of(self, bound: Bound) -> list[int]:
        return [self._signals[name] for name in bound.inputs]

    def _attached(self, slot: int) -> list[int]:
        if slot >= len(self._signals):
            return [self._derived_of[slot - len(self._signals)]]
        found: list[int] = self._rules[self._rule_start[slot] : self._rule_start[slot + 1]].tolist()
        return found

    def _feature_slot(self, bound: Bound, feature: int) -> int:
        found = bound.program.features[feature]
        if found.compute is None:
            return self._signals[bound.inputs[found.inputs[0]]]
        return self._derived_slot[bound, feature]

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
            (b, bound, feature)
            for b, bound in enumerate(self._bounds)
            for feature, found in enumerate(bound.program.features)
            if found.compute is not None
        ]
        self._derived_slot = {
            (bound, feature): len(self._signals) + i for i, (_, bound, feature) in enumerate(derived)
        }
        self._derived_of = [b for b, _, _ in derived]
        size = len(self._signals) + len(derived)
        self._value = np.full(size, math.nan)
        self._time = np.full(size, NEVER, np.int64)
        self._low = np.full(size, -math.inf)
        self._high = np.full(size, math.inf)
        self._timing = np.zeros(size, np.bool_)
        self._home = np.full(len(self._signals), -1, np.intp)
        self._states: dict[int, State] = {}
        self._watch: dict[int, tuple[Interval, ...] | None] = {}
        self._rest()

    def _rest(self) -> None:
        """The intervals of rules that have seen nothing, for all bindings of a program at once."""
        self._at_rest: dict[Program, Watch] = {}
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
        return np.array([self._derived_slot[self._bounds[b], feature] for b in bindings], np.intp)

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
            slots = self._slots_of(self._bounds[b])
            homes = set(self._home[slots].tolist())
            if len(homes) > 1 or min(homes) < 0:
                spread.update(slots)
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
                self._settle(b, entry.state, self._inputs_now(self._bounds[b])[1])
            elif entry.state.severity:
                gone.append(entry.withdrawn())
        return gone
