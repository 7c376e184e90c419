"""The read planner: which requests fetch these registers soonest. Pure."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from devices.register import BIT_TABLES, Block, Register, Table

MOST_REGISTERS = 125  # by the standard; a device may allow less
MOST_BITS = 2000
Cuts = Mapping[Table, frozenset[int]]


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of line time: of one request with nothing in it, and of each register on top."""

    request: float
    register: float

    @classmethod
    def rtu(cls, baud: int, char_bits: int = 10, latency: float = 0.02) -> Cost:
        """8 + 5 characters around each block, two silences, and the unit's own ``latency`` (s)."""
        char = char_bits / baud
        return cls(13 * char + 2 * silence(baud, char_bits) + latency, 2 * char)

    @classmethod
    def ascii(cls, baud: int, char_bits: int = 10, latency: float = 0.02) -> Cost:
        """17 + 11 characters around each block, and the unit's own ``latency`` (s)."""
        char = char_bits / baud
        return cls(28 * char + latency, 4 * char)

    @classmethod
    def network(cls, latency: float = 0.001) -> Cost:
        """TCP: nearly all of it is the round trip."""
        return cls(latency, 2e-6)

    def of(self, block: Block) -> float:
        """Predicted seconds for one block."""
        registers = block.count / 16 if block.table in BIT_TABLES else block.count
        return self.request + self.register * registers


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
            total = best[i] + cost.of(Block(table, start, end - start))
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
    """What a device has refused: where to cut, and what cannot be read at all."""

    def __init__(self) -> None:
        self.unreadable: dict[Register, str] = {}
        self._cuts: dict[Table, frozenset[int]] = {}
        self._doubted: dict[Register, str] = {}

    def plan(self, registers: Sequence[Register], cost: Cost, limit: int) -> tuple[Block, ...]:
        """The cheapest requests for what can be read."""
        readable = [r for r in registers if r not in self.unreadable]
        return plan(readable, cost, limit, self._cuts)

    def refused(self, block: Block, registers: Sequence[Register], why: str, whole: bool = False) -> bool:
        """Take note; True if it is final: what is in ``block`` cannot be read. ``whole``: no part of it can."""
        inside = [r for r in registers if block.holds(r)]
        cuts = frozenset[int]() if whole else cuts_after_refusal(block, inside)
        if cuts:
            self._cuts[block.table] = self._cuts.get(block.table, frozenset()) | cuts
            return False
        self.unreadable.update(dict.fromkeys(inside, why))
        return True

    def doubt(self) -> None:
        """Ask again for what was unreadable: devices are refitted, and some refuse much while they start."""
        if (
            self._doubted and not self.unreadable
        ):  # all of it can be read now, so the cuts were a passing matter
            self._cuts.clear()
        self._doubted, self.unreadable = self.unreadable, {}
