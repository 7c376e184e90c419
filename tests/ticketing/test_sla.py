"""Due times and escalation: what moves them, what stops them, and that each step happens once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.ticketing.scene import ASSETS, T0, raised
from tests.ticketing.trace import play
from ticketing import Desk, Policy, Target
from ticketing.calendar import Calendar
from ticketing.records import HOUR, MINUTE

TRACES = {
    "due times by priority, from opening": """
        0s    raise a pump-1 VIB 4                           | opened 1
        0s    due 1                                          | ack 15m resolve 4h
        0s    raise b fan-1 VIB 4                            | opened 2
        0s    due 2                                          | ack 1h resolve 1d
        1h    raise c pump-1 OHE 2 min_active=0s             | opened 3
        1h    due 3                                          | ack 9h resolve 5d1h
        2h    raise d fan-1 OHE 2 min_active=0s              | opened 4
        2h    due 4                                          | ack 1d2h resolve 20d2h
    """,
    "an urgent order jumps to the director at once, then to the lead": """
        0s    raise a pump-1 VIB 4                           | opened 1
        0s    steps                                          | p1_opened 1
        14m   steps                                          |
        15m   steps                                          | not_accepted 1
        16m   steps                                          |
        3h    steps                                          | resolve_soon 1
        4h    steps                                          | not_resolved 1
        9d    steps                                          |
    """,
    "all steps that fell due while nobody looked happen once each": """
        0s    raise a pump-1 VIB 4                           | opened 1
        9d    steps                           | p1_opened 1, not_accepted 1, resolve_soon 1, not_resolved 1
        9d    steps                                          |
    """,
    "nobody is told after acceptance, nor after resolving": """
        0s    raise a pump-1 VIB 4                           | opened 1
        1m    steps                                          | p1_opened 1
        2m    move 1 assign lead assignee=li                 | assigned
        10m   move 1 accept tech                             | assigned
        1h    steps                                          |
        1h    move 1 start tech                              | in_progress
        2h    clear a                                        |
        2h    move 1 resolve tech symptom=VIB mechanism=wear remedy=replace | resolved
        9h    steps                                          |
    """,
    "assigning is not accepting": """
        0s    raise a pump-1 VIB 3 min_active=0s             | opened 1
        30m   move 1 assign lead assignee=li                 | assigned
        1h    steps                                          | not_accepted 1
    """,
    "a hold for parts stops the clock, one for approval does not": """
        0s    raise a pump-1 VIB 3 min_active=0s             | opened 1
        0s    move 1 assign lead assignee=li                 | assigned
        1h    move 1 start tech                              | in_progress
        2h    move 1 hold tech hold_reason=parts             | on_hold
        3d    steps                                          |
        3d    move 1 resume tech                             | in_progress
        3d    due 1                                          | ack 1h resolve 3d22h
        3d    move 1 hold tech hold_reason=approval          | on_hold
        3d2h  move 1 resume tech                             | in_progress
        3d2h  due 1                                          | ack 1h resolve 3d22h
        3d21h steps                                          | resolve_soon 1
        3d22h steps                                          | not_resolved 1
    """,
    "an order that comes back is to be accepted again; the time it was resolved does not count": """
        0s    raise a pump-1 VIB 3 min_active=0s             | opened 1
        30m   clear a                                        |
        50m   repair 1                                       | resolved
        11h   raise b pump-1 VIB 3                           | recurred 1
        11h   due 1                                          | ack 12h resolve 1d10h10m
        12h   steps                                          | not_accepted 1
    """,
    "more urgent: nearer, and asked again; less urgent: as it would have been": """
        0s    raise a pump-1 VIB 3 min_active=0s             | opened 1
        1h    move 1 set_priority lead priority=1 reason=x   | new
        1h    due 1                                          | ack 1h resolve 5h
        1h    steps                                          | p1_opened 1, not_accepted 1
        2h    move 1 set_priority lead priority=4 reason=y   | new
        2h    due 1                                          | ack 1d resolve 20d
    """,
    "a hold that the severity rose in": """
        0s    raise a pump-1 VIB 3 min_active=0s             | opened 1
        0s    move 1 assign lead assignee=li                 | assigned
        0s    move 1 start tech                              | in_progress
        1h    move 1 hold tech hold_reason=parts             | on_hold
        5h    severity a 4                                   | attached 1
        5h    due 1                                          | ack 1h resolve 9h
        7h    move 1 resume tech                             | in_progress
        7h    due 1                                          | ack 1h resolve 11h
    """,
}
SHIFT = Policy(
    targets={n: Target(2 * HOUR, 10 * HOUR, working=n > 1) for n in range(1, 5)},
    calendar=Calendar("Asia/Shanghai"),
)


@pytest.mark.parametrize("name", TRACES)
def test_trace(desk: Desk, name: str) -> None:
    play(desk, TRACES[name])


@pytest.fixture
def shift(url: str) -> Iterator[Desk]:
    """A desk that counts working hours for all but P1; T0 is Thursday, a holiday nowhere, 08:00 in Shanghai."""
    desk = Desk.open(url, site="demo", policy=SHIFT)
    with desk.transaction() as tx:
        tx.sync_assets(ASSETS)
    yield desk
    desk.close()


def test_working_hours_count_where_the_target_says_so(shift: Desk) -> None:
    play(
        shift,
        """
        0s   raise a pump-1 VIB 4                    | opened 1
        0s   due 1                                   | ack 2h resolve 10h
        8h   raise b fan-1 VIB 4                     | opened 2
        8h   due 2                                   | ack 1d1h resolve 1d9h
        1d   move 2 assign lead assignee=li          | assigned
        1d   move 2 start tech                       | in_progress
        1d1h move 2 hold tech hold_reason=parts      | on_hold
        4d1h move 2 resume tech                      | in_progress
        4d1h due 2                                   | ack 1d1h resolve 4d9h
        """,
    )


def test_a_new_policy_affects_new_orders_only(url: str, desk: Desk) -> None:
    with desk.transaction() as tx:
        tx.alarm_raised(raised("e1", asset="fan-1"))
    desk.close()
    hurried = Policy(targets={n: Target(MINUTE, HOUR) for n in range(1, 5)})
    again = Desk.open(url, site="demo", policy=hurried)
    with again.transaction() as tx:
        tx.alarm_raised(raised("e2", asset="fan-1", failure_mode="OHE", at=T0 + 2 * HOUR))
        old, new = tx.order("WO-2026-000001"), tx.order("WO-2026-000002")
        assert tx.policy_of(old) == replace(Policy())
        assert tx.policy_of(new) == hurried
        assert new.due_ack_at - new.opened_at == MINUTE
        tx.severity_raised("e1", 4, T0)
    play(again, "3h move 1 set_priority lead priority=1 reason=x | new\n 3h due 1 | ack 1h resolve 7h")
    again.close()


def test_late_orders_are_found(desk: Desk) -> None:
    play(
        desk,
        """
        0s  raise a pump-1 VIB 4                    | opened 1
        0s  raise b fan-1 VIB 4                     | opened 2
        0s  move 2 assign lead assignee=li          | assigned
        10m move 2 start tech                       | in_progress
        """,
    )

    def late(at: int) -> list[str]:
        with desk.read() as read:
            assert read.count_orders(overdue_at=T0 + at) == len(read.orders(overdue_at=T0 + at))
            return [order.number[-1] for order in read.orders(overdue_at=T0 + at)]

    assert late(15 * MINUTE) == []
    assert late(16 * MINUTE) == ["1"]
    assert late(25 * HOUR) == ["1", "2"]
    play(desk, "30m move 2 hold tech hold_reason=parts | on_hold\n 40m close 1 | closed")
    assert late(25 * HOUR) == []


def test_a_step_happens_once_over_restarts(url: str, desk: Desk) -> None:
    play(desk, "0s raise a pump-1 VIB 4 | opened 1\n 1m steps | p1_opened 1")
    for _ in range(3):
        desk.close()
        desk = Desk.open(url, site="demo")
        play(desk, "2m steps |")
    with desk.read() as read:
        assert [e.type for e in read.timeline("WO-2026-000001")].count("escalate") == 1
        order = read.order("WO-2026-000001")
        assert (order.level, order.version) == (1, 1)  # people's forms stay valid
    desk.close()
