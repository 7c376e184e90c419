"""People as everybody finds them: in the ticket core.

``people.toml`` introduces people; who signs in with which password, and people added by command, stand in the core.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from gateway.site import Site
from ticketing import Desk, people
from ticketing import Person as Kept
from ticketing.people_settings import Person

FRESH = 1.0  # s that a register is believed before the core is asked again


def of_site(site: Site) -> list[Kept]:
    """Those whom the site file names."""
    shifts = {name: shift.calendar() for name, shift in site.shifts.items()}
    return [
        Kept(
            key,
            person.name,
            tuple(sorted(set(person.roles))),
            person.language,
            person.email,
            person.team,
            tuple(sorted(set(person.skills))),
            shifts[person.shift] if person.shift else None,
        )
        for key, person in site.people.items()
    ]


def introduce(desk: Desk, site: Site, at: int) -> None:
    """Let the ticket core know the people of the site file; nothing is written where it knows them. UTC in ms."""
    with desk.transaction() as tx:
        people.sync(tx, of_site(site), at)


class Register(Mapping[str, Person]):
    """Everybody who works here by their sign-in names, as the ticket core says now."""

    def __init__(self, desk: Desk, clock: Callable[[], float] = time.monotonic) -> None:
        self._desk, self._clock = desk, clock
        self._asked = float("-inf")
        self._found: dict[str, Person] = {}

    def __getitem__(self, key: str) -> Person:
        return self._now()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._now())

    def __len__(self) -> int:
        return len(self._now())

    def _now(self) -> dict[str, Person]:
        if self._clock() - self._asked >= FRESH:
            with self._desk.read() as read:
                self._found = {each.name: _settings(each) for each in people.listed(read)}
            self._asked = self._clock()
        return self._found


def _settings(each: Kept) -> Person:
    role, *also = each.roles
    said = {"role": role, "also": also, "language": each.language, "email": each.email, "team": each.team}
    return Person.model_validate({"name": each.title, "skills": each.skills, **said})
