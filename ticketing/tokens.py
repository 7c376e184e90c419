"""API tokens: what a program shows instead of a person; shown once, kept as a hash, with a scope and an end.

A token reads ``watchkeeper_<id>_<secret>``. Its scope is a list of permissions ("kpi.read"), or of patterns of them
("order.*", "*.read"); it never allows more than its owner's roles do.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from sqlalchemy import delete, select, update

from ticketing import door
from ticketing.errors import FieldError, NotFoundError
from ticketing.events import canonical, sha256
from ticketing.people import Person, get
from ticketing.people_tables import token
from ticketing.permissions import ALL, require
from ticketing.reading import Reading
from ticketing.records import DAY, Actor
from ticketing.statements import Once
from ticketing.tables import same
from ticketing.writing import Writing

LONGEST = 366 * DAY
MOST = 50  # for one person
TOKEN = Once(select(token).where(same(token, "id")))  # asked at every request


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret."""

    id: str
    name: str
    purpose: str
    scope: tuple[str, ...]
    created_at: int
    expires_at: int
    used_at: int | None


def create(
    tx: Writing,
    actor: Actor,
    name: str,
    *,
    purpose: str,
    scope: Iterable[str],
    expires_at: int,
    at: int,
    id: str,  # noqa: A002 - a token's id is called so
    secret: str,
) -> str:
    """A new token of ``name``, as the text that is shown once; ``id`` and ``secret`` are random. FieldError."""
    if actor.name != name:
        require(actor, "people.write")
    owner, wanted = get(tx, name), tuple(sorted(set(scope)))
    if not wanted:
        raise FieldError(["scope"], "scope needs at least one permission, such as order.read or *.read")
    if unknown := [each for each in wanted if not any(fnmatchcase(known, each) for known in ALL)]:
        raise FieldError(["scope"], f"no permission is called {', '.join(unknown)}")
    if not at < expires_at <= at + LONGEST:
        raise FieldError(["expires_at"], "a token ends within a year")
    if not owner.active:
        raise FieldError(["name"], f"{name} does not work here any more")
    if len(listed(tx, name)) >= MOST:
        raise FieldError(["name"], f"{name} has {MOST} tokens: take one back first")
    row = {"purpose": purpose[:200], "scope": canonical(wanted), "created_at": at, "expires_at": expires_at}
    tx.add(token, id=id, sha256=sha256(secret), name=name, **row)
    door.note(tx, "token_made", name, at, actor.name, detail={"id": id, "scope": wanted, "until": expires_at})
    return f"watchkeeper_{id}_{secret}"


def find(read: Reading, text: str, at: int) -> tuple[Person, Token] | None:
    """Whose token this is; None for anything that is no token, or not any more."""
    brand, _, rest = text.partition("_")
    token_id, _, secret = rest.partition("_")
    row = read.row(TOKEN, read.of(id=token_id))
    kept = row.sha256 if row else sha256("nobody's")
    if not hmac.compare_digest(kept, sha256(secret)) or row is None or brand != "watchkeeper":
        return None
    owner = get(read, row.name)
    return (owner, _token(row)) if owner.active and row.expires_at > at else None


def used(tx: Writing, found: Token, at: int) -> None:
    """It was shown at that time."""
    tx.connection.execute(update(token).where(tx.here(token, id=found.id)).values(used_at=at))


def listed(read: Reading, name: str | None = None) -> list[Token]:
    """All tokens, or somebody's, oldest first."""
    wanted = select(token).where(read.here(token, **({"name": name} if name else {})))
    return [_token(row) for row in read.connection.execute(wanted.order_by(token.c.created_at, token.c.id))]


def revoke(tx: Writing, actor: Actor, token_id: str, at: int) -> None:
    """Take a token back; one's own, or an admin anybody's. NotFoundError."""
    found = next((each for each in listed(tx) if each.id == token_id), None)
    if found is None:
        raise NotFoundError(f"there is no token {token_id}")
    if actor.name != found.name:
        require(actor, "people.write")
    tx.connection.execute(delete(token).where(tx.here(token, id=token_id)))
    door.note(tx, "token_revoked", found.name, at, actor.name, detail={"id": token_id})


def _token(row: object) -> Token:
    kept = {name: getattr(row, name) for name in Token.__slots__}
    return Token(**{**kept, "scope": tuple(json.loads(kept["scope"]))})
