"""Expressions: what a rule's text becomes, and how it is computed, for one value or for whole columns alike."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written."""

    value: float


@dataclass(frozen=True, slots=True)
class Name:
    """A signal's alias or a parameter."""

    name: str


@dataclass(frozen=True, slots=True)
class Operation:
    """``function`` (a key of ``OPERATIONS``) of its arguments."""

    function: str
    arguments: tuple[Arithmetic, ...]


Arithmetic: TypeAlias = "Number | Name | Operation | Windowed"


@dataclass(frozen=True, slots=True)
class Comparison:
    """``left operator right``, with its text for people."""

    operator: str
    left: Arithmetic
    right: Arithmetic
    text: str


@dataclass(frozen=True, slots=True)
class Windowed:
    """``function`` of a signal's samples over ``length`` ns; ``share`` and ``hours`` count where ``condition`` holds.

    ``age`` is the time in s since the signal's last good sample; ``length`` is the longest that it may be.
    """

    function: str
    signal: str
    length: int
    condition: Comparison | None = None


@dataclass(frozen=True, slots=True)
class All:
    """``and``: true where every part is."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """``or``: true where one part is."""

    parts: tuple[Condition, ...]


Condition: TypeAlias = Comparison | All | Some

MIRRORED = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "==", "!=": "!="}
"""How a comparison reads from its other side."""

# -------------------------------------------------------------------------------------- computing

Columns: TypeAlias = Sequence[Any]  # one float, or one float64 array of equal length, per input
Closure: TypeAlias = Callable[[Columns], Any]


def _divide(left: Any, right: Any) -> Any:
    """NaN where the divisor is zero: unknown, neither violated nor fine."""
    if isinstance(right, float):
        return left / right if right else left * math.nan
    return np.divide(left, np.where(right == 0.0, math.nan, right))


def _least(*values: Any) -> Any:
    if all(isinstance(value, float) for value in values):
        return math.nan if any(value != value for value in values) else min(values)  # noqa: PLR0124 NaN
    return np.minimum.reduce(np.broadcast_arrays(*values))


def _greatest(*values: Any) -> Any:
    if all(isinstance(value, float) for value in values):
        return math.nan if any(value != value for value in values) else max(values)  # noqa: PLR0124 NaN
    return np.maximum.reduce(np.broadcast_arrays(*values))


OPERATIONS: dict[str, Callable[..., Any]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul, "/": _divide,
    "negative": operator.neg, "abs": abs, "min": _least, "max": _greatest,
}  # fmt: skip


def names(node: Arithmetic) -> frozenset[str]:
    """The signals and parameters that ``node`` reads."""
    match node:
        case Name(name) | Windowed(signal=name):
            return frozenset((name,))
        case Operation(arguments=arguments):
            return frozenset().union(*(names(argument) for argument in arguments))
    return frozenset()


def windowed(node: Arithmetic) -> tuple[Windowed, ...]:
    """The windows that ``node`` reads."""
    match node:
        case Windowed():
            return (node,)
        case Operation(arguments=arguments):
            return tuple(found for argument in arguments for found in windowed(argument))
    return ()


def closure(
    node: Arithmetic, inputs: Mapping[str | Windowed, int], params: Mapping[str, float]
) -> Closure | float:
    """``node`` as a function of columns in the order of ``inputs``, or the number it always is."""
    match node:
        case Number(value):
            return value
        case Name(name):
            if name in params:
                return float(params[name])
            return operator.itemgetter(inputs[name])
        case Windowed():
            return operator.itemgetter(inputs[node])
        case Operation(function, arguments):
            return _applied(
                OPERATIONS[function], [closure(argument, inputs, params) for argument in arguments]
            )


def _applied(function: Callable[..., Any], parts: list[Closure | float]) -> Closure | float:
    if all(isinstance(part, float) for part in parts):
        return float(function(*parts))
    calls = [part if callable(part) else _constant(part) for part in parts]
    if len(calls) == 1:
        only = calls[0]
        return lambda columns: function(only(columns))
    if len(calls) == 2:
        first, second = calls
        return lambda columns: function(first(columns), second(columns))
    return lambda columns: function(*(call(columns) for call in calls))


def _constant(value: float) -> Closure:
    return lambda _columns: value
