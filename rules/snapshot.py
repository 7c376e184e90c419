"""What a panel keeps over a restart, as JSON: states not at rest, last times, and the values still needed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

from rules.condition import Band
from rules.episode import Phase, State, Timer
from rules.layout import Slots, asset_of
from rules.rule import Bound
from rules.transition import Transition, episode_name
from rules.windows import NEVER, Times, Window

VERSION = 1


@dataclass(frozen=True, slots=True)
class Kept:
    """One state with what names its rule, so that it can be ended in good order when the rule has gone."""

    rule: str
    rule_hash: str
    hash: str
    asset: str
    mode: str
    failure_mode: str
    state: State

    @classmethod
    def of(cls, bound: Bound, state: State) -> Kept:
        """The state of ``bound``."""
        settings = bound.rule.settings
        return cls(
            bound.rule.id,
            bound.rule.hash,
            bound.hash,
            bound.asset,
            bound.mode,
            settings.failure_mode,
            state,
        )

    def withdrawn(self) -> Transition:
        """The end of its episode, when the rule was changed or retired."""
        state = self.state
        assert state.active_since is not None
        assert state.last is not None
        name = episode_name(self.rule, self.rule_hash, self.asset, state.active_since)
        return Transition(
            "withdrawn", name, self.rule, self.rule_hash, self.mode, self.asset, self.failure_mode,
            state.severity, state.last, state.active_since, state.reactivations, {}, {}, None,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class KeptWindow:
    """One time window: its last ``value`` at ``time``, and what its ``memory`` holds."""

    window: Window
    time: int
    value: float
    memory: Any


@dataclass(frozen=True, slots=True)
class Snapshot:
    """``times`` (UTC ns, None: never seen) as ``fold`` writes them, ``values`` by signal."""

    states: Sequence[Kept]
    times: Mapping[str, int | None]
    values: Mapping[str, float]
    windows: Sequence[KeptWindow]
    clock: int

    def time(self, signal: str) -> int | None:
        """When the signal's last sample was."""
        return self.times[signal] if signal in self.times else self.times.get(asset_of(signal))


def write(kept: Snapshot) -> bytes:
    """The snapshot as compact JSON."""
    document = {
        "version": VERSION,
        "states": kept.states,
        "times": dict(kept.times),
        "values": dict(kept.values),
        "windows": kept.windows,
        "clock": kept.clock,
    }
    return json.dumps(document, separators=(",", ":"), default=_fields).encode()


def _fields(kept: Any) -> list[Any]:
    """A dataclass as the list of its values (``astuple`` would copy all of them first)."""
    return [getattr(kept, name) for name in kept.__slots__]


def read(data: bytes) -> Snapshot:
    """The snapshot that ``write`` made; raises ValueError for another version."""
    document = json.loads(data)
    if document.get("version") != VERSION:
        raise ValueError(
            f"the rule state is of version {document.get('version')}, this release reads {VERSION}"
        )
    states = [_kept(names, found) for *names, found in document["states"]]
    windows = [KeptWindow(_window(*window), *rest) for window, *rest in document["windows"]]
    return Snapshot(states, document["times"], document["values"], windows, document["clock"])


def _window(function: str, signal: str, length: int, max_gap: int, band: list[Any] | None) -> Window:
    return Window(function, signal, length, max_gap, Band(*band) if band else None)


def _kept(names: list[str], state: list[Any]) -> Kept:
    rule, rule_hash, content_hash, asset, mode, failure_mode = names
    return Kept(rule, rule_hash, content_hash, asset, mode, failure_mode, _state(*state))


def _state(phase: str, *rest: Any) -> State:
    since, severity, active_since, reactivations, cause, peak, levels, leaving, last = rest
    return State(
        Phase(phase), since, severity, active_since, reactivations, cause, peak,
        tuple(_timer(level) for level in levels), _timer(leaving), last,
    )  # fmt: skip


def _timer(found: list[Any] | None) -> Timer | None:
    return Timer(*found) if found is not None else None


def fold(assets: Mapping[str, Slots], signals: Sequence[str], time: Times) -> dict[str, int | None]:
    """One time per asset (``"pump-1/"``), which is mostly read at once, and one per signal where it differs."""
    folded: dict[str, int | None] = {}
    if not assets:
        return folded
    starts = np.cumsum([0, *(len(slots) for slots in assets.values())])[:-1]
    found = time[np.concatenate(list(assets.values()))]
    agreed = np.minimum.reduceat(found, starts) == np.maximum.reduceat(found, starts)
    folded.update(zip(assets, map(_seen, found[starts].tolist()), strict=True))
    for asset in compress(assets, (~agreed).tolist()):
        own = {signals[slot]: _seen(time.item(slot)) for slot in assets[asset].tolist()}
        usual = folded[asset] = Counter(own.values()).most_common(1)[0][0]
        folded.update({name: at for name, at in own.items() if at != usual})
    return folded


def _seen(time: int) -> int | None:
    return None if time == NEVER else time
