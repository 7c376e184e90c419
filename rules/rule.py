"""A rule, and a rule bound to one asset: names resolved, numbers filled in, ready to be judged."""

from __future__ import annotations

import hashlib
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from rules.condition import Band, Gate, Test, Tree
from rules.duration import nanoseconds
from rules.expression import (
    MIRRORED,
    Arithmetic,
    Closure,
    Comparison,
    Condition,
    Name,
    Operation,
    Some,
    Windowed,
    closure,
    names,
    windowed,
)
from rules.functions import FUNCTIONS
from rules.grammar import parse
from rules.settings import RuleSettings, share
from rules.windows import Window

Spans = Mapping[str, tuple[float, float] | None]


class RuleError(ValueError):
    """A rule that does not fit its asset; the text names both and says what would do."""


@dataclass(frozen=True, slots=True)
class Level:
    """One limit of a rule: ``severity`` once ``tree`` has held for ``on_delay`` ns."""

    severity: int
    tree: Tree
    on_delay: int


@dataclass(frozen=True, slots=True)
class Feature:
    """What a comparison looks at: an input as it is, or arithmetic over several."""

    input: int  # the place of the (first) input
    compute: Closure | None  # None: that input as it is

    def of(self, values: Sequence[float]) -> float:
        """Its value for these inputs; NaN if one of them is unknown."""
        return values[self.input] if self.compute is None else float(self.compute(values))


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """A rule with these parameters, compiled. Bindings with the same parameters share one.

    ``windows`` have the rule's alias for a signal; their values stand after those of the signals.
    """

    features: tuple[Feature, ...]
    tests: tuple[Test, ...]
    levels: tuple[Level, ...]
    windows: tuple[Window, ...]
    off_delay: int
    max_gap: int
    params: Mapping[str, float]
    hash: str

    def look(self, values: Sequence[float]) -> list[float]:
        """The features for the values of the inputs."""
        return [feature.of(values) for feature in self.features]


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """A rule under its id; ``hash`` identifies the version, before any asset's own parameters."""

    id: str
    settings: RuleSettings
    hash: str = field(init=False)
    _reads_span: bool = field(init=False, repr=False)
    _programs: dict[str, Program] = field(init=False, default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hash", self.settings.content_hash)
        object.__setattr__(self, "_reads_span", self.settings.reads_span)

    def missing(self, quantities: Spans) -> list[str]:
        """Quantities that the rule reads and an asset with ``quantities`` does not have."""
        return sorted(set(self.settings.signals.values()) - quantities.keys())

    def _filled(self, overrides: Mapping[str, float]) -> dict[str, float]:
        filled: dict[str, float] = {}
        for name, number in self.settings.params.items():
            found = overrides.get(name, number)
            if isinstance(found, str):
                raise RuleError(
                    f"rule {self.id}: parameter {name} has no usual value, each asset gives its own"
                )
            filled[name] = float(found)
        return filled

    def program(self, overrides: Mapping[str, float], spans: Spans) -> Program:
        """The rule compiled with an asset's own parameters; raises RuleError."""
        if unknown := sorted(overrides.keys() - self.settings.params.keys()):
            known = ", ".join(self.settings.params) or "none"
            raise RuleError(f"rule {self.id} has no parameter {unknown[0]}; it has: {known}")
        if not overrides and not self._reads_span and "" in self._programs:
            return self._programs[""]
        params = self._filled(overrides)
        used = {name: spans[name] for name in self.settings.signals.values()} if self._reads_span else {}
        content = json.dumps([self.hash, params, used], sort_keys=True)
        key = content if overrides or used else ""
        if key not in self._programs:
            content_hash = hashlib.sha256(content.encode()).hexdigest()
            self._programs[key] = _Compiler(self, params, used).program(content_hash)
        return self._programs[key]


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """One rule on one asset: the signals it reads, in the order of the rule's aliases, and windows over them.

    ``mode`` is live, shadow or off: the rule's own, or what was decided for this asset.
    """

    rule: Rule
    asset: str
    inputs: tuple[str, ...]
    windows: tuple[Window, ...]
    program: Program
    mode: str

    @property
    def hash(self) -> str:
        """Identifies the rule's version together with the asset's parameters."""
        return self.program.hash


def bind(
    rule: Rule,
    asset: str,
    quantities: Spans,
    overrides: Mapping[str, float] | None = None,
    mode: str | None = None,
) -> Bound:
    """``rule`` on ``asset``, which has ``quantities`` (name → range, None: unknown); raises RuleError."""
    if lacking := rule.missing(quantities):
        known = ", ".join(sorted(quantities)) or "none"
        raise RuleError(f"rule {rule.id} on {asset}: the asset has no quantity {lacking[0]}; it has: {known}")
    try:
        program = rule.program(overrides or {}, quantities)
    except RuleError as error:
        raise RuleError(f"{error} (asset {asset})") from None
    inputs = tuple(sys.intern(f"{asset}/{quantity}") for quantity in rule.settings.signals.values())
    signals = dict(zip(rule.settings.signals, inputs, strict=True))
    windows = tuple(replace(window, signal=signals[window.signal]) for window in program.windows)
    return Bound(rule, asset, inputs, windows, program, mode or rule.settings.mode)


class _Compiler:
    """Condition trees → numbered features and tests, each kept once."""

    def __init__(self, rule: Rule, params: Mapping[str, float], spans: Spans) -> None:
        self._rule = rule
        self._settings = rule.settings
        self._params = params
        self._spans = spans
        self._inputs: dict[str | Windowed, int] = {name: i for i, name in enumerate(rule.settings.signals)}
        self._windows: list[Window] = []
        self._features: dict[Arithmetic, Feature] = {}
        self._tests: dict[Comparison, Test] = {}

    def program(self, content_hash: str) -> Program:
        settings = self._settings
        levels = tuple(
            Level(
                when.severity,
                self._tree(parse(when.expr, settings.signals, settings.params)),
                nanoseconds(when.on_delay),
            )
            for when in settings.when
        )
        return Program(
            tuple(self._features.values()),
            tuple(self._tests.values()),
            levels,
            tuple(self._windows),
            nanoseconds(settings.clear.off_delay),
            nanoseconds(settings.quality.max_gap),
            self._params,
            content_hash,
        )

    def _tree(self, condition: Condition) -> Tree:
        if isinstance(condition, Comparison):
            if condition not in self._tests:
                self._tests[condition] = self._test(condition)
            return list(self._tests).index(condition)
        return Gate(not isinstance(condition, Some), tuple(self._tree(part) for part in condition.parts))

    def _test(self, found: Comparison) -> Test:
        """``300 < n`` becomes ``n > 300``; with signals on both sides their difference is compared with 0."""
        symbol, left, right = found.operator, found.left, found.right
        if not self._signals(left):
            left, right, symbol = right, left, MIRRORED[symbol]
        self._keep_windows(left, right)
        both = bool(self._signals(right))
        looked_at = Operation("-", (left, right)) if both else left
        threshold = 0.0 if both else self._limit(right, found.text)
        signal = min(self._inputs[name] for name in self._signals(left))
        deadband = self._deadband(signal) if all(map(_same_unit, windowed(left))) else 0.0
        return Test(
            feature=self._feature(looked_at),
            band=Band.of(symbol, threshold),
            relaxed=Band.of(symbol, threshold, deadband),
            deadband=deadband,
            text=found.text,
            operator=symbol,
            signal=signal,
            left=closure(left, self._inputs, self._params),
            right=closure(right, self._inputs, self._params),
            function=left.function
            if isinstance(left, Windowed)
            else ""
            if isinstance(left, Name)
            else "arithmetic",
            length=left.length if isinstance(left, Windowed) else 0,
        )

    def _keep_windows(self, *sides: Arithmetic) -> None:
        """Give each window its place after the inputs."""
        for found in (window for side in sides for window in windowed(side)):
            if found not in self._inputs:
                self._inputs[found] = len(self._inputs)
                gap = 0 if found.function == "age" else nanoseconds(self._settings.quality.max_gap)
                band = self._band(found.condition) if found.condition else None
                self._windows.append(Window(found.function, found.signal, found.length, gap, band))

    def _band(self, condition: Comparison) -> Band:
        return Band.of(condition.operator, self._limit(condition.right, condition.text))

    def _limit(self, side: Arithmetic, text: str) -> float:
        limit = closure(side, self._inputs, self._params)
        if not isinstance(limit, float) or not math.isfinite(limit):
            raise RuleError(f'rule {self._rule.id}: the limit of "{text}" is not a number; is a parameter 0?')
        return limit

    def _signals(self, side: Arithmetic) -> frozenset[str]:
        return names(side) & self._settings.signals.keys()

    def _feature(self, node: Arithmetic) -> int:
        if node not in self._features:
            first = min(self._inputs[name] for name in self._signals(node))
            if isinstance(node, Name | Windowed):
                self._features[node] = Feature(
                    self._inputs[node.name if isinstance(node, Name) else node], None
                )
            else:
                compute = closure(node, self._inputs, self._params)
                assert callable(compute)
                self._features[node] = Feature(first, compute)
        return list(self._features).index(node)

    def _deadband(self, signal: int) -> float:
        """In the unit of the signal."""
        alias, quantity = list(self._settings.signals.items())[signal]
        written = self._settings.clear.deadband_of(alias)
        if (part := share(written)) is not None:
            span = self._spans[quantity]
            if span is None:
                raise RuleError(f"rule {self._rule.id}: a deadband in % needs a range for {quantity}")
            return part * (span[1] - span[0])
        number = self._params[written] if isinstance(written, str) else written
        if number < 0:
            raise RuleError(
                f"rule {self._rule.id}: the deadband {written} is {number:g} and must not be negative"
            )
        return number


def _same_unit(window: Windowed) -> bool:
    """Whether its value is in the unit of the signal; a deadband means nothing to the others."""
    return window.function in FUNCTIONS and FUNCTIONS[window.function].same_unit
