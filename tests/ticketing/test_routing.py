"""New orders go to whom they fit: skill, shift, load, then the name; nobody twice, nobody by chance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.ticketing.scene import ASSETS, LEAD, T0
from ticketing import Actor, Desk, MissingFieldError, Order, Person, Policy, people
from ticketing.calendar import Calendar
from ticketing.records import HOUR, MINUTE

ADMIN = Actor("root", frozenset({"admin"}))
DAY = Calendar("UTC", dict.fromkeys(range(7), ((8 * 60, 16 * 60),)))
NIGHT = Calendar("UTC", dict.fromkeys(range(7), ((0, 8 * 60),)))
SKILLS = {"VIB": ("mechanics",), "fan": ("heights",)}
CREW = (
    Person("li", "李", skills=("mechanics",), shift=NIGHT),
    Person("zhao", "赵", skills=("mechanics", "heights"), shift=NIGHT),
    Person("chen", "陈", skills=("mechanics",), shift=DAY),
    Person("wang", "王", ("lead",), skills=("mechanics", "heights")),
)


@pytest.fixture
def routed(url: str) -> Iterator[Desk]:
    """A site that routes, with a crew on two shifts; it is midnight."""
    desk = Desk.open(url, site="demo", policy=Policy(route=True, skills=SKILLS))
    with desk.transaction() as tx:
        tx.sync_assets(ASSETS)
        for person in CREW:
            people.save(tx, ADMIN, person, T0)
    yield desk
    desk.close()


def report(desk: Desk, asset: str, at: int = T0, **more: Any) -> Order:
    """A fault that somebody saw, after the router has looked."""
    with desk.transaction() as tx:
        order = tx.open_order(LEAD, at=at, asset=asset, title="x", **more)
        tx.tick(at)
        return tx.order(order.number)


def test_skill_shift_and_load_decide_and_ties_go_by_name(routed: Desk) -> None:
    given = [report(routed, "pump-1", T0 + n, failure_mode=None).assignee for n in range(4)]
    assert given == ["li", "zhao", "li", "zhao"]
    assert report(routed, "pump-1", T0 + 5, failure_mode="VIB").assignee == "li"
    assert report(routed, "fan-1", T0 + 6).assignee == "zhao"
    assert report(routed, "pump-2", T0 + 9 * HOUR, failure_mode="VIB").assignee == "chen"


def test_where_nobody_fits_the_order_stays_new(routed: Desk) -> None:
    order = report(routed, "fan-1", T0 + 9 * HOUR)  # by day nobody climbs
    assert (order.state, order.assignee) == ("new", None)


def test_who_declined_is_not_asked_again(routed: Desk) -> None:
    order = report(routed, "pump-1")
    with routed.transaction() as tx:
        li = Actor("li", frozenset({"technician"}))
        tx.move(order.number, "decline", li, order.version, T0 + MINUTE, reason="ill")
        tx.tick(T0 + MINUTE)
        again = tx.order(order.number)
    assert (again.state, again.assignee) == ("assigned", "zhao")


def test_a_lead_says_why_when_somebody_does_not_fit(routed: Desk) -> None:
    order = report(routed, "fan-1", T0 + 9 * HOUR)
    at = T0 + 9 * HOUR
    unfit = pytest.raises(MissingFieldError, match="zhao, who lacks a skill or is off shift")
    with unfit as refusal, routed.transaction() as tx:
        tx.move(order.number, "assign", LEAD, order.version, at, assignee="zhao")
    assert refusal.value.fields == ("reason",)
    with routed.transaction() as tx:
        moved = tx.move(order.number, "assign", LEAD, order.version, at, assignee="zhao", reason="called in")
    assert moved.assignee == "zhao"


def test_the_history_says_why_somebody_was_chosen(routed: Desk) -> None:
    order = report(routed, "pump-1", failure_mode="VIB")
    with routed.read() as read:
        (assigned,) = [event for event in read.timeline(order.number) if event.type == "assign"]
    assert assigned.actor_kind == "engine"
    assert assigned.payload["fields"]["reason"] == "mechanics; on shift; 0 orders at work"


def test_a_site_that_does_not_route_leaves_it_to_the_lead(desk: Desk) -> None:
    assert report(desk, "pump-1").state == "new"
