"""Two orders that turn out to be one, and how that is taken back."""

from __future__ import annotations

import pytest

from tests.ticketing.scene import LEAD, T0, raised, the_order
from tests.ticketing.trace import play
from ticketing import Desk, FieldError, MoveRefusedError

MERGED = """
    0s   raise a fan-1 VIB 4                              | opened 1
    20m  raise b pump-1 VIB 4                             | opened 2
    30m  move 1 merge_in lead other=WO-2026-000002        | new
"""


def test_the_other_order_goes_into_this_one(desk: Desk) -> None:
    play(
        desk,
        MERGED + " 30m order 1 | new P1 x2\n 30m order 2 | cancelled P1 x1\n 30m links 2 | merged_into 1",
    )
    with desk.read() as read:
        assert {(e.episode, e.relation) for e in read.evidence("WO-2026-000001")} == {
            ("a", "trigger"),
            ("b", "merged"),
        }
        one, two = read.order("WO-2026-000001"), read.order("WO-2026-000002")
        assert one.due_ack_at == T0 + 35 * 60_000  # the more urgent clock of the two
        assert two.outcome == "merged"
        assert [e.type for e in read.timeline("WO-2026-000002")][-1] == "merged"


def test_its_fault_leads_to_the_survivor(desk: Desk) -> None:
    play(desk, MERGED + " 40m raise c pump-1 VIB 4 | attached 1\n 40m order 1 | new P1 x3")
    play(desk, "50m close 1 | closed\n 60m raise d pump-1 VIB 4 | opened 3")


def test_within_a_day_it_can_be_taken_back(desk: Desk) -> None:
    play(
        desk,
        MERGED
        + """
        1d29m move 2 unmerge lead reason=wrong            | new
        1d29m order 1                                     | new P1 x1
        1d29m order 2                                     | new P1 x1
        1d29m links 2                                     |
        1d30m raise c pump-1 VIB 4                        | attached 2
        """,
    )
    assert (the_order(desk, "WO-2026-000001").alarms, the_order(desk, "WO-2026-000002").alarms) == (1, 2)


@pytest.mark.parametrize(
    "later",
    [
        "1d31m move 2 unmerge lead reason=late | refused: guard",
        "40m close 1 | closed\n 50m move 2 unmerge lead reason=x | refused: guard",
    ],
)
def test_later_it_cannot(desk: Desk, later: str) -> None:
    play(desk, MERGED + later)


def test_what_cannot_be_merged(desk: Desk) -> None:
    play(
        desk,
        """
        0s  raise a fan-1 VIB 4                           | opened 1
        20m raise b pump-1 VIB 4                          | opened 2
        20m move 2 assign lead assignee=li                | assigned
        20m move 2 start tech                             | in_progress
        21m move 1 merge_in lead other=WO-2026-000002     | refused: illegal
        22m move 2 merge_in lead other=WO-2026-000001     | in_progress
        23m move 1 unmerge tech reason=x                  | refused: role
        """,
    )
    with desk.transaction() as tx:
        order = tx.order("WO-2026-000002")
        with pytest.raises(FieldError, match="into itself"):
            tx.move(order.number, "merge_in", LEAD, order.version, T0, other=order.number)


def test_a_new_order_of_the_fault_forbids_taking_back(desk: Desk) -> None:
    play(desk, MERGED + "40m close 1 | closed")
    with desk.transaction() as tx:
        assert tx.alarm_raised(raised("c", T0 + 3_600_000)).kind == "opened"
    with pytest.raises(MoveRefusedError, match="WO-2026-000003 is open"), desk.transaction() as tx:
        tx.move("WO-2026-000002", "unmerge", LEAD, 2, T0 + 3_700_000, reason="x")
