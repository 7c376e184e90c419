"""Giving a new order to somebody: who has the skills, is on shift and has least to do; ties by name.

What skills an order asks for stands in the policy, by failure mode and by class of asset. Somebody without a shift
is always there. Where nobody fits, the order stays new: its clocks go on, and its lead is told when they run out.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from ticketing import people, timers
from ticketing.calendar import between
from ticketing.errors import MissingFieldError
from ticketing.moves import Asked
from ticketing.people import Person
from ticketing.reading import Reading
from ticketing.records import Order, State
from ticketing.tables import work_order
from ticketing.writing import Writing

TIMER_KIND = "route"
AT_WORK = (State.ASSIGNED, State.IN_PROGRESS, State.ON_HOLD)
HANDS = "technician"


def wait(tx: Writing, order: Order, at: int) -> None:
    """Route the order at the next look at the timers, if the site wants that."""
    if tx.policy_of(order).route:
        timers.start(tx, TIMER_KIND, order.number, at=at, ms=0)


def why(read: Reading, order: Order, person: Person) -> str:
    """What spoke for the person, in one line."""
    skills = ", ".join(wanted_skills(read, order)) or "no special skill"
    return f"{skills}; on shift; {loads(read).get(person.name, 0)} orders at work"


def candidates(read: Reading, order: Order, at: int) -> list[Person]:
    """Who may be given the order, the best first; not whoever declined it or did the work inspected again."""
    skills, busy = set(wanted_skills(read, order)), loads(read)
    gone = {order.barred, *_declined(read, order)}
    fitting = [
        person
        for person in people.listed(read)
        if HANDS in person.roles
        and skills <= set(person.skills)
        and on_shift(person, at)
        and person.name not in gone
    ]
    return sorted(fitting, key=lambda person: (busy.get(person.name, 0), person.name))


def check(tx: Writing, order: Order, asked: Asked) -> None:
    """A lead may assign anybody, but says why if that one lacks a skill or is off shift."""
    if asked.actor.kind != "person" or asked.fields.get("reason"):
        return
    person = next((each for each in people.listed(tx) if each.name == asked.fields["assignee"]), None)
    if person is None:
        return
    if set(wanted_skills(tx, order)) - set(person.skills) or not on_shift(person, asked.at):
        raise MissingFieldError(f"assign to {person.name}, who lacks a skill or is off shift,", ["reason"])


def wanted_skills(read: Reading, order: Order) -> Sequence[str]:
    """What the order asks for, by its failure mode and its asset's class."""
    table = read.policy_of(order).skills
    kind = read.asset(order.asset).asset_class if order.asset and table else ""
    return sorted({*table.get(order.failure_mode or "", ()), *table.get(kind, ())})


def on_shift(person: Person, at: int) -> bool:
    """Whether the person works at that time."""
    return person.shift is None or between(person.shift, at, at + 1) > 0


def loads(read: Reading) -> dict[str, int]:
    """How many orders each person has at work."""
    rows = read.connection.execute(
        select(work_order.c.assignee, func.count())
        .where(read.here(work_order), work_order.c.state.in_(AT_WORK), work_order.c.assignee.is_not(None))
        .group_by(work_order.c.assignee)
    )
    return {row[0]: row[1] for row in rows}


def _declined(read: Reading, order: Order) -> set[str]:
    """Who gave the order back."""
    return {event.actor for event in read.timeline(order.number) if event.type == "decline"}
