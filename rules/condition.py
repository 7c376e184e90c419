"""Conditions with their numbers filled in: three-valued truth, and what would have to move for it to change.

An unknown input (bad, stale, or a division by zero) makes a comparison unknown; ``and`` is then the least and
``or`` the greatest of its parts (Kleene's logic), so "v > limit and n > 300" is plainly false on a stopped
machine even while the vibration sensor is away.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rules.expression import Closure

FALSE, UNKNOWN, TRUE = -1, 0, 1
Interval: TypeAlias = tuple[float, float]  # closed
NOWHERE: Interval = (math.inf, -math.inf)


@dataclass(frozen=True, slots=True)
class Band:
    """The values for which a comparison is true: within [low, high], or, ``outside``, everywhere else."""

    low: float
    high: float
    outside: bool = False

    @classmethod
    def of(cls, symbol: str, limit: float, deadband: float = 0.0) -> Band:
        """Where ``x symbol limit`` holds, the limit moved by ``deadband`` so that it holds for longer."""
        match symbol:
            case ">":
                return cls(math.nextafter(limit - deadband, math.inf), math.inf)
            case ">=":
                return cls(limit - deadband, math.inf)
            case "<":
                return cls(-math.inf, math.nextafter(limit + deadband, -math.inf))
            case "<=":
                return cls(-math.inf, limit + deadband)
            case "==":
                return cls(limit - deadband, limit + deadband)
        return cls(limit, limit, outside=True)

    def truth(self, x: float) -> int:
        """Whether ``x`` is in the band; a value that is not finite is unknown."""
        if not math.isfinite(x):
            return UNKNOWN
        return TRUE if (self.low <= x <= self.high) is not self.outside else FALSE

    def quiet(self, x: float, holds: bool) -> Interval:
        """Around ``x``, where the truth cannot become FALSE (``holds``) or TRUE (not ``holds``)."""
        if holds is not self.outside:
            return self.low, self.high
        if self.low == -math.inf:
            return math.nextafter(self.high, math.inf), math.inf
        if self.high == math.inf or x < self.low:
            return -math.inf, math.nextafter(self.low, -math.inf)
        return (math.nextafter(self.high, math.inf), math.inf) if x > self.high else NOWHERE


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison of a rule: ``feature`` (its place in the program) against a band; the rest reports."""

    feature: int
    band: Band
    relaxed: Band
    deadband: float
    text: str
    operator: str
    signal: int  # the first input that it reads
    left: Closure | float
    right: Closure | float
    function: str  # of the left side: "" the signal itself, a window's, or "arithmetic"
    length: int  # of that window, ns

    def sides(self, values: Sequence[float]) -> tuple[float, float]:
        """Both sides of the comparison for these inputs."""
        left = self.left(values) if callable(self.left) else self.left
        right = self.right(values) if callable(self.right) else self.right
        return float(left), float(right)


@dataclass(frozen=True, slots=True)
class Gate:
    """``and`` (every) or ``or`` of tests, by their places."""

    every: bool
    parts: tuple[Tree, ...]


Tree: TypeAlias = int | Gate


def truth(tree: Tree, truths: Sequence[int]) -> int:
    """The truth of ``tree`` from the truths of its tests."""
    if isinstance(tree, int):
        return truths[tree]
    found = [truth(part, truths) for part in tree.parts]
    return min(found) if tree.every else max(found)


def keepers(tree: Tree, truths: Sequence[int], holds: bool) -> list[int]:
    """Tests that alone keep ``tree`` from becoming FALSE (``holds``) or TRUE (not ``holds``).

    One false part keeps an ``and`` from becoming true whatever the others do: a machine standing still is
    watched by its speed, and its vibration may be anything.
    """
    if isinstance(tree, int):
        return [tree]
    if tree.every is holds:
        return [test for part in tree.parts for test in keepers(part, truths, holds)]
    enough = next(
        part
        for part in tree.parts
        if (truth(part, truths) >= UNKNOWN if holds else truth(part, truths) <= UNKNOWN)
    )
    return keepers(enough, truths, holds)


def cause(tree: Tree, truths: Sequence[int]) -> int:
    """The first test, as written, that makes ``tree`` true."""
    if isinstance(tree, int):
        return tree
    return cause(next(part for part in tree.parts if truth(part, truths) == TRUE), truths)


def contains(tree: Tree, test: int) -> bool:
    """Whether ``tree`` depends on ``test``."""
    return tree == test if isinstance(tree, int) else any(contains(part, test) for part in tree.parts)
