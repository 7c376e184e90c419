"""Sessions: who is signed in, on which device. The browser holds 256 random bits, we hold their hash."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import bindparam, delete, or_, select, update

from ticketing.events import sha256
from ticketing.people_tables import person, session
from ticketing.reading import Reading
from ticketing.records import HOUR, MINUTE
from ticketing.statements import Once
from ticketing.tables import same
from ticketing.writing import Writing

# Asked at every request.
LASTING = Once(
    select(session)
    .join(person, (person.c.site == session.c.site) & (person.c.name == session.c.name))
    .where(
        same(session, "sha256"),
        person.c.active,
        person.c.password.is_not(None),
        session.c.seen_at > bindparam("idle_since"),
        session.c.opened_at > bindparam("whole_since"),
    )
)


@dataclass(frozen=True, slots=True)
class Span:
    """How long a session lasts, in ms: since it was last used, and altogether."""

    idle: int = 30 * MINUTE
    whole: int = 12 * HOUR


@dataclass(frozen=True, slots=True)
class Session:
    """One device on which somebody is signed in; ``sha256`` names it."""

    sha256: str
    name: str
    opened_at: int
    seen_at: int
    address: str
    agent: str


def open_session(tx: Writing, secret: str, name: str, at: int, *, address: str, agent: str) -> None:
    """``name`` is signed in with ``secret`` from now on."""
    tx.add(
        session,
        sha256=sha256(secret),
        name=name,
        opened_at=at,
        seen_at=at,
        address=address,
        agent=agent[:200],
    )


def find(read: Reading, secret: str, at: int, span: Span) -> Session | None:
    """The session of this secret, while it lasts and its person works here."""
    return _lasting(read, sha256(secret), at, span)


def holds(read: Reading, known: Session, at: int, span: Span) -> bool:
    """Whether it still lasts."""
    return _lasting(read, known.sha256, at, span) is not None


def _lasting(read: Reading, digest: str, at: int, span: Span) -> Session | None:
    since = {"idle_since": at - span.idle, "whole_since": at - span.whole}
    row = read.row(LASTING, {**read.of(sha256=digest), **since})
    return _session(row) if row else None


def touch(tx: Writing, found: Session, at: int) -> None:
    """It was used at that time."""
    tx.connection.execute(update(session).where(tx.here(session, sha256=found.sha256)).values(seen_at=at))


def listed(read: Reading, name: str, at: int, span: Span) -> list[Session]:
    """Where somebody is signed in, the latest first."""
    wanted = select(session).where(
        read.here(session, name=name),
        session.c.seen_at > at - span.idle,
        session.c.opened_at > at - span.whole,
    )
    return [_session(row) for row in read.connection.execute(wanted.order_by(session.c.seen_at.desc()))]


def close(tx: Writing, secret: str) -> None:
    """Signed out."""
    tx.connection.execute(delete(session).where(tx.here(session, sha256=sha256(secret))))


def close_all(tx: Writing, name: str) -> None:
    """Signed out everywhere."""
    tx.connection.execute(delete(session).where(tx.here(session, name=name)))


def sweep(tx: Writing, at: int, span: Span) -> None:
    """Forget those that ended by themselves."""
    over = or_(session.c.seen_at <= at - span.idle, session.c.opened_at <= at - span.whole)
    tx.connection.execute(delete(session).where(tx.here(session), over))


def _session(row: object) -> Session:
    return Session(**{name: getattr(row, name) for name in Session.__slots__})
