"""Many rules on many assets, judged a batch at a time.

``step`` is the truth; the panel only knows when it need not be called. Every bound rule at rest names the
intervals inside which nothing can change (``watch``). Their intersection per signal is one low and one high
number, so a batch costs two comparisons over its columns, however many rules look at them. Only where a value
leaves its interval, or a timer runs, are the rules of that signal stepped one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rules import snapshot
from rules.episode import State, step
from rules.layout import AGE, Derived, Group, Layout, Plan, Slots, chosen
from rules.rule import Bound, Program
from rules.transition import Transition, episode_name, report
from rules.watch import Watch, watch
from rules.windows import NEVER, Ages, Memory, Ring

_REST = State()

Interval = tuple[int, float, float]  # slot, low, high
Values = NDArray[np.float64]


@dataclass(slots=True)
class View:
    """How the columns of one signal set meet the panel; made by ``Panel.view`` and kept by the caller."""

    names: tuple[str, ...]
    all_good: bytes
    layout: Layout
    plan: Plan


class Panel:
    """Holds bound rules and where each of them stands. Rules of mode ``off`` are left out."""

    def __init__(self, bounds: Iterable[Bound] = ()) -> None:
        self._arrange(bounds)

    # ---------------------------------------------------------------------------------- judging

    def view(self, names: Sequence[str]) -> View:
        """How batches of these signals are judged; it stays good over ``rebind``."""
        view = View(tuple(names), bytes(len(names)), self._layout, self._layout.plan(names))
        self._settle_in(view)
        return view

    def judge(self, view: View, time: int, values: Values, quality: NDArray[np.uint8]) -> list[Transition]:
        """What one batch at ``time`` (UTC ns) changes. Quality 0 counts; anything else freezes.

        A signal whose last sample is as new or newer is ignored.
        """
        if view.layout is not self._layout:
            view.layout, view.plan = self._layout, self._layout.plan(view.names)
            self._settle_in(view)
        plan = view.plan
        if not plan.size:
            return []
        fresh = self._time[plan.slots] < time
        x = values[plan.columns]
        all_good = quality.tobytes() == view.all_good
        if not all_good:
            x = np.where(quality[plan.columns] == 0, x, math.nan)
        if np.count_nonzero(fresh) == fresh.size:
            tripped = self._take(plan.slots, time, x, all_good)
        else:
            tripped = self._take(chosen(plan.slots, fresh), time, x[fresh], all_good)
        if plan.windows:
            tripped += self._push(plan, time, x, fresh)
        if plan.derived:
            tripped += self._derive(plan)
        return self._step(tripped) if tripped else []

    def tick(self, time: int, started: int = NEVER) -> list[Transition]:
        """Let time pass for rules that ask ``stale``; to be called every second, with the time of the log.

        ``started`` is since when the gateway that ticks has been listening: what it has not heard since then is
        unknown for a minute, or for as long as the rule allows, and not stale.
        """
        if not self._age_slots.size:
            return []
        ages = self._ages.at(time, started)
        known = not np.isnan(ages).any()
        return self._step(self._take(self._age_slots, self._ages.clock, ages, all_good=known))

    def _take(self, slots: Slots | slice, time: int, x: Values, all_good: bool) -> list[int]:
        """Keep these values; return the slots that left their interval."""
        self._time[slots] = time
        self._value[slots] = x
        out = (x < self._low[slots]) | (x > self._high[slots])
        if not all_good:
            out |= self._timing[slots]  # a sample without value moves nothing, but it stops running timers
        if not np.count_nonzero(out):
            return []
        tripped: list[int] = chosen(slots, out).tolist()
        return tripped

    def _push(self, plan: Plan, time: int, x: Values, fresh: NDArray[np.bool_]) -> list[int]:
        """Bring the windows over these signals up to date."""
        tripped: list[int] = []
        for pushed in plan.windows:
            new = fresh[pushed.at]
            values = self._memories[pushed.group].push(pushed.rows[new], time, x[pushed.at[new]])
            moment = self._ages.clock if pushed.group == AGE else time
            tripped += self._take(pushed.into[new], moment, values, all_good=True)
        return tripped

    def _derive(self, plan: Plan) -> list[int]:
        """Compute the arithmetic features of a view; return the slots that left their interval."""
        with np.errstate(all="ignore"):
            for group in plan.derived:
                self._value[group.into] = group.compute(self._columns(group))
        x = self._value[plan.derived_slots]
        out = (x < self._low[plan.derived_slots]) | (x > self._high[plan.derived_slots])
        tripped: list[int] = plan.derived_slots[out].tolist()
        return tripped

    def _columns(self, group: Derived) -> list[Values]:
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
        for b in sorted({b for slot in tripped for b in self._layout.attached(slot)}):
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
        slots = self._layout.inputs_of(bound)
        times = [self._time.item(slot) for slot in slots]
        newest = max(times)
        oldest = newest - bound.program.max_gap
        value = self._value.item
        return newest, [math.nan if t < oldest else value(slot) for t, slot in zip(times, slots, strict=True)]

    # ---------------------------------------------------------------------------------- resting

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
        moved = {slot for slot, _, _ in (*(old or ()), *(new or ()))}
        self._refresh(moved.union(self._layout.inputs_of(bound)))

    def _refresh(self, slots: Iterable[int]) -> None:
        """Set the interval of each slot anew from the rules on it."""
        for slot in slots:
            watches = [self._watched(b) for b in self._layout.attached(slot)]
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
        slot = self._layout.feature_slot
        return tuple([(slot(bound, feature), low, high) for feature, low, high in intervals])

    def _arrange(self, bounds: Iterable[Bound]) -> None:
        """Begin with these rules, all at rest, and no value known."""
        self._layout = Layout([bound for bound in bounds if bound.mode != "off"])
        self._bounds = self._layout.bounds
        size = self._layout.size
        self._value = np.full(size, math.nan)
        self._time = np.full(size, NEVER, np.int64)
        self._low = np.full(size, -math.inf)
        self._high = np.full(size, math.inf)
        self._timing = np.zeros(size, np.bool_)
        self._states: dict[int, State] = {}
        self._watch: dict[int, tuple[Interval, ...] | None] = {}
        self._at_rest: dict[Program, Watch] = {}
        for program, members in self._layout.programs().items():
            first = self._bounds[members[0]]
            unknown = [math.nan] * len(self._layout.inputs_of(first))
            self._at_rest[program] = watch(first, _REST, unknown) or ()
            for feature, low, high in self._at_rest[program]:
                slots = self._layout.feature_slots(feature, members)
                np.maximum.at(self._low, slots, low)
                np.minimum.at(self._high, slots, high)
        self._memories: dict[Group, Memory] = {
            group: Ring(windows) for group, windows in self._layout.groups.items() if group != AGE
        }
        self._ages = self._memories[AGE] = Ages(self._layout.groups.get(AGE, []))
        self._age_slots = np.array([self._layout.slot[window] for window in self._ages.windows], np.intp)
        self._views = 0
        self._spread: list[str] | None = None
        self._home = np.full(len(self._layout.signals), -1, np.intp)

    def _settle_in(self, view: View) -> None:
        """Note which signals come together: -1 none yet, -2 in several views."""
        slots = view.plan.slots
        self._home[slots] = np.where(self._home[slots] == -1, self._views, -2)
        self._views += 1
        self._spread = None

    # ---------------------------------------------------------------------------------- keeping

    def states(self) -> Iterator[tuple[Bound, State]]:
        """Every binding that is not at rest in normal, with its state."""
        for b in sorted(self._states):
            yield self._bounds[b], self._states[b]

    def active(self) -> Iterator[tuple[str, str]]:
        """Every episode that goes on: its asset and its name."""
        for bound, state in self.states():
            if state.severity and state.active_since is not None:
                rule = bound.rule
                yield bound.asset, episode_name(rule.id, rule.hash, bound.asset, state.active_since)

    def rebind(self, bounds: Iterable[Bound]) -> list[Transition]:
        """Take other rules; where rule, parameters and asset are as before the state goes on.

        Episodes whose rule has changed or gone are returned as withdrawn.
        """
        kept = self._snapshot(self._layout.signals)
        self._arrange(bounds)
        return self._restore(kept)

    def dump(self) -> bytes:
        """All that a restart needs to decide as if nothing had happened; small when little is going on."""
        return snapshot.write(self._snapshot(self._spread_inputs()))

    def load(self, data: bytes) -> list[Transition]:
        """Go on from a ``dump``; episodes of rules changed or gone since are returned as withdrawn."""
        self._arrange(self._bounds)
        return self._restore(snapshot.read(data))

    def _snapshot(self, remembered: Iterable[str]) -> snapshot.Snapshot:
        slot = self._layout.slot
        values = {name: self._value.item(slot[name]) for name in remembered}
        return snapshot.Snapshot(
            states=[snapshot.Kept.of(bound, state) for bound, state in self.states()],
            times=snapshot.fold(self._layout.assets, self._layout.signals, self._time),
            values={name: x for name, x in values.items() if not math.isnan(x)},
            windows=[kept for memory in self._memories.values() for kept in self._windows(memory)],
            clock=self._ages.clock,
        )

    def _windows(self, memory: Memory) -> Iterator[snapshot.KeptWindow]:
        for row, window in enumerate(memory.windows):
            slot = self._layout.slot[window]
            time = self._time.item(slot)
            if time != NEVER or memory is self._ages:
                yield snapshot.KeptWindow(window, time, self._value.item(slot), memory.memory(row))

    def _spread_inputs(self) -> list[str]:
        """Signals of rules whose inputs do not all come in one batch: their last values matter.

        The others need not be kept: the next batch brings all of them.
        """
        if self._spread is not None:
            return self._spread
        spread: dict[str, None] = {}
        for bound in self._bounds:
            if len(bound.inputs) + len(bound.windows) == 1:
                continue
            homes = {int(self._home[self._layout.slot[name]]) for name in bound.inputs}
            by_the_clock = any(window.function == "age" for window in bound.windows)
            if len(homes) > 1 or min(homes) < 0 or by_the_clock:
                spread |= dict.fromkeys(bound.inputs)
        self._spread = list(spread)
        return self._spread

    def _restore(self, kept: snapshot.Snapshot) -> list[Transition]:
        slot = self._layout.slot
        for name in self._layout.signals:
            time = kept.time(name)
            self._time[slot[name]] = NEVER if time is None else time
        for name, value in kept.values.items():
            if name in slot:
                self._value[slot[name]] = value
        self._ages.clock = kept.clock
        for found in kept.windows:
            if found.window in slot:
                at = slot[found.window]
                self._time[at], self._value[at] = found.time, found.value
                group, row = self._layout.row(found.window)
                self._memories[group].recall(row, found.memory)
        places = {(bound.rule.id, bound.hash, bound.asset): b for b, bound in enumerate(self._bounds)}
        gone: list[Transition] = []
        for entry in kept.states:
            b = places.get((entry.rule, entry.hash, entry.asset))
            if b is not None:
                self._settle(b, entry.state, self._inputs_now(self._bounds[b])[1])
            elif entry.state.severity:
                gone.append(entry.withdrawn())
        self._watch_anew()
        return gone

    def _watch_anew(self) -> None:
        """Choose again where a remembered value, long judged, stands outside what a rule at rest watches."""
        outside = (self._value < self._low) | (self._value > self._high)
        for b in sorted(
            {b for slot in np.flatnonzero(outside).tolist() for b in self._layout.attached(slot)}
        ):
            if self._watched(b) is not None and self._may_change(b):
                self._settle(b, self._states.get(b, _REST), self._inputs_now(self._bounds[b])[1])
