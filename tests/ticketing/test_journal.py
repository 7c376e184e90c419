"""The alarms' journal, latched alarms, and chatter."""

from __future__ import annotations

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.ticketing.scene import LEAD, T0, TECHNICIAN, raised
from ticketing import Actor, Desk, ForbiddenError
from ticketing.records import HOUR, MINUTE

S = 1000


def lines(desk: Desk) -> list[str]:
    with desk.read() as read:
        return [f"{(e.at - T0) // S} {e.kind} {e.actor}" for e in read.alarm_events(T0, T0 + HOUR)]


def test_what_became_of_an_alarm_and_who_touched_it(desk: Desk) -> None:
    for _ in range(2):  # said twice is said once
        with desk.transaction() as tx:
            tx.alarm_raised(raised("a", severity=2))
            tx.severity_raised("a", 4, T0 + S)
            tx.alarm_reactivated("a", 1, T0 + 5 * S)
            tx.ack("a", TECHNICIAN, T0 + 7 * S, "on my way")
            tx.ack("a", LEAD, T0 + 8 * S)
            tx.alarm_cleared("a", T0 + 9 * S)
    with desk.transaction() as tx:
        tx.shelve(LEAD, "pump-1", at=T0 + MINUTE, until=T0 + 2 * MINUTE, reason="test run")
        tx.tick(T0 + 3 * MINUTE)
    assert lines(desk) == [
        "0 raised engine", "1 severity_raised engine", "5 reactivated engine", "7 acked li", "9 cleared engine",
        "60 shelved wang", "120 unshelved timer",
    ]  # fmt: skip
    with desk.read() as read:
        alarm = read.alarm("a")
        assert (alarm.acked_by, alarm.ack_note, alarm.reactivations) == ("li", "on my way", 1)


@pytest.mark.parametrize(
    ("seconds", "chatters"), [((5, 10), [10]), ((5, 59), [59]), ((5, 60), []), ((30, 70), [])]
)
def test_three_times_active_within_a_minute_chatters(
    desk: Desk, seconds: tuple[int, ...], chatters: list[int]
) -> None:
    with desk.transaction() as tx:
        tx.alarm_raised(raised("a"))
        for count, second in enumerate(seconds, 1):
            tx.alarm_reactivated("a", count, T0 + second * S)
    assert [int(line.split()[0]) for line in lines(desk) if "chatters" in line] == chatters


def test_coming_and_going_as_many_episodes_chatters_too_and_is_noted_once_a_minute(desk: Desk) -> None:
    with desk.transaction() as tx:
        for n in range(40):
            tx.alarm_raised(raised(f"e{n}", T0 + 3 * n * S))
            tx.alarm_cleared(f"e{n}", T0 + (3 * n + 1) * S)
    assert [line for line in lines(desk) if "chatters" in line] == ["6 chatters engine", "66 chatters engine"]


def test_a_latched_alarm_stays_in_the_list_until_it_is_acknowledged(desk: Desk) -> None:
    def listed() -> list[tuple[str, bool]]:
        with desk.read() as read:
            return [(alarm.episode, alarm.latched) for alarm in read.alarms(standing=True)]

    with desk.transaction() as tx:
        tx.alarm_raised(raised("plain"))
        tx.alarm_raised(raised("latched", T0 + S, latch=True))
    assert listed() == [("latched", False), ("plain", False)]
    with desk.transaction() as tx:
        tx.alarm_cleared("plain", T0 + MINUTE)
        tx.alarm_cleared("latched", T0 + MINUTE)
    assert listed() == [("latched", True)]
    with desk.transaction() as tx:
        tx.ack("latched", TECHNICIAN, T0 + HOUR)
    assert listed() == []


def test_a_viewer_acknowledges_nothing(desk: Desk) -> None:
    with desk.transaction() as tx:
        tx.alarm_raised(raised("a"))
        with pytest.raises(ForbiddenError):
            tx.ack("a", Actor("zhou", frozenset({"viewer"})), T0)


@pytest.mark.parametrize("statement", ["UPDATE alarm_event SET note = 'x'", "DELETE FROM alarm_event"])
def test_the_journal_is_only_added_to(desk: Desk, statement: str) -> None:
    with desk.transaction() as tx:
        tx.alarm_raised(raised("a"))
    with pytest.raises(DBAPIError, match="append-only"), desk.transaction() as tx:
        tx.connection.execute(text(statement))
