"""The small language of rules: numbers, signals, parameters, arithmetic, comparisons, time windows, and/or/not.

Python's own parser reads the text, and an allow-list decides what may stand in it; nothing is ever evaluated as
Python. Everything is refused in one line, and size, depth and literals are bounded before the parser sees them.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Collection
from datetime import timedelta

from rules.duration import nanoseconds, parse_duration
from rules.expression import (
    MIRRORED,
    All,
    Arithmetic,
    Comparison,
    Condition,
    Name,
    Number,
    Operation,
    Some,
    Windowed,
    names,
)
from rules.functions import FUNCTIONS

LONGEST = 1024  # characters
MOST_NODES = 200
DEEPEST = 20
GREATEST = 1e15
SHORTEST_WINDOW, LONGEST_WINDOW = timedelta(seconds=1), timedelta(days=7)

_TOKEN = re.compile(
    r"""[ \t\r\n]+ | (?P<name>[A-Za-z_][A-Za-z_0-9]*) | (?P<number>(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?(?![\w.]))
    | (?P<open>\() | (?P<close>\)) | (?P<duration>'[0-9a-z.]{1,20}'|"[0-9a-z.]{1,20}")
    | [<>=!]= | \*(?!\*) | /(?!/) | [-+<>,]""",
    re.VERBOSE | re.ASCII,
)


class ExpressionError(ValueError):
    """An expression that cannot be judged; the text is one line and says what would do."""


_OPPOSITE = {">": "<=", "<=": ">", "<": ">=", ">=": "<", "==": "!=", "!=": "=="}
_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Gt: ">", ast.GtE: ">=", ast.Lt: "<", ast.LtE: "<=", ast.Eq: "==", ast.NotEq: "!=",
}  # fmt: skip
_ARITHMETIC: dict[type[ast.operator], str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
_PLAIN = {"abs": (1, 1), "min": (2, 8), "max": (2, 8)}
_STATES = ("frozen", "stale")
_CALLS = ", ".join(dict.fromkeys([*_PLAIN, *FUNCTIONS, *_STATES]))
RESERVED = frozenset(_PLAIN) | frozenset(FUNCTIONS) | frozenset(_STATES) | frozenset(keyword.kwlist)
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
                f"numbers, names, + - * /, comparisons, and, or, not, {_CALLS} do"
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
            case ast.Call(func=ast.Name(id=state)) if state in _STATES:
                return self._state(node, state, negated)
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
        if node.keywords or (function not in _PLAIN and function not in FUNCTIONS):
            raise self._error(f"only {_CALLS} can be called, with plain arguments")
        if function not in _PLAIN or (function in FUNCTIONS and any(_is_text(found) for found in node.args)):
            return self._window(node, function, depth)
        least, most = _PLAIN[function]
        if not least <= len(node.args) <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise self._error(f"{function} takes {wanted} argument(s), not {len(node.args)}")
        return Operation(function, tuple(self.arithmetic(argument, depth + 1) for argument in node.args))

    def _window(self, node: ast.Call, function: str, depth: int) -> Windowed:
        """``mean(v, "5m")`` and its like, and ``share(v > high, "5m")``, ``hours(n > 300, "7d")``."""
        of, length = self._signal_and_length(node, function)
        if FUNCTIONS[function].of not in {"hit", "held"}:
            return Windowed(function, self._signal(of, function), length)
        if not isinstance(of, ast.Compare) or not isinstance(
            found := self._comparisons(of, False, depth), Comparison
        ):
            raise self._error(f'{function} takes one comparison: {function}(v > limit, "5m")')
        if isinstance(found.right, Name) and found.right.name in self._signals:
            found = Comparison(MIRRORED[found.operator], found.right, found.left, found.text)
        if not isinstance(found.left, Name) or names(found.right) & self._signals:
            raise self._error(f"{function} compares one signal as it is with a limit")
        return Windowed(function, found.left.name, length, found)

    def _state(self, node: ast.Call, state: str, negated: bool) -> Comparison:
        """``frozen(v, "10m")``: not moved for so long; ``stale(v, "5m")``: no good sample for so long."""
        of, length = self._signal_and_length(node, state)
        signal, text = self._signal(of, state), self._source(node)
        if state == "frozen":
            return Comparison(
                "!=" if negated else "==", Windowed("spread", signal, length), Number(0.0), text
            )
        return Comparison(
            "<=" if negated else ">", Windowed("age", signal, length), Number(length / 1e9), text
        )

    def _signal_and_length(self, node: ast.Call, function: str) -> tuple[ast.expr, int]:
        if len(node.args) != 2 or node.keywords or not _is_text(node.args[1]):
            raise self._error(f'{function} takes a signal and a duration: {function}(v, "5m")')
        of, length = node.args
        assert isinstance(length, ast.Constant)
        try:
            found = parse_duration(str(length.value))
        except ValueError as error:
            raise self._error(str(error)) from None
        if not SHORTEST_WINDOW <= found <= LONGEST_WINDOW:
            raise self._error("a window lasts from 1 s to 7 d")
        return of, nanoseconds(found)

    def _signal(self, node: ast.expr, function: str) -> str:
        if not isinstance(node, ast.Name) or node.id not in self._signals:
            known = ", ".join(sorted(self._signals))
            raise self._error(f"{function} looks at one signal as it is; known here: {known}")
        return node.id

    def _number(self, value: object) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._error(f"{_quote(str(value))} is not a number")
        if not abs(value) <= GREATEST:
            raise self._error(f"a number lies between -{GREATEST:g} and {GREATEST:g}")
        return float(value)

    def _name(self, name: str) -> str:
        if name in self._signals or name in self._params:
            return name
        if name in RESERVED:
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


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
