"""A rule against labelled history: false alarms a day, how late a fault is found, which faults it misses.

The trade-off of one number of the rule is the curve of these figures over its values, and its knee is the proposal.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from rules.duration import parse_duration, write_duration
from rules.rule import Rule, RuleError
from rules.transition import Transition

DAY = 86_400_000_000_000
ON_DELAY, DEADBAND = "on_delay", "deadband"  # numbers of a rule that are no parameters
ENOUGH = 0.1  # of the present noise: a proposal for a rule that cries too often leaves no more


@dataclass(frozen=True, slots=True)
class Fault:
    """A labelled fault, UTC ns: from ``onset`` to ``end`` an alarm is right; after ``lost`` it comes too late."""

    onset: int
    end: int
    lost: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a rule did: ``delays`` in ns, one for each fault found in time; ``healthy`` ns without a fault.

    ``swings``: how often an alarm came back before it had cleared.
    """

    false_alarms: int = 0
    healthy: int = 0
    delays: tuple[int, ...] = ()
    missed: int = 0
    swings: int = 0

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(
            self.false_alarms + other.false_alarms,
            self.healthy + other.healthy,
            self.delays + other.delays,
            self.missed + other.missed,
            self.swings + other.swings,
        )

    @property
    def noise(self) -> int:
        """How often somebody was called for nothing."""
        return self.false_alarms + self.swings

    @property
    def false_a_day(self) -> float:
        """False alarms in a healthy day; NaN where there was no healthy time."""
        return self.false_alarms / (self.healthy / DAY) if self.healthy else math.nan

    @property
    def delay(self) -> float:
        """Median delay in ns; NaN where nothing was found."""
        return median(self.delays) if self.delays else math.nan


@dataclass(frozen=True, slots=True)
class Point:
    """One value of the number that is tuned, and what came of it."""

    value: float
    outcome: Outcome


def judge(
    said: Sequence[Transition],
    faults: Sequence[Fault],
    start: int,
    end: int,
    severity: int = 1,
    *,
    unknown: Sequence[tuple[int, int]] = (),
) -> Outcome:
    """Hold what a rule said over [start, end) against the labels; alarms below ``severity`` do not count.

    An alarm that is on already when a fault begins is a false one, and does not find the fault. What was raised in
    an ``unknown`` stretch counts neither way.
    """
    raised = [at for at in _reached(said, severity) if not any(a <= at <= b for a, b in unknown)]
    right = [[time for time in raised if fault.onset <= time <= fault.end] for fault in faults]
    in_time = [
        times[0] - fault.onset
        for times, fault in zip(right, faults, strict=True)
        if times and times[0] <= fault.lost
    ]
    faulty = sum(min(fault.end, end) - max(fault.onset, start) for fault in faults)
    return Outcome(
        false_alarms=len(raised) - sum(map(len, right)),
        healthy=max(end - start - faulty, 0),
        delays=tuple(in_time),
        missed=len(faults) - len(in_time),
        swings=sum(transition.kind == "reactivated" for transition in said),
    )


def _reached(said: Iterable[Transition], severity: int) -> list[int]:
    """When each episode first reached the severity."""
    first: dict[str, int] = {}
    for transition in said:
        if transition.kind in {"raised", "severity_raised"} and transition.severity >= severity:
            first.setdefault(transition.episode, transition.time)
    return sorted(first.values())


def variant(rule: Rule, number: str, value: float, severity: int) -> Rule:
    """The rule with another value of a parameter, of its deadband, or (s) of the on-delay of one severity."""
    settings = rule.settings
    if number in settings.params:
        change: dict[str, object] = {"params": {**settings.params, number: float(value)}}
    elif number == DEADBAND:
        change = {"clear": settings.clear.model_copy(update={"deadband": float(value)})}
    elif number == ON_DELAY:
        delay = parse_duration(f"{value:.3f}s")
        limits = settings.when
        change = {
            "when": tuple(
                limit.model_copy(update={"on_delay": delay}) if limit.severity == severity else limit
                for limit in limits
            )
        }
    else:
        known = ", ".join([*settings.params, ON_DELAY, DEADBAND])
        raise RuleError(f"rule {rule.id} has no parameter {number}; it has: {known}")
    return Rule(rule.id, settings.model_copy(update=change))


def knee(points: Sequence[Point]) -> int | None:
    """The place of the best compromise among ``points``, which are in the order of their values; None if there is none.

    First the fewest misses; then the nearest to "no false alarm and no delay", both measured by the worst among
    these. A point counts with the false alarms of the worst value beside it or within a twenty-fourth of the range: it
    stands a step away from trouble.
    """
    found = [i for i, point in enumerate(points) if point.outcome.delays]
    if not found:
        return None
    fewest = min(points[i].outcome.missed for i in found)
    fit = [i for i in found if points[i].outcome.missed == fewest]
    noise = {i: _with_neighbours(points, i) for i in fit}
    most_noise = max(noise.values()) or 1.0
    longest = max(points[i].outcome.delay for i in fit) or 1.0
    return min(fit, key=lambda i: math.hypot(noise[i] / most_noise, points[i].outcome.delay / longest))


def quieter(points: Sequence[Point], present: Outcome) -> int | None:
    """The place of the first of ``points`` that loses nothing that is found at ``present`` and takes the noise away.

    They are in the order of their distance from the present value, so it is the least change that does. None: none
    does.
    """
    fit = (
        i
        for i, point in enumerate(points)
        if point.outcome.missed <= present.missed and point.outcome.noise <= ENOUGH * present.noise
    )
    return next(fit, None)


def beyond(peaks: Sequence[float], upwards: bool, steps: int = 12) -> list[float]:
    """Limits just beyond shares of these peaks, the nearest first, in three digits as a person would write them."""
    ordered = sorted(peaks, reverse=not upwards)
    found = [ordered[max(0, math.ceil(len(ordered) * n / steps) - 1)] for n in range(1, steps + 1)]
    return list(dict.fromkeys(_just_beyond(peak, upwards) for peak in found))


def _just_beyond(peak: float, upwards: bool) -> float:
    digits = 2 - math.floor(math.log10(abs(peak))) if peak else 2
    step, sign = 10.0**-digits, 1 if upwards else -1
    near = round(round(peak, digits) + sign * step, digits)
    before = round(near - sign * step, digits)
    return before if sign * before > sign * peak else near


def _with_neighbours(points: Sequence[Point], i: int) -> float:
    step = abs(points[-1].value - points[0].value) / 24
    near = [point for point in points if abs(point.value - points[i].value) <= step]
    rates = [point.outcome.false_a_day for point in (*near, *points[max(i - 1, 0) : i + 2])]
    return max((rate for rate in rates if not math.isnan(rate)), default=0.0)


def spread_values(low: float, high: float, steps: int) -> list[float]:
    """``steps`` values from low to high, rounded to what a person would write."""
    step = (high - low) / max(steps - 1, 1)
    digits = max(0, 1 - math.floor(math.log10(step))) if step > 0 else 0
    return list(dict.fromkeys(round(low + i * step, digits) for i in range(steps)))


def as_toml(rule: Rule, number: str, value: float, severity: int, asset: str | None) -> str:
    """The proposal as it would stand in rules.toml, or in assets.toml for one ``asset``."""
    if number == ON_DELAY:
        written = write_duration(parse_duration(f"{value:.3f}s"))
        return f'[[rule.{rule.id}.when]]\nseverity = {severity}\non_delay = "{written}"\n'
    if number == DEADBAND and number not in rule.settings.params:
        return f"[rule.{rule.id}.clear]\ndeadband = {value:g}\n"
    if asset is not None:
        return f"[asset.{asset}.params.{rule.id}]\n{number} = {value:g}\n"
    params = {**rule.settings.params, number: value}
    written = ", ".join(f"{name} = {json.dumps(found)}" for name, found in params.items())
    return f"[rule.{rule.id}]\nparams = {{ {written} }}\n"
