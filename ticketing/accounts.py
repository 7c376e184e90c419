"""Signing in: who may try again when, and what a right or a wrong password leads to.

Nobody is ever locked out for good. Tries are counted per account, per account and address, and per address; a device
that was signed in within a month may try even while somebody else attacks its account.
"""

from __future__ import annotations

from sqlalchemy import func, select, update

from ticketing import door, sessions
from ticketing.errors import NotFoundError
from ticketing.people import Person, get, listed
from ticketing.people_tables import door_event, person
from ticketing.permissions import require
from ticketing.reading import Reading
from ticketing.records import DAY, HOUR, MINUTE, Actor
from ticketing.writing import Writing

FREE = 5  # wrong passwords before waiting begins
FIRST_WAIT, LONGEST_WAIT = 4_000, 10 * MINUTE  # ms; doubled with each wrong one
PER_ACCOUNT, PER_ADDRESS = 20, 60  # wrong ones within an hour
KNOWN = 30 * DAY  # how long a device is remembered


def wait(read: Reading, name: str, address: str, at: int) -> int:
    """How long this name and address must wait before the next try, in ms; 0: try now."""
    failed = select(func.count(), func.max(door_event.c.at), func.min(door_event.c.at)).where(
        read.here(door_event, type="sign_in_failed"), door_event.c.at > at - HOUR
    )
    by_name, by_address = door_event.c.name == name, door_event.c.address == address
    mine, last, first = read.connection.execute(failed.where(by_name, by_address)).one()
    until = 0
    if mine >= FREE:
        until = last + min(FIRST_WAIT * 2 ** (mine - FREE), LONGEST_WAIT)
    if mine >= PER_ACCOUNT:
        until = max(until, first + HOUR)
    for where, most in ((by_name, PER_ACCOUNT), (by_address, PER_ADDRESS)):
        count, _, oldest = read.connection.execute(failed.where(where)).one()
        if count >= most and not _known(read, name, address, at):
            until = max(until, oldest + HOUR)
    return max(0, until - at)


def password_of(read: Reading, name: str) -> str | None:
    """The kept hash; None for somebody without an account, or who left."""
    kept: str | None = read.connection.scalar(
        select(person.c.password).where(read.here(person, name=name, active=True))
    )
    return kept


def failed(tx: Writing, name: str, at: int, address: str) -> None:
    """A wrong password, or a wrong name."""
    door.note(tx, "sign_in_failed", name[:64], at, "somebody", address=address)


def signed_in(tx: Writing, name: str, secret: str, at: int, *, address: str, agent: str) -> Person:
    """The right password: a new session."""
    door.note(tx, "signed_in", name, at, name, address=address)
    sessions.open_session(tx, secret, name, at, address=address, agent=agent)
    return get(tx, name)


def signed_out(tx: Writing, name: str, secret: str, at: int, address: str) -> None:
    """The session is over."""
    sessions.close(tx, secret)
    door.note(tx, "signed_out", name, at, name, address=address)


def set_password(tx: Writing, actor: Actor, name: str, kept: str, at: int) -> None:
    """Give somebody a password (``passwords.hashed``): they are signed out everywhere. NotFoundError.

    One's own, or an admin anybody's.
    """
    if actor.name != name:
        require(actor, "people.write")
    if name not in {each.name for each in listed(tx)}:
        raise NotFoundError(f"there is nobody called {name!r}")
    keep_hash(tx, name, kept)
    sessions.close_all(tx, name)
    door.note(tx, "password_set", name, at, actor.name)


def keep_hash(tx: Writing, name: str, kept: str) -> None:
    """The same password, hashed with today's figures."""
    tx.connection.execute(update(person).where(tx.here(person, name=name)).values(password=kept))


def last_sign_in(read: Reading, name: str) -> int | None:
    """When they signed in before the present time."""
    times = (
        select(door_event.c.at)
        .where(read.here(door_event, type="signed_in", name=name))
        .order_by(door_event.c.seq.desc())
        .limit(2)
    )
    found = list(read.connection.scalars(times))
    return found[1] if len(found) > 1 else None


def _known(read: Reading, name: str, address: str, at: int) -> bool:
    """Whether somebody signed in by this name at this address lately."""
    came = select(func.count()).where(
        read.here(door_event, type="signed_in", name=name, address=address), door_event.c.at > at - KNOWN
    )
    return bool(read.connection.scalar(came))
