"""Every figure on a golden log whose values were worked out by hand."""

from __future__ import annotations

from typing import get_args

import pytest

from tests.ticketing.scene import LEAD, T0, TECHNICIAN
from tests.ticketing.trace import ms, play
from ticketing import Desk, Kpi, Policy
from ticketing.kpi.formulas import FORMULAS
from ticketing.order_settings import Figure
from ticketing.records import DAY

# Three orders of one day. 1: taken at once, held 2 h for parts, repaired, five stars. 2: slow, sent back once,
# three stars. 3: a report that still waits.
GOLDEN = """
    0s    raise a pump-1 VIB 4                                         | opened 1
    10m   move 1 assign lead assignee=li                               | assigned
    12m   move 1 accept tech                                           | assigned
    30m   move 1 start tech                                            | in_progress
    40m   move 1 downtime tech downtime_start=1767225600000            | in_progress
    1h    move 1 hold tech hold_reason=parts                           | on_hold
    3h    move 1 resume tech                                           | in_progress
    4h    clear a                                                      |
    4h    move 1 downtime tech downtime_start=1767225600000 downtime_end=1767240000000 | in_progress
    4h    move 1 resolve tech symptom=VIB mechanism=wear remedy=replace stop_kind=full | resolved
    5h    move 1 sign_off lead stars=5 override_reason=x               | closed
    6h    raise b fan-1 VIB 3 min_active=0s                            | opened 2
    8h    move 2 comment lead comment=seen                             | new
    9h    move 2 assign lead assignee=li                               | assigned
    16h   move 2 start tech                                            | in_progress
    17h   clear b                                                      |
    18h   move 2 resolve tech symptom=VIB mechanism=wear remedy=adjust | resolved
    19h   move 2 reject lead reason=loud                               | assigned
    20h   move 2 start tech                                            | in_progress
    21h   move 2 resolve tech symptom=VIB mechanism=wear remedy=replace | resolved
    22h   move 2 sign_off lead stars=3 override_reason=x               | closed
    23h   report pump-2 ELP                                            | new 3
"""


@pytest.fixture
def golden(desk: Desk) -> dict[str, Kpi]:
    play(desk, GOLDEN)
    with desk.read() as read:
        return {kpi.name: kpi for kpi in read.kpis(T0, T0 + DAY)}


@pytest.mark.parametrize(
    ("name", "value", "n"),
    [
        ("first_response", (10 / 60 + 2) / 2, 2),  # 10 min, 2 h; the report has none yet
        ("time_to_accept", (12 / 60 + 10) / 2, 2),  # 12 min; 2 accepted by starting, 10 h after opening
        ("time_to_resolve", (2 + 15) / 2, 2),  # 4 h less 2 h for parts; 15 h to the last resolve
        ("repair_time", (1.5 + 3) / 2, 2),  # 0.5 + 1 h; 2 + 1 h
        ("down_time", 4.0, 1),  # 0 h to 4 h
        ("time_between_failures", 4 * 24.0, 1),  # four machines ran a day; one stop that work mended
        ("fixed_at_once", 50.0, 2),
        ("satisfaction", 50.0, 2),
        ("accepted_in_time", 100.0, 1),  # 1 within 15 min; 2 was sent back and is due again tomorrow
        ("resolved_in_time", 100.0, 1),  # 6 h for 1; 2 and 3 are due later
        ("planned_in_time", None, 0),
        ("backlog", 1.0, 1),
        ("time_in_state", 5 + 16.0, 2),
    ],
)
def test_the_golden_day(golden: dict[str, Kpi], name: str, value: float | None, n: int) -> None:
    assert golden[name].figure.value == (None if value is None else pytest.approx(value))
    assert golden[name].figure.n == n


def test_what_stands_beside_the_figures(golden: dict[str, Kpi]) -> None:
    more = {name: kpi.figure.more for name, kpi in golden.items()}
    assert more["first_response"] == {"median": pytest.approx(13 / 12), "p90": 2.0}
    assert more["time_to_resolve"]["with_holds"] == pytest.approx(19 / 2)
    assert more["satisfaction"] == {"mean_stars": 4.0, "answered": 100.0}
    assert more["fixed_at_once"] == {"provisional": 2}
    assert more["backlog"] == {"age_p50": 1.0, "age_p90": 1.0, "age_max": 1.0}


def test_time_in_state_sums_to_a_hundred(golden: dict[str, Kpi]) -> None:
    shares = golden["time_in_state"].figure.more
    assert sum(value or 0 for value in shares.values()) == pytest.approx(100)
    hours = {state: (value or 0) * 21 / 100 for state, value in shares.items()}
    assert hours == pytest.approx(
        {
            "new": 10 / 60 + 3,
            "assigned": 20 / 60 + 7 + 1,
            "in_progress": 1.5 + 3,
            "on_hold": 2,
            "resolved": 1 + 1 + 1,
        }
    )


def test_every_formula_stands_on_the_board_with_its_words(golden: dict[str, Kpi]) -> None:
    assert set(golden) == set(FORMULAS)
    assert set(get_args(Figure)) == FORMULAS.keys() - {"time_in_state"}  # a site sets goals for these
    assert all(formula.__doc__ for formula in FORMULAS.values())


def test_nothing_to_divide_by_is_none(desk: Desk) -> None:
    with desk.read() as read:
        for kpi in read.kpis(T0, T0 + DAY):
            assert kpi.figure.value in ((0.0,) if kpi.name == "backlog" else (None,)), kpi.name
            assert kpi.light is None
    with desk.read() as read:
        (mtbf,) = [kpi for kpi in read.kpis(T0, T0 + DAY) if kpi.name == "time_between_failures"]
    assert mtbf.figure.more["at_least"] == 4 * 24


def test_lights_and_the_period_before(desk: Desk, url: str) -> None:
    play(desk, GOLDEN)
    goals = {"time_to_resolve": (8, 9), "satisfaction": (50, 40)}
    site = Desk.open(url, site="demo", policy=Policy(goals=goals))
    with site.read() as read:
        day = {kpi.name: kpi for kpi in read.kpis(T0, T0 + DAY)}
    site.close()
    with desk.read() as read:
        after = {kpi.name: kpi for kpi in read.kpis(T0 + DAY, T0 + 2 * DAY)}
        half = {kpi.name: kpi for kpi in read.kpis(T0 + DAY // 2, T0 + DAY)}
    assert (day["time_to_resolve"].light, day["satisfaction"].light) == ("amber", "green")
    assert (day["backlog"].goal, day["backlog"].light) == (None, None)
    assert after["satisfaction"].before == 50.0
    assert half["satisfaction"].change == -100.0  # from five stars to three
    assert after["backlog"].change == 0.0


def test_a_class_of_machines_by_itself(desk: Desk) -> None:
    play(desk, GOLDEN)
    with desk.read() as read:
        fans = {kpi.name: kpi.figure for kpi in read.kpis(T0, T0 + DAY, asset_class="fan")}
    assert (fans["satisfaction"].value, fans["satisfaction"].n) == (0.0, 1)
    assert fans["time_between_failures"].more["at_least"] == 24


def test_running_time_is_what_the_machines_said(desk: Desk) -> None:
    play(desk, "1h runs fan-1 off |\n 5h runs fan-1 on |\n 23h runs fan-1 off |")
    with desk.read() as read:
        figures = {kpi.name: kpi.figure for kpi in read.kpis(T0, T0 + DAY, asset_class="fan")}
        later = {kpi.name: kpi.figure for kpi in read.kpis(T0 + DAY, T0 + 2 * DAY, asset_class="fan")}
    assert figures["time_between_failures"].more["at_least"] == 24 - 4 - 1
    assert later["time_between_failures"].more["at_least"] == 0


def test_a_recurrence_within_thirty_days_was_not_fixed_at_once(desk: Desk) -> None:
    play(
        desk,
        """
        0s    raise a pump-1 VIB 4                  | opened 1
        1h    close 1                               | closed
        0s    report fan-1 VIB                      | new 2
        1h    close 2                               | closed
        20d   raise b pump-1 VIB 4                  | opened 3
        40d   report fan-1 VIB                      | new 4
        """,
    )
    with desk.read() as read:
        (kpi,) = [kpi for kpi in read.kpis(T0, T0 + ms("50d")) if kpi.name == "fixed_at_once"]
    assert (kpi.figure.value, kpi.figure.more["provisional"]) == (50.0, 0)


def test_a_cancelled_order_owes_nothing(desk: Desk) -> None:
    with desk.transaction() as tx:
        order = tx.open_order(TECHNICIAN, at=T0, asset="fan-1", title="x", priority=1)
        tx.move(order.number, "cancel", LEAD, 1, T0 + 60_000, cancel_reason="not_needed")
    with desk.read() as read:
        figures = {kpi.name: kpi.figure for kpi in read.kpis(T0, T0 + DAY)}
    assert (figures["accepted_in_time"].n, figures["resolved_in_time"].n, figures["backlog"].n) == (0, 0, 0)
