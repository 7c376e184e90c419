"""The same request with the same key gets the same answer, and happens once (the header Idempotency-Key)."""

from __future__ import annotations

from sqlalchemy import delete, select

from ticketing.errors import FieldError, StaleError
from ticketing.reading import Reading
from ticketing.records import DAY, Actor
from ticketing.tables import answered
from ticketing.writing import Writing

KEPT = DAY
LONGEST = 200  # characters of a key


def given(read: Reading, actor: Actor, key: str, request: str) -> str | None:
    """What was answered to this key; StaleError if it was given with another request (its SHA-256)."""
    if not key.strip() or len(key) > LONGEST:
        raise FieldError(["Idempotency-Key"], f"an Idempotency-Key has 1 to {LONGEST} characters")
    row = read.connection.execute(
        select(answered.c.sha256, answered.c.answer).where(read.here(answered, actor=actor.name, key=key))
    ).one_or_none()
    if row is None:
        return None
    if row.sha256 != request:
        raise StaleError(f"the Idempotency-Key {key!r} was used for another request")
    return str(row.answer)


def keep(tx: Writing, actor: Actor, key: str, request: str, answer: str, *, at: int) -> None:
    """Remember the answer for a day, in the transaction of what was done."""
    tx.connection.execute(delete(answered).where(tx.here(answered), answered.c.at < at - KEPT))
    tx.add(answered, actor=actor.name, key=key, sha256=request, answer=answer, at=at)
