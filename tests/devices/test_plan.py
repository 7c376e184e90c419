"""The read planner: cheapest requests, limits, and what it learns from refusals."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devices.plan import Cost, Learned, plan
from devices.register import Block, Register

SLOW = Cost.rtu(9600, 11)
maps = st.lists(
    st.builds(
        Register,
        st.integers(0, 600),
        st.sampled_from(["u16", "f32", "f64"]),
        st.sampled_from(["input", "holding"]),
    ),
    min_size=1,
    max_size=40,
)


def spent(blocks: tuple[Block, ...], cost: Cost) -> float:
    return sum(cost.of(block) for block in blocks)


def scattered() -> list[Register]:
    """60 floats in 24 runs, four at a time with holes of 1 to 3 registers and wide gaps between: a power meter."""
    at, registers = 0, []
    wide = iter((40, 60, 40, 80, 100, 0))
    for n, run in enumerate([3] * 12 + [2] * 12):
        for _ in range(run):
            registers.append(Register(at, "f32", "input"))
            at += 2
        at += next(wide) if n % 4 == 3 else 1 + n % 3
    return registers


def test_sixty_scattered_floats_at_9600_baud_take_no_more_than_0_65_s() -> None:
    registers = scattered()
    blocks = plan(registers, SLOW)
    alone = sum(SLOW.of(Block("input", r.address, 2)) for r in registers)
    contiguous = 24 * SLOW.request + 120 * SLOW.register
    assert alone == pytest.approx(2.8, abs=0.2)
    assert contiguous == pytest.approx(1.25, abs=0.1)
    assert spent(blocks, SLOW) <= 0.65
    assert len(blocks) == 6


def test_a_hole_is_read_through_where_that_is_cheaper_than_a_request() -> None:
    break_even = int(SLOW.request / SLOW.register)
    near = [Register(0), Register(1 + break_even)]
    far = [Register(0), Register(2 + break_even)]
    assert len(plan(near, SLOW)) == 1
    assert len(plan(far, SLOW)) == 2
    assert len(plan(far, Cost.network())) == 1  # on TCP nearly every hole is


@given(maps, st.integers(4, 125))
@settings(max_examples=200)
def test_every_register_is_read_whole_and_no_request_is_too_long(
    registers: list[Register], limit: int
) -> None:
    blocks = plan(registers, SLOW, limit)
    assert all(sum(block.holds(register) for block in blocks) >= 1 for register in registers)
    assert all(0 < block.count <= limit for block in blocks)
    for one, two in pairwise(blocks):
        assert one.table != two.table or one.start < two.start


@given(st.lists(st.integers(0, 60), min_size=1, max_size=8, unique=True))
def test_no_partition_is_cheaper(addresses: list[int]) -> None:
    addresses = sorted(addresses)
    chosen = spent(plan([Register(a) for a in addresses], SLOW, 30), SLOW)
    for cuts in range(2 ** (len(addresses) - 1)):
        runs, run = [], [addresses[0]]
        for n, address in enumerate(addresses[1:]):
            if cuts >> n & 1:
                runs.append(run)
                run = []
            run.append(address)
        runs.append(run)
        if all(r[-1] - r[0] < 30 for r in runs):
            other = sum(SLOW.of(Block("holding", r[0], r[-1] - r[0] + 1)) for r in runs)
            assert chosen <= other + 1e-9


def test_coils_go_by_two_thousand() -> None:
    coils = [Register(n, "bit", "coil") for n in range(0, 4000, 7)]
    assert [block.count <= 2000 for block in plan(coils, Cost.network())] == [True, True]


def find(
    registers: list[Register], forbidden: set[int], limit: int = 125
) -> tuple[Learned, int, list[Block]]:
    """Read until nothing new is refused; how many polls that took."""
    learned = Learned()
    for polls in range(20):
        blocks = learned.plan(registers, SLOW, limit)
        refused = [b for b in blocks if forbidden.intersection(range(b.start, b.start + b.count))]
        if not refused:
            return learned, polls, list(blocks)
        for block in refused:
            learned.refused(block, registers, f"refuses {block}")
    raise AssertionError("it never settles")


@given(st.sets(st.integers(0, 130), min_size=1, max_size=40), st.sets(st.integers(0, 130), max_size=5))
def test_bad_addresses_are_found_and_everything_else_is_read(wanted: set[int], forbidden: set[int]) -> None:
    registers = [Register(address) for address in sorted(wanted)]
    learned, polls, blocks = find(registers, forbidden)
    assert {start for _, start, _ in learned.unreadable} == wanted & forbidden
    assert all(any(b.holds(r) for b in blocks) for r in registers if r.address not in forbidden)
    assert polls <= 9  # a hole once, and then halves


def test_a_hole_that_may_not_be_read_costs_one_poll() -> None:
    registers = [Register(0), Register(1), Register(4), Register(5)]
    learned, polls, blocks = find(registers, {2})
    assert polls == 1
    assert not learned.unreadable
    assert blocks == [Block("holding", 0, 2), Block("holding", 4, 2)]


def test_a_device_with_a_smaller_limit_is_learned_too() -> None:
    registers = [Register(n) for n in range(100)]
    learned = Learned()
    for _ in range(10):
        refused = [b for b in learned.plan(registers, SLOW, 125) if b.count > 30]
        for block in refused:
            learned.refused(block, registers, "illegal value", code=3)
    assert not learned.unreadable
    assert all(block.count <= 30 for block in learned.plan(registers, SLOW, 125))
    assert learned.limit == 25  # 100, 50, 25


def test_a_size_that_was_given_before_is_no_limit() -> None:
    registers = [Register(n) for n in range(100)]
    learned = Learned()
    learned.answered(Block("holding", 0, 60))
    learned.refused(Block("holding", 40, 60), registers, "illegal value", code=3)
    assert learned.limit is None
    assert len(learned.plan(registers, SLOW, 125)) == 2


def test_what_was_learned_is_known_again_from_its_json() -> None:
    registers = [Register(n) for n in range(40)]
    learned, _, blocks = find(registers, {7, 31})
    learned.refused(blocks[0], registers, "illegal value", code=3)
    again = Learned(json.loads(json.dumps(learned.to_json())))
    assert again.plan(registers, SLOW, 125) == learned.plan(registers, SLOW, 125)
    assert again.unreadable == learned.unreadable
    assert again.limit == learned.limit
    assert Learned(Learned().to_json()).is_blank


def test_the_plan_follows_the_measured_latency() -> None:
    registers = [Register(0), Register(30)]
    assert len(plan(registers, SLOW.measured(0.002))) == 2
    assert len(plan(registers, SLOW.measured(0.1))) == 1
    block = Block("holding", 0, 10)
    round_trip = SLOW.of(block) - SLOW.gap - SLOW.latency + 0.033
    assert round_trip - SLOW.travel(block) == pytest.approx(0.033)
    assert SLOW.measured(0.0200) == SLOW.measured(0.0201)


def test_what_was_refused_while_the_device_started_is_read_again_later() -> None:
    registers = [Register(n) for n in range(10)]
    learned, _, blocks = find(registers, set(range(10)))
    assert len(learned.unreadable) == 10
    assert not blocks
    learned.doubt()
    assert len(learned.plan(registers, SLOW, 125)) == 10  # one by one, still with care
    learned.doubt()
    assert learned.plan(registers, SLOW, 125) == (Block("holding", 0, 10),)
