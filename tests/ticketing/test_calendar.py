"""Working time added and measured, over nights, weekends, holidays and the change of clocks."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.ticketing.scene import T0
from ticketing.calendar import Calendar, add, between

HOUR = 3_600_000
SHANGHAI = Calendar("Asia/Shanghai", holidays=("2026-05-01",), extra={"2026-05-09": 0})
BERLIN = Calendar("Europe/Berlin")
NIGHTS = Calendar("UTC", dict.fromkeys(range(7), ((22 * 60, 30 * 60),)))


def ms(text: str, zone: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("calendar", "start", "hours", "end"),
    [
        (SHANGHAI, "2026-04-27 09:00", 2, "2026-04-27 11:00"),
        (SHANGHAI, "2026-04-27 16:00", 2, "2026-04-28 09:00"),  # over the night
        (SHANGHAI, "2026-04-24 16:00", 2, "2026-04-27 09:00"),  # over the weekend
        (SHANGHAI, "2026-04-30 16:00", 2, "2026-05-04 09:00"),  # over the holiday
        (SHANGHAI, "2026-05-08 16:00", 2, "2026-05-09 09:00"),  # a Saturday that works
        (SHANGHAI, "2026-04-25 12:00", 1, "2026-04-27 09:00"),  # from within the weekend
        (SHANGHAI, "2026-04-27 03:00", 9, "2026-04-27 17:00"),  # a whole day ends at its end
        (BERLIN, "2026-03-27 16:00", 2, "2026-03-30 09:00"),  # the clocks go forward in between
        (BERLIN, "2026-10-23 16:00", 2, "2026-10-26 09:00"),  # and back
        (NIGHTS, "2026-01-01 23:00", 8, "2026-01-02 23:00"),  # a shift over midnight
        (NIGHTS, "2026-01-02 03:00", 2, "2026-01-02 05:00"),
        (None, "2026-04-25 12:00", 30, "2026-04-26 18:00"),
    ],
)
def test_adding_working_time(calendar: Calendar | None, start: str, hours: int, end: str) -> None:
    zone = calendar.zone if calendar else "UTC"
    begins, ends = ms(start, zone), ms(end, zone)
    assert add(calendar, begins, hours * HOUR) == ends
    assert between(calendar, begins, ends) == hours * HOUR


def test_a_calendar_without_work_says_so() -> None:
    with pytest.raises(ValueError, match="no working time"):
        add(Calendar(hours={}), T0, HOUR)


@given(
    st.sampled_from([SHANGHAI, BERLIN, NIGHTS, None]),
    st.integers(T0, T0 + 366 * 24 * HOUR),
    st.integers(1, 300 * HOUR),
)
def test_what_was_added_is_between(calendar: Calendar | None, start: int, span: int) -> None:
    assert between(calendar, start, add(calendar, start, span)) == span


@given(
    st.sampled_from([SHANGHAI, BERLIN, NIGHTS, None]),
    st.integers(T0, T0 + 30 * 24 * HOUR),
    st.lists(st.integers(0, 100 * HOUR), min_size=2, max_size=2),
)
def test_pieces_of_working_time_add_up(calendar: Calendar | None, start: int, steps: list[int]) -> None:
    middle, end = start + steps[0], start + sum(steps)
    whole = between(calendar, start, end)
    assert between(calendar, start, middle) + between(calendar, middle, end) == whole
