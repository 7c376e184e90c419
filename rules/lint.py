"""Warnings about a rule that is right as it stands, and yet will not do what its author wants.

What is wrong outright (an unknown signal, a bad expression) never gets here: settings and ``bind`` refuse it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rules.condition import Band, Gate, Test, Tree
from rules.expression import All, Arithmetic, Comparison, Condition, Name, Operation, Some, Windowed, windowed
from rules.functions import FUNCTIONS
from rules.grammar import parse
from rules.rule import Bound, Level, Rule

_UNKNOWN = (-math.inf, math.inf)
_MOST_CASES = 64
_RUN = 15  # samples: the longest of the Western Electric and Nelson rules
Box = Mapping[int, tuple[float, float]]  # feature → interval


@dataclass(frozen=True, slots=True)
class Quantity:
    """What is known of one quantity of an asset.

    ``period`` in ns between samples; ``read``: something brings it; ``exact``: counted, not measured, so without noise.
    """

    unit: str = ""
    span: tuple[float, float] | None = None
    period: int | None = None
    read: bool = True
    exact: bool = False


def of_rule(rule: Rule) -> Iterator[str]:
    """What can be said without any asset."""
    settings = rule.settings
    for language, title in (("zh", settings.title_zh), ("en", settings.title_en)):
        if not title:
            yield f'no title_{language}: people read "{rule.id}" on orders and messages'
    used = {name for found in _comparisons_of(rule) for name in _names(found)}
    used.update(
        found for alias in settings.signals if isinstance(found := settings.clear.deadband_of(alias), str)
    )
    for kind, known in (("signal", settings.signals), ("parameter", settings.params)):
        for name in known.keys() - used:
            yield f"{kind} {name} is not used"


def of_binding(bound: Bound, known: Mapping[str, Quantity]) -> Iterator[str]:
    """What can be said of the rule on one asset; ``known`` has every quantity that the rule reads."""
    of_input = [known[signal.partition("/")[2]] for signal in bound.inputs]
    of_alias = dict(zip(bound.rule.settings.signals, of_input, strict=True))
    for signal, quantity in zip(bound.inputs, of_input, strict=True):
        if not quantity.read:
            yield f"nothing brings {signal}: the rule waits for it for ever"
    yield from _units(bound, {alias: quantity.unit for alias, quantity in of_alias.items()})
    yield from _reach(bound, of_input)
    yield from _noise(bound, of_input)
    yield from _timing(bound, of_alias)


# -------------------------------------------------------------------------------------- what can ever happen


def _reach(bound: Bound, of_input: Sequence[Quantity]) -> Iterator[str]:
    program = bound.program
    spans = [_span(bound, feature, of_input) for feature in range(len(program.features))]
    boxes = [_boxes(level.tree, program.tests, spans) for level in program.levels]
    for level, possible in zip(program.levels, boxes, strict=True):
        tests = [program.tests[i] for i in _tests(level.tree)]
        if possible is not None and not possible:
            yield f"severity {level.severity} never fires: {_why_never(tests, spans)}"
        elif all(_covers(test.band, spans[test.feature]) for test in tests):
            yield f"severity {level.severity} always holds: {_limits(tests)} is the whole range of the signal"
        elif all(_covers(test.relaxed, spans[test.feature]) for test in tests):
            yield f"severity {level.severity} never clears: with its deadband {_limits(tests)} leaves no way back"
    yield from _overtaken(program.levels, boxes)


def _overtaken(levels: Sequence[Level], boxes: Sequence[list[Box] | None]) -> Iterator[str]:
    """A milder limit that a more severe one always beats."""
    for mild, mild_boxes in zip(levels, boxes, strict=True):
        for severe, severe_boxes in zip(levels, boxes, strict=True):
            sooner = severe.severity > mild.severity and severe.on_delay <= mild.on_delay
            if sooner and mild_boxes and severe_boxes and _all_within(mild_boxes, severe_boxes):
                yield f"severity {mild.severity} is never seen: severity {severe.severity} always comes first"


def _boxes(tree: Tree, tests: Sequence[Test], spans: Sequence[tuple[float, float]]) -> list[Box] | None:
    """The ways in which ``tree`` can be true, each an interval a feature; None: too many to say."""
    if not isinstance(tree, Gate):
        test = tests[tree]
        low, high = spans[test.feature]
        if not test.band.outside:
            low, high = max(low, test.band.low), min(high, test.band.high)
        return [{test.feature: (low, high)}] if low <= high else []
    parts = [_boxes(part, tests, spans) for part in tree.parts]
    if not tree.every:
        return None if None in parts else [box for part in parts for box in part or ()]
    found: list[Box] = [{}]
    for part in parts:
        if part is None or len(found) * len(part) > _MOST_CASES:
            return None
        found = [both for one in found for other in part if (both := _both(one, other)) is not None]
    return found


def _both(one: Box, other: Box) -> Box | None:
    found = dict(one)
    for feature, (low, high) in other.items():
        before = found.get(feature, _UNKNOWN)
        found[feature] = max(low, before[0]), min(high, before[1])
        if found[feature][0] > found[feature][1]:
            return None
    return found


def _all_within(boxes: Sequence[Box], wider: Sequence[Box]) -> bool:
    return all(any(_within(box, around) for around in wider) for box in boxes)


def _within(box: Box, wider: Box) -> bool:
    return all(
        feature in box and low <= box[feature][0] and box[feature][1] <= high
        for feature, (low, high) in wider.items()
    )


def _covers(band: Band, span: tuple[float, float]) -> bool:
    return not band.outside and span != _UNKNOWN and band.low <= span[0] and span[1] <= band.high


def _span(bound: Bound, feature: int, of_input: Sequence[Quantity]) -> tuple[float, float]:
    """Where the feature can lie at all, by the range of its signal."""
    found = bound.program.features[feature]
    if found.compute is not None:
        return _UNKNOWN
    place = found.input - len(bound.inputs)
    if place < 0:
        return of_input[found.input].span or _UNKNOWN
    window = bound.windows[place]
    if window.function == "share":
        return 0.0, 1.0
    span = of_input[bound.inputs.index(window.signal)].span
    if window.function in {"mean", "min", "max", "median", "p5", "p10", "p90", "p95"}:
        return span or _UNKNOWN
    if window.function in {"std", "spread"}:
        return 0.0, span[1] - span[0] if span else math.inf
    return _UNKNOWN if window.function == "rate" else (0.0, math.inf)


def _why_never(tests: Sequence[Test], spans: Sequence[tuple[float, float]]) -> str:
    for test in tests:
        low, high = spans[test.feature]
        if not test.band.outside and (test.band.low > high or test.band.high < low):
            return f"{test.text} (limit {_limit(test):g}) lies outside the range {low:g} … {high:g}"
    return f"{_limits(tests)} contradict each other"


def _limit(test: Test) -> float:
    return test.band.low if math.isfinite(test.band.low) else test.band.high


def _limits(tests: Sequence[Test]) -> str:
    return ", ".join(dict.fromkeys(test.text for test in tests))


def _tests(tree: Tree) -> Iterator[int]:
    if isinstance(tree, Gate):
        for part in tree.parts:
            yield from _tests(part)
    else:
        yield tree


# -------------------------------------------------------------------------------------- noise


def _noise(bound: Bound, of_input: Sequence[Quantity]) -> Iterator[str]:
    """Limits that one wrong sample reaches, and limits that noise crosses again and again."""
    program = bound.program
    windows = {found.text: _windows_of(found) for found in _comparisons_of(bound.rule)}
    for level in program.levels:
        tests = [program.tests[i] for i in _tests(level.tree)]
        averaged = any(windows[test.text] for test in tests)
        exact = all(of_input[test.signal].exact for test in tests)
        if not level.on_delay and level.severity > 1 and not averaged and not exact:
            yield f"severity {level.severity} has no on_delay: one wrong sample is an alarm"
    for test in program.tests:
        exact = of_input[test.signal].exact or test.operator in {"==", "!="}
        if not test.deadband and not exact and all(map(_keeps_unit, windows[test.text])):
            yield f"no deadband for {test.text}: noise at the limit swings the alarm in and out"


def _timing(bound: Bound, of_alias: Mapping[str, Quantity]) -> Iterator[str]:
    """Delays and windows against the pace of the samples."""
    settings = bound.rule.settings
    periods = {alias: quantity.period for alias, quantity in of_alias.items() if quantity.period}
    for alias, period in periods.items():
        if bound.program.max_gap < 3 * period:
            yield f"quality.max_gap is less than three samples of {settings.signals[alias]}: timers stand still"
    for found in dict.fromkeys(
        w for comparison in _comparisons_of(bound.rule) for w in _windows_of(comparison)
    ):
        if not found.length or found.signal not in periods:
            continue
        samples = found.length // periods[found.signal]
        if found.function == "share" and samples <= _RUN:
            yield (
                f"share over {samples} raw samples is a run rule (Western Electric, Nelson): at one sample a second"
                " these give hundreds of false alarms a day; take a longer window, or judge a mean"
            )
        elif samples < 3:
            yield f"{found.function}({found.signal}, …) holds {samples} sample(s): no statistics"


# -------------------------------------------------------------------------------------- units


def _units(bound: Bound, units: Mapping[str, str]) -> Iterator[str]:
    for found in _comparisons_of(bound.rule):
        sides = (_unit(found.left, units), _unit(found.right, units))
        for mixed in (side for side in sides if isinstance(side, tuple)):
            yield f"{found.text} mixes {mixed[0]} and {mixed[1]}"
        if isinstance(sides[0], str) and isinstance(sides[1], str) and sides[0] != sides[1]:
            yield f"{found.text} compares {sides[0]} with {sides[1]}"


def _unit(node: Arithmetic, units: Mapping[str, str]) -> str | tuple[str, str] | None:
    """The unit of ``node``; None: a plain number or not known; two where two units are added."""
    match node:
        case Name(name):
            return units.get(name) or None
        case Windowed(signal=signal):
            return (units.get(signal) or None) if _keeps_unit(node) else None
        case Operation(function, arguments) if function not in {"*", "/"}:
            found = [unit for argument in arguments if (unit := _unit(argument, units))]
            mixed = next((unit for unit in found if isinstance(unit, tuple)), None)
            plain = list(dict.fromkeys(unit for unit in found if isinstance(unit, str)))
            return mixed or ((plain[0], plain[1]) if len(plain) > 1 else plain[0] if plain else None)
        case Operation(_, arguments):
            return next((unit for part in arguments if isinstance(unit := _unit(part, units), tuple)), None)
    return None


# -------------------------------------------------------------------------------------- the text of a rule


def _comparisons(condition: Condition) -> Iterator[Comparison]:
    if isinstance(condition, All | Some):
        for part in condition.parts:
            yield from _comparisons(part)
    else:
        yield condition


def _comparisons_of(rule: Rule) -> list[Comparison]:
    settings = rule.settings
    conditions = [parse(when.expr, settings.signals, settings.params) for when in settings.when]
    return list(dict.fromkeys(found for condition in conditions for found in _comparisons(condition)))


def _windows_of(found: Comparison) -> tuple[Windowed, ...]:
    return windowed(found.left) + windowed(found.right)


def _keeps_unit(window: Windowed) -> bool:
    return window.function in FUNCTIONS and FUNCTIONS[window.function].same_unit


def _names(found: Comparison) -> Iterator[str]:
    for side in (found.left, found.right):
        yield from _names_of(side)


def _names_of(node: Arithmetic) -> Iterator[str]:
    """Signals and parameters, those within a window's own comparison too."""
    match node:
        case Name(name):
            yield name
        case Windowed(_, signal, _, condition):
            yield signal
            if condition is not None:
                yield from _names(condition)
        case Operation(_, arguments):
            for argument in arguments:
                yield from _names_of(argument)
