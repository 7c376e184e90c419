"""The same request with the same key gets the same answer, and happens once (the header Idempotency-Key)."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, select

from ticketing.errors import FieldError, StaleError
from ticketing.reading import Reading
from ticketing.records import DAY, Actor
from ticketing.statements import Once
from ticketing.tables import answered, same
from ticketing.writing import Writing

KEPT = DAY
GIVEN = Once(select(answered.c.sha256, answered.c.answer).where(same(answered, "actor", "key")))
FORGET = Once(delete(answered).where(same(answered), answered.c.at < bindparam("before")))
LONGEST = 200  # characters of a key


def given(read: Reading, actor: Actor, key: str, request: str) -> str | None:
    """What was answered to this key; StaleError if it was given with another request (its SHA-256)."""
    if not key.strip() or len(key) > LONGEST:
        raise FieldError(["Idempotency-Key"], f"an Idempotency-Key has 1 to {LONGEST} characters")
    row = read.row(GIVEN, read.of(actor=actor.name, key=key))
    if row is None:
        return None
    if row.sha256 != request:
        raise StaleError(f"the Idempotency-Key {key!r} was used for another request")
    return str(row.answer)


def keep(tx: Writing, actor: Actor, key: str, request: str, answer: str, *, at: int) -> None:
    """Remember the answer for a day, in the transaction of what was done."""
    tx.run(FORGET, {**tx.of(), "before": at - KEPT})
    tx.add(answered, actor=actor.name, key=key, sha256=request, answer=answer, at=at)
