"""The book of the door: who came in, who was turned away, who changed people and tokens. Nothing in it ever changes.

Each line's hash holds the one before, as in ``events``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from ticketing.events import GENESIS, Chain, canonical, sha256
from ticketing.people_tables import door_event
from ticketing.reading import Reading
from ticketing.writing import Writing


@dataclass(frozen=True, slots=True)
class DoorEvent:
    """One line: ``actor`` did ``type`` to ``name``, from ``address`` ("" on the gateway itself)."""

    seq: int
    at: int
    actor: str
    type: str
    name: str
    address: str
    detail: Mapping[str, Any]


def note(
    tx: Writing,
    kind: str,
    name: str,
    at: int,
    actor: str,
    *,
    address: str = "",
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Write a line."""
    last = select(door_event.c.seq, door_event.c.hash).where(tx.here(door_event))
    found = tx.connection.execute(last.order_by(door_event.c.seq.desc()).limit(1)).one_or_none()
    seq, head = (found.seq, found.hash) if found else (0, GENESIS)
    line = {
        "site": tx.site,
        "seq": seq + 1,
        "at": at,
        "actor": actor,
        "type": kind,
        "name": name,
        "address": address,
        "detail": canonical(detail or {}),
    }
    tx.add(door_event, **{key: value for key, value in line.items() if key != "site"}, hash=_hash(head, line))


def listed(read: Reading, *, limit: int = 100) -> list[DoorEvent]:
    """The newest lines, newest first."""
    newest = select(door_event).where(read.here(door_event)).order_by(door_event.c.seq.desc()).limit(limit)
    return [
        DoorEvent(row.seq, row.at, row.actor, row.type, row.name, row.address, json.loads(row.detail))
        for row in read.connection.execute(newest)
    ]


def verify(read: Reading) -> Chain:
    """Walk the book and find the first line that was changed or taken out."""
    head, seq = GENESIS, 0
    rows = read.connection.execute(select(door_event).where(read.here(door_event)).order_by(door_event.c.seq))
    for row in rows.mappings():
        line = {key: value for key, value in row.items() if key != "hash"}
        if row["seq"] != seq + 1 or _hash(head, line) != row["hash"]:
            return Chain(seq, head, seq + 1, f"line {seq + 1} is missing or was changed")
        head, seq = row["hash"], row["seq"]
    return Chain(seq, head)


def _hash(head: str, line: Mapping[str, Any]) -> str:
    return sha256(head + canonical(dict(line)))
