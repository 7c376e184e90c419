"""People as an API: whom an order can be given to; their roles; the two books, and whether they are whole."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field

from gateway.web.api import Given, refused
from gateway.web.house import Hall, may, visitor
from ticketing import Chain, ForbiddenError, Person, door, people
from ticketing.door import DoorEvent

router = APIRouter(tags=["People"])
FRESH = 300_000  # ms after signing in, within which people may be changed from a browser
Name = Annotated[str, Path(max_length=64)]


class Colleague(BaseModel):
    """Somebody who works here. ``on_shift``: by their hours, if anybody said them."""

    name: str
    title: str
    roles: list[str]
    team: str
    skills: list[str]
    on_shift: bool


class Wanted(Given):
    """What somebody is to be; a password is given at the gateway itself (`watchkeeper people password`)."""

    title: str = Field(min_length=1, max_length=64)
    roles: list[str] = Field(min_length=1, max_length=7)
    language: str | None = Field(default=None, pattern="^(zh|en)$")
    email: str = Field(default="", max_length=200)
    team: str = Field(default="", max_length=64)
    skills: list[Annotated[str, Field(max_length=64)]] = Field(default=[], max_length=50)
    active: bool = True


class Books(BaseModel):
    """The orders' history and the door's book: how long, how they end, where they are broken."""

    orders: Chain
    door: Chain


@router.get("/api/people", dependencies=[may("people.read")], responses=refused())
def list_people(house: Hall) -> list[Colleague]:
    """Everybody who works here, by name."""
    now = house.now()
    with house.desk.read() as read:
        return [_colleague(each, now) for each in people.listed(read)]


@router.put("/api/people/{name}", dependencies=[may("people.write")], responses=refused())
def save_person(request: Request, house: Hall, name: Name, wanted: Wanted) -> Colleague:
    """Somebody new, or somebody changed; whose roles change, or who leaves, is signed out. Not those of people.toml."""
    visiting, now = visitor(request), house.now()
    if visiting.session is not None and now - visiting.session.opened_at > FRESH:
        raise ForbiddenError("people are changed within five minutes of signing in: sign in again")
    given: dict[str, Any] = wanted.model_dump()
    given |= {"roles": tuple(sorted(set(wanted.roles))), "skills": tuple(sorted(set(wanted.skills)))}
    with house.desk.transaction() as tx:
        return _colleague(people.save(tx, visiting.actor, Person(name, **given), now), now)


@router.get("/api/audit", dependencies=[may("audit.verify")], responses=refused())
def verify_books(house: Hall) -> Books:
    """Walk both hash chains; ``broken`` is the first line that was changed, added or taken away."""
    with house.desk.read() as read:
        return Books(orders=read.verify(), door=door.verify(read))


@router.get("/api/audit/door", dependencies=[may("audit.verify")], responses=refused())
def door_book(house: Hall, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> list[DoorEvent]:
    """Who came in, who was turned away, who changed people and tokens; newest first."""
    with house.desk.read() as read:
        return door.listed(read, limit=limit)


def _colleague(each: Person, now: int) -> Colleague:
    return Colleague(
        name=each.name,
        title=each.title,
        roles=list(each.roles),
        team=each.team,
        skills=list(each.skills),
        on_shift=each.on_shift(now),
    )
