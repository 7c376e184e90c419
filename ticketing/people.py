"""People: who works with the orders, in which roles, with which skills, and when.

Those of the site file are kept by the file (``sync``); others are added here (``save``). Whoever has a password has an
account. Leaving never deletes: the history goes on naming them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import func, select, update

from ticketing import door, sessions
from ticketing.calendar import Calendar, between
from ticketing.errors import FieldError, NotFoundError
from ticketing.events import canonical
from ticketing.people_tables import person as people
from ticketing.permissions import ROLES, require
from ticketing.reading import Reading
from ticketing.records import Actor
from ticketing.statements import Once
from ticketing.tables import same
from ticketing.writing import Writing

# Nobody may take the name of one of our own hands.
NAME = re.compile(r"(?!(local|engine|timer|console)$)[a-z0-9][a-z0-9_.-]{0,31}")
_SHIFT = TypeAdapter(Calendar)
# Asked at every request.
PERSON = Once(select(people).where(same(people, "name")))
ACCOUNTS = Once(select(func.count()).where(same(people), people.c.active, people.c.password.is_not(None)))


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who works with orders. ``name`` is what they sign in with, ``title`` what others read.

    ``shift``: when they work; None: not said. ``origin``: "file" (the site file keeps them) or "desk".
    """

    name: str
    title: str
    roles: tuple[str, ...] = ("technician",)
    language: str | None = None
    email: str = ""
    team: str = ""
    skills: tuple[str, ...] = ()
    shift: Calendar | None = None
    origin: str = "desk"
    active: bool = True
    account: bool = False  # has a password

    def on_shift(self, at: int) -> bool:
        """Whether they work at that time; whose hours nobody said always may."""
        return self.shift is None or between(self.shift, at, at + 1) > 0

    def actor(self, scope: frozenset[str] | None = None) -> Actor:
        """As who they act; ``scope`` narrows what their roles allow."""
        return Actor(self.name, frozenset(self.roles), scope=scope)


def listed(read: Reading, *, active: bool = True) -> list[Person]:
    """Everybody, or everybody who still works here, by name."""
    wanted = select(people).where(read.here(people)).order_by(people.c.name)
    found = [_person(dict(row)) for row in read.connection.execute(wanted).mappings()]
    return [each for each in found if each.active or not active]


def get(read: Reading, name: str) -> Person:
    """One person; NotFoundError."""
    row = read.row(PERSON, read.of(name=name))
    if row is None:
        raise NotFoundError(f"there is nobody called {name!r}")
    return _person(row._asdict())


def accounts(read: Reading) -> int:
    """How many can sign in; while it is 0, nobody is asked to."""
    return int(read.value(ACCOUNTS, read.of()))


def save(tx: Writing, actor: Actor, person: Person, at: int) -> Person:
    """Somebody new, or somebody changed; whose roles change or who leaves is signed out. FieldError."""
    require(actor, "people.write")
    if problem := _problem(person):
        raise FieldError([problem[0]], problem[1])
    before = next((each for each in listed(tx, active=False) if each.name == person.name), None)
    if before is not None and before.origin == "file":
        raise FieldError(["name"], f"{person.name} stands in people.toml: change it there")
    _write(tx, actor, before, replace(person, origin="desk"), at)
    return get(tx, person.name)


def sync(tx: Writing, given: Iterable[Person], at: int) -> None:
    """Make those of the site file what the file says; who is no longer in it has left."""
    wanted = {each.name: replace(each, origin="file", active=True) for each in given}
    present = {each.name: each for each in listed(tx, active=False)}
    keeper = Actor("people.toml", frozenset({"admin"}))
    for name, each in wanted.items():
        _write(tx, keeper, present.get(name), each, at)
    for name, each in present.items():
        if each.origin == "file" and name not in wanted:
            _write(tx, keeper, each, replace(each, active=False), at)


def _write(tx: Writing, actor: Actor, before: Person | None, after: Person, at: int) -> None:
    after = replace(after, account=before is not None and before.account)
    if after == before:
        return
    row = _row(after)
    if before is None:
        tx.add(people, **row, password=None)
    else:
        tx.connection.execute(update(people).where(tx.here(people, name=after.name)).values(**row))
        if before.active and (not after.active or set(before.roles) != set(after.roles)):
            _keep_an_admin(tx, before)
            sessions.close_all(tx, after.name)
    changed = {key: value for key, value in row.items() if before is None or _row(before)[key] != value}
    door.note(tx, "person_changed" if before else "person_added", after.name, at, actor.name, detail=changed)


def _keep_an_admin(tx: Writing, before: Person) -> None:
    """The last admin who can sign in stays."""
    able = [each for each in listed(tx) if each.account and "admin" in each.roles]
    if before.account and "admin" in before.roles and not able:
        raise FieldError(["roles"], f"{before.name} is the last admin who can sign in")


def _problem(person: Person) -> tuple[str, str] | None:
    if not NAME.fullmatch(person.name):
        return "name", f"{person.name!r} will not do: 1 to 32 lower-case letters, digits, '-', '_', '.'"
    if not person.title.strip() or len(person.title) > 64:
        return "title", "title must have 1 to 64 characters"
    if not person.roles or set(person.roles) - set(ROLES):
        return "roles", f"roles are {', '.join(ROLES)}; at least one"
    if person.email and not re.fullmatch(r"[^\s@<>,;]+@[^\s@<>,;]+", person.email):
        return "email", f"{person.email!r} is no e-mail address"
    return None


def _row(person: Person) -> dict[str, Any]:
    return {
        "name": person.name,
        "title": person.title,
        "roles": canonical(sorted(person.roles)),
        "language": person.language,
        "email": person.email,
        "team": person.team,
        "skills": canonical(sorted(person.skills)),
        "shift": person.shift and _SHIFT.dump_json(person.shift).decode(),
        "origin": person.origin,
        "active": person.active,
    }


def _person(row: Mapping[str, Any]) -> Person:
    kept = {key: value for key, value in row.items() if key not in {"site", "password"}}
    kept["roles"], kept["skills"] = tuple(json.loads(row["roles"])), tuple(json.loads(row["skills"]))
    kept["shift"] = _SHIFT.validate_json(row["shift"]) if row["shift"] else None
    return Person(**kept, account=row["password"] is not None)
