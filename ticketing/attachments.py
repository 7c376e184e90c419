"""Photos and papers on an order: of a few kinds, of a bounded size, and really what they say they are."""

from __future__ import annotations

import hashlib
from dataclasses import asdict

from sqlalchemy import func, select

from ticketing.errors import FieldError, MoveRefusedError, NotFoundError
from ticketing.permissions import require
from ticketing.reading import Reading
from ticketing.records import DAY, Actor, Attachment
from ticketing.tables import attachment
from ticketing.writing import Writing

LIMIT = 10 * 1024 * 1024  # bytes
PER_DAY = 30 * LIMIT  # from one person
BEGINS = {
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/webp": (b"RIFF",),
    "application/pdf": (b"%PDF-",),
}
COLUMNS = [attachment.c[name] for name in Attachment.__dataclass_fields__]


def attach(
    tx: Writing, actor: Actor, number: str, *, at: int, name: str, mime: str, data: bytes
) -> Attachment:
    """Keep the file with the order; the same bytes again are the same attachment."""
    require(actor, "order.attach")
    order = tx.order(number)
    if not order.open:
        raise MoveRefusedError(
            number, order.state, order.version, "illegal", "nothing is added to it any more"
        )
    _check(name, mime, data)
    digest = hashlib.sha256(data).hexdigest()
    known = [each for each in listed(tx, number) if each.sha256 == digest]
    if known:
        return known[0]
    today = select(func.coalesce(func.sum(attachment.c.size), 0)).where(
        tx.here(attachment, by=actor.name), attachment.c.at > at - DAY
    )
    if (tx.connection.scalar(today) or 0) + len(data) > PER_DAY:
        raise FieldError(["data"], f"one person may add {PER_DAY // 1024 // 1024} MiB a day")
    kept = Attachment(digest, name, mime, len(data), at, actor.name)
    tx.add(attachment, number=number, data=data, **asdict(kept))
    fields = {"sha256": digest, "name": name, "mime": mime, "size": len(data)}
    tx.record(number, at=at, actor=actor, kind="attach", fields=fields)
    return kept


def listed(read: Reading, number: str) -> list[Attachment]:
    """What is attached to the order, oldest first, without the bytes."""
    query = select(*COLUMNS).where(read.here(attachment, number=number))
    return [
        Attachment(*row)
        for row in read.connection.execute(query.order_by(attachment.c.at, attachment.c.sha256))
    ]


def data_of(read: Reading, number: str, sha256: str) -> bytes:
    """The bytes of one attachment; NotFoundError."""
    found = read.connection.scalar(
        select(attachment.c.data).where(read.here(attachment, number=number, sha256=sha256))
    )
    if found is None:
        raise NotFoundError(f"{number} has no attachment {sha256}")
    return bytes(found)


def _check(name: str, mime: str, data: bytes) -> None:
    if not name.strip() or len(name) > 200 or any(mark in name for mark in "/\\\0"):
        raise FieldError(["name"], "a file needs a name of at most 200 characters without slashes")
    if mime not in BEGINS:
        raise FieldError(["mime"], f"a file must be one of {', '.join(BEGINS)}; got {mime!r}")
    if len(data) > LIMIT:
        raise FieldError(["data"], f"a file may have {LIMIT // 1024 // 1024} MiB")
    if not data.startswith(BEGINS[mime]):
        raise FieldError(["data"], f"the file is no {mime}")
