"""What became of an alarm: the transitions between two states, with all that evidence and a sentence need."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rules.condition import contains
from rules.episode import Phase, State
from rules.rule import Bound


@dataclass(frozen=True, slots=True)
class Decision:
    """The comparison that decided, for the evidence and the sentence.

    ``value`` and ``limit`` are in the unit of ``signal`` where ``function`` is empty: then it is the signal itself.
    Otherwise it is a window over it of ``length`` ns ("mean", "rate", "share" …, "age" in s), or "arithmetic".
    """

    expression: str
    signal: str
    operator: str
    value: float | None
    limit: float | None
    margin: float | None  # how far beyond the limit; negative: inside
    deadband: float
    on_delay: int
    peak: float | None
    function: str = ""
    length: int = 0


@dataclass(frozen=True, slots=True)
class Transition:
    """What became of an alarm: ``kind`` is raised, severity_raised, reactivated, cleared or withdrawn.

    ``episode`` names the episode for good: the same input gives the same name. ``since`` is when it became
    active; ``inputs`` holds the signals at ``time`` (None: not good). ``withdrawn`` ends an episode whose
    rule was changed or retired; it has no decision.
    """

    kind: str
    episode: str
    rule: str
    rule_hash: str
    mode: str
    asset: str
    failure_mode: str
    severity: int
    time: int
    since: int
    reactivations: int
    inputs: Mapping[str, float | None]
    params: Mapping[str, float]
    decision: Decision | None


def episode_name(rule: str, rule_hash: str, asset: str, active_since: int) -> str:
    """The name of an episode, equal in every run over the same samples."""
    return f"{rule}/{rule_hash[:8]}/{asset}/{active_since}"


def report(bound: Bound, before: State, after: State, time: int, values: Sequence[float]) -> list[Transition]:
    """The transitions between two states that ``step`` led from one to the other."""
    kinds = []
    if after.severity > before.severity:
        kinds.append("severity_raised" if before.severity else "raised")
    if before.phase is Phase.CLEARING and after.phase is Phase.ACTIVE:
        kinds.append("reactivated")
    if before.severity and not after.severity:
        kinds.append("cleared")
    told = after if after.severity else before
    return [_transition(bound, kind, told, time, values) for kind in kinds]


def _transition(bound: Bound, kind: str, told: State, time: int, values: Sequence[float]) -> Transition:
    rule = bound.rule
    assert told.active_since is not None
    return Transition(
        kind,
        episode_name(rule.id, rule.hash, bound.asset, told.active_since),
        rule.id,
        rule.hash,
        bound.mode,
        bound.asset,
        rule.settings.failure_mode,
        told.severity,
        time,
        told.active_since,
        told.reactivations,
        {signal: _known(value) for signal, value in zip(bound.inputs, values, strict=False)},
        bound.program.params,
        _decision(bound, told, values),
    )


def _decision(bound: Bound, told: State, values: Sequence[float]) -> Decision:
    program = bound.program
    assert told.cause is not None
    test = program.tests[told.cause]
    value, limit = (_known(side) for side in test.sides(values))
    sign = -1 if test.operator in {"<", "<="} else 1
    levels = (level for level in program.levels if level.severity == told.severity)
    return Decision(
        expression=test.text,
        signal=bound.inputs[test.signal],
        operator=test.operator,
        value=value,
        limit=limit,
        margin=None if value is None or limit is None else sign * (value - limit),
        deadband=test.deadband,
        on_delay=next(level.on_delay for level in levels if contains(level.tree, told.cause)),
        peak=told.peak,
        function=test.function,
        length=test.length,
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None
