"""Alarms muted for a stated time: with a reason, for eight hours at most, judged at once when it ends."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ticketing.scene import LEAD, T0, TECHNICIAN, raised
from tests.ticketing.trace import play
from ticketing import Actor, Desk, FieldError, ForbiddenError, MissingFieldError, NotFoundError
from ticketing.records import HOUR, MINUTE


def shelve(desk: Desk, actor: Actor = LEAD, **changes: Any) -> None:
    given = {"asset": "pump-1", "at": T0, "until": T0 + HOUR, "reason": "testing", **changes}
    with desk.transaction() as tx:
        tx.shelve(actor, **given)


def test_while_shelved_alarms_are_recorded_only_and_judged_at_the_end(desk: Desk) -> None:
    shelve(desk)
    play(
        desk,
        """
        1m   raise a pump-1 VIB 4       | suppressed
        2m   raise b pump-1 OHE 4       | suppressed
        3m   raise c fan-1 VIB 4        | opened 1
        4m   clear b                    |
        59m  tick                       |
        1h   tick                       | opened 2
        """,
    )
    with desk.read() as read:
        assert read.order("WO-2026-000002").opened_at == T0 + HOUR
        assert read.alarm("a").suppression == "none"
        assert read.alarm("b").suppression == "shelved"


def test_one_rule_may_be_shelved_by_itself(desk: Desk) -> None:
    shelve(desk, rule_id="warn")
    play(
        desk,
        """
        1m   raise a pump-1 VIB 4 rule_id=warn       | suppressed
        2m   raise b pump-1 OHE 4 rule_id=high       | opened 1
        """,
    )


def test_an_alarm_under_two_shelves_waits_for_the_longer(desk: Desk) -> None:
    shelve(desk, rule_id="warn")
    shelve(desk, until=T0 + 2 * HOUR)
    play(
        desk,
        """
        1m   raise a pump-1 VIB 4 rule_id=warn       | suppressed
        1h   tick                                    |
        2h   tick                                    | opened 1
        """,
    )


def test_what_waits_for_an_order_is_muted_too(desk: Desk) -> None:
    play(desk, "0s raise a pump-1 VIB 2 | waiting")
    shelve(desk, at=T0 + MINUTE)
    play(desk, "30m tick |\n 1h tick | opened 1")


def test_shelving_survives_a_restart_and_can_be_ended(url: str, desk: Desk) -> None:
    shelve(desk)
    desk.close()
    again = Desk.open(url, site="demo")
    play(again, "1m raise a pump-1 VIB 4 | suppressed")
    with again.transaction() as tx:
        assert [(s.asset, s.by, s.reason, s.until) for s in tx.shelves(T0)] == [
            ("pump-1", "wang", "testing", T0 + HOUR)
        ]
        tx.unshelve(LEAD, "pump-1", at=T0 + 2 * MINUTE)
        assert [decision.kind for decision in tx.decisions] == ["opened"]
        assert tx.shelves(T0) == []
    again.close()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"until": T0 + 8 * HOUR + 1}, FieldError),
        ({"until": T0}, FieldError),
        ({"reason": " "}, MissingFieldError),
        ({"asset": "pump-9"}, NotFoundError),
        ({"actor": TECHNICIAN}, ForbiddenError),
    ],
)
def test_shelving_is_checked(desk: Desk, change: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        shelve(desk, **change)


def test_a_shelved_alarm_that_rises_stays_shelved(desk: Desk) -> None:
    shelve(desk)
    with desk.transaction() as tx:
        assert tx.alarm_raised(raised("a", severity=2)).kind == "suppressed"
        assert tx.severity_raised("a", 4, T0 + MINUTE).kind == "suppressed"
