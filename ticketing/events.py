"""The log of all that happened to work orders: append-only, each line's hash holds the one before.

hash = sha256(previous hash ‖ canonical JSON of the line). The head stands in ``site``; publish it outside.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, RowMapping, select

from ticketing.records import Actor
from ticketing.tables import site, wo_event

GENESIS = "0" * 64


def canonical(value: object) -> str:
    """The one JSON text of ``value``: keys sorted, no spaces, no NaN."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256(data: str) -> str:
    return hashlib.sha256(data.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Chain:
    """What checking the log found; ``broken`` is the first line that does not fit, with ``why``."""

    length: int
    head: str
    broken: int | None = None
    why: str = ""


class Head(NamedTuple):
    """The end of the chain, to which the next line is tied."""

    seq: int = 0
    hash: str = GENESIS


def next_line(
    head: Head, site_id: str, *, number: str, at: int, actor: Actor, kind: str, payload: Mapping[str, Any]
) -> dict[str, Any]:
    """The row that follows ``head``."""
    line = {
        "site": site_id,
        "seq": head.seq + 1,
        "number": number,
        "at": at,
        "actor": actor.name,
        "actor_kind": actor.kind,
        "type": kind,
        "payload": canonical(payload),
    }
    return {**line, "hash": sha256(head.hash + canonical(line))}


def check(connection: Connection, site_id: str) -> Chain:
    """Walk the whole log and find the first line that was changed, added or taken away."""
    head = connection.execute(select(site.c.head_seq, site.c.head_hash).where(site.c.site == site_id)).one()
    lines = select(wo_event).where(wo_event.c.site == site_id).order_by(wo_event.c.seq)
    with connection.execute(lines.execution_options(yield_per=1000)) as rows:
        chain = _walk(rows.mappings())
    if chain.broken is None and (chain.length, chain.head) != (head.head_seq, head.head_hash):
        return Chain(chain.length, chain.head, chain.length + 1, f"the site's head is at {head.head_seq}")
    return chain


def _walk(rows: Iterable[RowMapping]) -> Chain:
    seq, previous = 0, GENESIS
    for row in rows:
        line = dict(row)
        stored = line.pop("hash")
        if line["seq"] != seq + 1:
            return Chain(seq, previous, seq + 1, f"line {seq + 1} is missing")
        if sha256(previous + canonical(line)) != stored:
            return Chain(seq, previous, line["seq"], f"line {line['seq']} ({line['number']}) was changed")
        seq, previous = line["seq"], stored
    return Chain(seq, previous)
