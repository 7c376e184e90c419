"""The read planner: which requests fetch these registers soonest. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import log
from typing import Any, TypeAlias

from devices.register import BIT_TABLES, Block, Register, Span, Table

MOST_REGISTERS = 125  # by the standard; a device may allow less
MOST_BITS = 2000
Cuts: TypeAlias = Mapping[Table, frozenset[int]]


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of line time: the silence before a request, what frames a block, each register, the unit's own time."""

    gap: float
    frame: float
    register: float
    latency: float

    @classmethod
    def rtu(cls, baud: int, char_bits: int = 10, latency: float = 0.02) -> Cost:
        """8 + 5 characters around each block, and a silence before each of the two frames."""
        char, gap = char_bits / baud, silence(baud, char_bits)
        return cls(gap, 13 * char + gap, 2 * char, latency)

    @classmethod
    def ascii(cls, baud: int, char_bits: int = 10, latency: float = 0.02) -> Cost:
        """17 + 11 characters around each block."""
        char = char_bits / baud
        return cls(0.0, 28 * char, 4 * char, latency)

    @classmethod
    def network(cls, latency: float = 0.001) -> Cost:
        """TCP: nearly all of it is the round trip."""
        return cls(0.0, 0.0, 2e-6, latency)

    @property
    def request(self) -> float:
        """Of a request with nothing in it."""
        return self.gap + self.frame + self.latency

    def of(self, block: Block) -> float:
        """Predicted seconds for one block."""
        return self.request + self.address(block.table) * block.count

    def travel(self, block: Block) -> float:
        """Seconds that the frames around and of ``block`` take, without the unit's own time."""
        return self.frame + self.address(block.table) * block.count

    def measured(self, latency: float) -> Cost:
        """The same line with a unit that takes ``latency``, in steps of a quarter: little changes change no plan."""
        steps = round(log(max(latency, 1e-5), 1.25))
        return replace(self, latency=1.25**steps)

    def address(self, table: Table) -> float:
        """Of one register, or of one bit."""
        return self.register / 16 if table in BIT_TABLES else self.register


def silence(baud: int, char_bits: int = 11) -> float:
    """Seconds between RTU frames: 3.5 characters; 1.75 ms above 19200 baud, as the standard has it."""
    return 3.5 * char_bits / baud if baud <= 19200 else 0.00175


def plan(
    registers: Iterable[Register],
    cost: Cost,
    limit: int = MOST_REGISTERS,
    cuts: Cuts | None = None,
) -> tuple[Block, ...]:
    """The cheapest requests for ``registers``; holes are read through where that costs less than a request.

    ``limit`` is the most registers the device gives at once. ``cuts`` are addresses where a new request must
    begin, learned from what the device refused.
    """
    spans = sorted({(r.table, r.address, r.end) for r in registers})
    blocks: list[Block] = []
    for table, group in groupby(spans, key=lambda span: span[0]):
        most = MOST_BITS if table in BIT_TABLES else limit
        barriers = sorted((cuts or {}).get(table, ()))
        ends = [(start, end) for _, start, end in group]
        blocks += [
            Block(table, start, end - start) for start, end in _partition(table, ends, cost, most, barriers)
        ]
    return tuple(blocks)


def _partition(
    table: Table, spans: Sequence[tuple[int, int]], cost: Cost, most: int, barriers: Sequence[int]
) -> list[tuple[int, int]]:
    """Cut sorted ``spans`` into the cheapest runs: dynamic programming over where the last one begins."""
    fixed, each = cost.request, cost.address(table)
    best = [0.0]
    first: list[int] = []
    for last in range(len(spans)):
        segment = bisect_right(barriers, spans[last][0])
        cheapest, begin, end = float("inf"), last, 0
        for i in range(last, -1, -1):
            start = spans[i][0]
            end = max(end, spans[i][1])
            if (end - start > most and i < last) or bisect_right(barriers, start) != segment:
                break
            total = best[i] + fixed + each * (end - start)
            if total < cheapest:
                cheapest, begin = total, i
        best.append(cheapest)
        first.append(begin)
    runs: list[tuple[int, int]] = []
    last = len(spans) - 1
    while last >= 0:
        begin = first[last]
        runs.append((spans[begin][0], max(end for _, end in spans[begin : last + 1])))
        last = begin - 1
    return runs[::-1]


def cuts_after_refusal(block: Block, registers: Sequence[Register]) -> frozenset[int]:
    """Where to cut a block that the device refused (exception 2 or 3), so that the rest can still be read.

    First after every hole that was read through; without a hole in the middle. Nothing when only one span is
    left: that one cannot be read.
    """
    spans = sorted({(r.address, r.end) for r in registers if block.holds(r)})
    holes: set[int] = set()
    reach = block.start
    for start, end in spans:
        if start > reach:
            holes.add(start)
        reach = max(reach, end)
    if holes or len(spans) < 2:
        return frozenset(holes)
    return frozenset({spans[len(spans) // 2][0]})


class Learned:
    """What a device has refused: where to cut, how much it gives at once, and what cannot be read at all.

    ``version`` counts what changed the plan; it is 0 as long as nothing was refused. As JSON it is kept over restarts.
    """

    def __init__(self, known: Mapping[str, Any] | None = None) -> None:
        known = known or {}
        self.limit: int | None = known.get("limit")
        self.unreadable: dict[Span, str] = {
            (table, start, end): why for table, start, end, why in known.get("unreadable", ())
        }
        self._cuts: dict[Table, frozenset[int]] = {
            table: frozenset(cuts) for table, cuts in known.get("cuts", {}).items()
        }
        self._doubted: dict[Span, str] = {}
        self._most = 0  # registers that it gave at once, while it refused others
        self.version = 0 if self.is_blank else 1

    def to_json(self) -> dict[str, Any]:
        """All of it; empty if the device refused nothing."""
        found = {
            "limit": self.limit,
            "cuts": {table: sorted(cuts) for table, cuts in self._cuts.items()},
            "unreadable": [[*span, why] for span, why in self.unreadable.items()],
        }
        return {key: value for key, value in found.items() if value}

    @property
    def is_blank(self) -> bool:
        """Nothing was ever refused."""
        return not (self.limit or self._cuts or self.unreadable or self._doubted)

    def plan(self, registers: Sequence[Register], cost: Cost, limit: int) -> tuple[Block, ...]:
        """The cheapest requests for what can be read."""
        readable = [r for r in registers if r.span not in self.unreadable]
        return plan(readable, cost, min(limit, self.limit or limit), self._cuts)

    def answered(self, block: Block) -> None:
        """It gave this much; called while it refuses others."""
        if block.table not in BIT_TABLES:
            self._most = max(self._most, block.count)

    def refused(self, block: Block, registers: Sequence[Register], why: str, code: int = 2) -> bool:
        """Take note; True if it is final: what is in ``block`` cannot be read.

        By ``code`` 1 (illegal function) no part of it can. By 3 (illegal value) it may be too much at once, unless
        so much was given before.
        """
        self.version += 1
        inside = [r for r in registers if block.holds(r)]
        widest = max((r.size for r in inside), default=1)
        if code == 3 and block.table not in BIT_TABLES and block.count > max(self._most, widest):
            self.limit = max(block.count // 2, self._most, widest)
            return False
        cuts = frozenset[int]() if code == 1 else cuts_after_refusal(block, inside)
        if cuts:
            self._cuts[block.table] = self._cuts.get(block.table, frozenset()) | cuts
            return False
        self.unreadable.update((r.span, why) for r in inside)
        return True

    def doubt(self) -> None:
        """Ask again for what was unreadable: devices are refitted, and some refuse much while they start."""
        self.version += 1
        if self._doubted and not self.unreadable:  # all of it can be read now: it was a passing matter
            self._cuts.clear()
            self.limit = None
        self._doubted, self.unreadable = self.unreadable, {}

    @property
    def is_settled(self) -> bool:
        """Is there nothing to doubt?"""
        return not (self.unreadable or self._doubted)
