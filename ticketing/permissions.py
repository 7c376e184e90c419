"""Who may do what: one table that makes the checks, the tests and the printed matrix.

Moves of an order stand in ``moves.MOVES``; everything else stands here. An admin keeps people and settings
and is no superuser over orders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from ticketing.errors import ForbiddenError
from ticketing.moves import ASSIGNEE, MOVES, PERSON, REQUESTER
from ticketing.records import Actor

ROLES = ("viewer", "technician", "lead", "engineer", "admin", "manager", "director")
EVERYONE = ROLES
HANDS_ON = ("technician", "lead", "engineer")

PERMISSIONS: Mapping[str, tuple[str, ...]] = {
    "order.read": EVERYONE,
    "order.open": EVERYONE,  # anybody who stands before the machine may report
    "order.attach": HANDS_ON,
    "alarm.read": EVERYONE,
    "alarm.ack": HANDS_ON,
    "alarm.shelve": ("lead", "engineer"),
    "article.read": EVERYONE,
    "article.write": HANDS_ON,
    "article.publish": ("lead", "engineer"),
    "plan.write": ("lead",),
    "kpi.read": EVERYONE,
    "plant.read": EVERYONE,  # live values, charts, the gateway's health
    "rule.write": ("engineer",),
    "history.import": ("lead", "admin"),
    "history.export": ("lead", "engineer", "admin"),
    "audit.verify": ("lead", "admin"),
    "people.read": EVERYONE,  # whom an order can be given to
    "policy.write": ("admin",),
    "people.write": ("admin",),
    "backup.make": ("admin",),
}


class Cell(NamedTuple):
    """One cell of the matrix: ``answer`` is "yes", "no", or the place in the order that it takes."""

    permission: str
    role: str
    answer: str


ALL = (*PERMISSIONS, *(f"order.{name}" for name in MOVES))


def within(actor: Actor, permission: str) -> None:
    """ForbiddenError where a token's scope does not hold the permission."""
    if not actor.covers(permission):
        scope = ", ".join(sorted(actor.scope or ()))
        raise ForbiddenError(f"this token is not for {permission}, only for {scope}")


def require(actor: Actor, permission: str) -> None:
    """ForbiddenError unless one of the actor's roles has the permission; our own hands may do anything."""
    within(actor, permission)
    if actor.kind == "person" and not actor.roles.intersection(PERMISSIONS[permission]):
        allowed = " or ".join(PERMISSIONS[permission])
        raise ForbiddenError(f"{permission} is for {allowed}; {actor.name} is {_roles(actor)}")


def matrix() -> list[Cell]:
    """Every permission × every role, moves included, for printing and for probing."""
    table = {**PERMISSIONS, **{f"order.{name}": move.who for name, move in MOVES.items()}}
    return [Cell(permission, role, _answer(who, role)) for permission, who in table.items() for role in ROLES]


def _answer(who: tuple[str, ...], role: str) -> str:
    if role in who or PERSON in who:
        return "yes"
    places = [place for place in (ASSIGNEE, REQUESTER) if place in who]
    return " or ".join(places) or "no"


def _roles(actor: Actor) -> str:
    return ", ".join(sorted(actor.roles)) or "nobody"
