"""The small language of rules: numbers, signals, parameters, arithmetic, comparisons, and/or/not.

Python's own parser reads the text, an allow-list decides what may stand in it, and closures compute it:
nothing is ever evaluated as Python. One closure serves one value and a whole array of values.
Everything is refused in one line, and size, depth and literals are bounded before the parser sees them.
"""

from __future__ import annotations

import ast
import keyword
import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

LONGEST = 1024  # characters
MOST_NODES = 200
DEEPEST = 20
GREATEST = 1e15

_TOKEN = re.compile(
    r"""[ \t\r\n]+ | (?P<name>[A-Za-z_][A-Za-z_0-9]*) | (?P<number>(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?(?![\w.]))
    | (?P<open>\() | (?P<close>\)) | [<>=!]= | \*(?!\*) | /(?!/) | [-+<>,]""",
    re.VERBOSE | re.ASCII,
)


class ExpressionError(ValueError):
    """An expression that cannot be judged; the text is one line and says what would do."""


# -------------------------------------------------------------------------------------- the tree


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


Arithmetic: TypeAlias = Number | Name | Operation


@dataclass(frozen=True, slots=True)
class Comparison:
    """``left operator right``, with its text for people."""

    operator: str
    left: Arithmetic
    right: Arithmetic
    text: str


@dataclass(frozen=True, slots=True)
class All:
    """``and``: true where every part is."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """``or``: true where one part is."""

    parts: tuple[Condition, ...]


Condition: TypeAlias = Comparison | All | Some

# -------------------------------------------------------------------------------------- reading

_OPPOSITE = {">": "<=", "<=": ">", "<": ">=", ">=": "<", "==": "!=", "!=": "=="}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_FUNCTIONS = {"abs": (1, 1), "min": (2, 8), "max": (2, 8)}
RESERVED = frozenset(_FUNCTIONS) | frozenset(keyword.kwlist)
_WORDS = {
    ast.Attribute: "attribute access", ast.Subscript: "a subscript", ast.Call: "a call", ast.Lambda: "lambda",
    ast.IfExp: "if … else", ast.NamedExpr: "an assignment", ast.Starred: "a starred argument",
    ast.Await: "await", ast.Yield: "yield", ast.Tuple: "a list of values",
}  # fmt: skip


def parse(text: str, signals: Collection[str], params: Collection[str]) -> Condition:
    """``text`` as a condition over these aliases and parameters; raises ExpressionError."""
    _screen(text)
    line = _one_line(text)
    try:
        tree = ast.parse(line, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f" at column {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        raise ExpressionError(
            f"{_quote(text)} is not an expression: it breaks off or is out of order{where}"
        ) from None
    if sum(1 for _ in ast.walk(tree)) > MOST_NODES:
        raise ExpressionError(
            f"{_quote(text)} is too long: at most {MOST_NODES} parts; split it into several rules"
        )
    return _Reader(line, frozenset(signals), frozenset(params)).condition(tree.body, False, 0)


def _screen(text: str) -> None:
    """Refuse by length, character and nesting before any parser sees ``text``."""
    if len(text) > LONGEST:
        raise ExpressionError(f"an expression has at most {LONGEST} characters, this one has {len(text)}")
    position, depth = 0, 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise ExpressionError(
                f"{_quote(text)}: {text[position]!a} at column {position + 1} has no place in a rule; "
                "numbers, names, + - * /, comparisons, and, or, not, abs, min, max do"
            )
        depth += (token.lastgroup == "open") - (token.lastgroup == "close")
        if depth > DEEPEST:
            raise ExpressionError(f"{_quote(text)} is nested deeper than {DEEPEST} parentheses")
        position = token.end()


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _quote(text: str) -> str:
    line = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in _one_line(text[:100])
    )
    return f'"{line}"' if len(line) <= 60 else f'"{line[:57]}…"'


class _Reader:
    """Python's tree → ours, pushing every ``not`` down to the comparisons."""

    def __init__(self, text: str, signals: frozenset[str], params: frozenset[str]) -> None:
        self._text = text
        self._signals = signals
        self._params = params

    def condition(self, node: ast.expr, negated: bool, depth: int) -> Condition:
        self._check_depth(depth)
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = tuple(self.condition(value, negated, depth + 1) for value in values)
                return All(parts) if isinstance(op, ast.And) != negated else Some(parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self.condition(operand, not negated, depth + 1)
            case ast.Compare():
                return self._comparisons(node, negated, depth)
        found = ast.get_source_segment(self._text, node) or self._text
        raise self._error(
            f"{_quote(found)} is {self._kind(node)}, where a comparison such as v > limit is wanted"
        )

    def _comparisons(self, node: ast.Compare, negated: bool, depth: int) -> Condition:
        """``a < b < c`` is ``a < b and b < c``."""
        sides = [node.left, *node.comparators]
        links: list[Condition] = []
        for left, kind, right in zip(sides, node.ops, sides[1:], strict=False):
            if type(kind) not in _COMPARISONS:
                raise self._error("only >, >=, <, <=, == and != compare")
            symbol = _COMPARISONS[type(kind)]
            symbol = _OPPOSITE[symbol] if negated else symbol
            links.append(self._comparison(left, symbol, right, depth + 1))
        if len(links) == 1:
            return links[0]
        return Some(tuple(links)) if negated else All(tuple(links))

    def _comparison(self, left: ast.expr, symbol: str, right: ast.expr, depth: int) -> Comparison:
        sides = self.arithmetic(left, depth), self.arithmetic(right, depth)
        text = f"{self._source(left)} {symbol} {self._source(right)}"
        if not any(names(side) & self._signals for side in sides):
            raise self._error(f"{_quote(text)} compares no signal, so it never changes")
        return Comparison(symbol, *sides, text)

    def arithmetic(self, node: ast.expr, depth: int) -> Arithmetic:
        self._check_depth(depth)
        match node:
            case ast.Constant(value=value):
                return Number(self._number(value))
            case ast.Name(id=name):
                return Name(self._name(name))
            case ast.UnaryOp(op=ast.USub() | ast.UAdd() as sign, operand=operand):
                inner = self.arithmetic(operand, depth + 1)
                return Operation("negative", (inner,)) if isinstance(sign, ast.USub) else inner
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                sides = self.arithmetic(left, depth + 1), self.arithmetic(right, depth + 1)
                return Operation(_ARITHMETIC[type(op)], sides)
            case ast.Call():
                return self._call(node, depth)
        raise self._error(f"{self._kind(node)} has no place in arithmetic")

    def _call(self, node: ast.Call, depth: int) -> Arithmetic:
        function = node.func.id if isinstance(node.func, ast.Name) else ""
        if function not in _FUNCTIONS or node.keywords:
            raise self._error(f"only {', '.join(_FUNCTIONS)} can be called, with plain arguments")
        least, most = _FUNCTIONS[function]
        if not least <= len(node.args) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise self._error(f"{function} takes {wanted} argument(s), not {len(node.args)}")
        return Operation(function, tuple(self.arithmetic(argument, depth + 1) for argument in node.args))

    def _number(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._error(f"{_quote(str(value))} is not a number")
        if not abs(value) <= GREATEST:
            raise self._error(f"a number lies between -{GREATEST:g} and {GREATEST:g}")
        return float(value)

    def _name(self, name: str) -> str:
        if name in self._signals or name in self._params:
            return name
        if name in _FUNCTIONS:
            raise self._error(f"{name} is a function: write {name}(…)")
        known = ", ".join(sorted(self._signals | self._params)) or "none"
        raise self._error(f"unknown name {_quote(name)}; known here: {known}")

    def _check_depth(self, depth: int) -> None:
        if depth > DEEPEST:
            raise self._error(f"nested deeper than {DEEPEST}")

    def _source(self, node: ast.expr) -> str:
        return " ".join((ast.get_source_segment(self._text, node) or "").split())

    def _kind(self, node: ast.expr) -> str:
        return _WORDS.get(
            type(node),
            "a value" if isinstance(node, ast.Constant | ast.Name | ast.BinOp) else "something else",
        )

    def _error(self, why: str) -> ExpressionError:
        return ExpressionError(f"{_quote(self._text)}: {why}")


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
        case Name(name):
            return frozenset((name,))
        case Operation(arguments=arguments):
            return frozenset().union(*(names(argument) for argument in arguments))
    return frozenset()


def closure(node: Arithmetic, inputs: Mapping[str, int], params: Mapping[str, float]) -> Closure | float:
    """``node`` as a function of columns in the order of ``inputs``, or the number it always is."""
    match node:
        case Number(value):
            return value
        case Name(name):
            if name in params:
                return float(params[name])
            return operator.itemgetter(inputs[name])
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
