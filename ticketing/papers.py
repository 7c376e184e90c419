"""Scanned papers: what a machine read is kept if it was sure of every field, else somebody looks at it first.

A paper is an order from before our time as OCR JSON: ``{"id": "scan-17", "fields": {"title": {"value": "换轴承",
"confidence": 0.97}, …}}`` with the fields of ``history.PastOrder`` as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update

from ticketing import history
from ticketing.errors import FieldError, NotFoundError, StaleError
from ticketing.events import canonical
from ticketing.permissions import require
from ticketing.reading import Reading
from ticketing.records import Actor
from ticketing.tables import review
from ticketing.writing import Writing

SURE = 0.8  # a field read with less confidence is looked at
WAITING, ACCEPTED, DISMISSED = "waiting", "accepted", "dismissed"


@dataclass(frozen=True, slots=True)
class Paper:
    """One paper that waits, or was decided; ``doubts`` says of each doubtful field why."""

    id: str
    state: str
    fields: Mapping[str, str]
    doubts: Mapping[str, str]
    at: int
    by: str
    decided_at: int | None = None
    decided_by: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of papers: kept as history, waiting for somebody, or known from before."""

    added: int
    waiting: int
    known: int


def take(tx: Writing, actor: Actor, papers: Sequence[Mapping[str, Any]], *, zone: str, at: int) -> Taken:
    """Keep what is sure and right, queue the rest; a paper that came before is left alone."""
    require(actor, "history.import")
    added = waiting = known = 0
    for number, paper in enumerate(papers, 1):
        name, fields, doubts = _read(paper, number)
        if tx.connection.scalar(select(review.c.id).where(tx.here(review, id=name))) is not None:
            known += 1
            continue
        good, wrong = _as_order(tx, fields, zone)
        doubts = {**wrong, **doubts}
        if good and not doubts:
            kept = history.keep(tx, actor, [good])
            added, known = added + kept.added, known + kept.known
        else:
            body = canonical({"fields": fields, "doubts": doubts})
            tx.add(review, id=name, state=WAITING, body=body, at=at, by=actor.name)
            waiting += 1
    return Taken(added, waiting, known)


def listed(read: Reading, *, state: str | None = WAITING) -> list[Paper]:
    """The papers in that state, the oldest first."""
    where = read.here(review) if state is None else read.here(review, state=state)
    rows = read.connection.execute(select(review).where(where).order_by(review.c.at, review.c.id))
    return [
        Paper(
            r.id,
            r.state,
            **json.loads(r.body),
            at=r.at,
            by=r.by,
            decided_at=r.decided_at,
            decided_by=r.decided_by,
        )
        for r in rows
    ]


def accept(
    tx: Writing, actor: Actor, paper: str, corrected: Mapping[str, str], *, zone: str, at: int
) -> None:
    """Somebody looked: with their corrections it is history; FieldError names what is still wrong."""
    require(actor, "history.import")
    fields = {**_waiting(tx, paper).fields, **corrected}
    good, wrong = _as_order(tx, fields, zone)
    if good is None:
        raise FieldError(sorted(wrong), "; ".join(f"{name}: {why}" for name, why in wrong.items()))
    history.keep(tx, actor, [good])
    _decide(tx, actor, paper, ACCEPTED, at=at, body=canonical({"fields": fields, "doubts": {}}))


def dismiss(tx: Writing, actor: Actor, paper: str, *, at: int) -> None:
    """It is no order of ours."""
    require(actor, "history.import")
    _waiting(tx, paper)
    _decide(tx, actor, paper, DISMISSED, at=at)


def _read(paper: Mapping[str, Any], number: int) -> tuple[str, dict[str, str], dict[str, str]]:
    """Its name, its fields as text, and which were read with too little confidence."""
    name, read = paper.get("id"), paper.get("fields")
    if not isinstance(name, str) or not name or not isinstance(read, dict):
        raise FieldError(["papers"], f"paper {number} needs an id (text) and fields (an object)")
    fields, doubts = {}, {}
    for key, found in read.items():
        if not isinstance(found, dict) or not isinstance(found.get("value"), str):
            raise FieldError([key], f"paper {name}: {key} needs a value (text) and a confidence (0 to 1)")
        sure = found.get("confidence")
        if isinstance(sure, bool) or not isinstance(sure, int | float) or not 0 <= sure <= 1:
            raise FieldError([key], f"paper {name}: the confidence of {key} is a number 0 to 1")
        fields[key] = found["value"]
        if sure < SURE:
            doubts[key] = f"read with confidence {sure:g}"
    if unknown := sorted(fields.keys() - history.PastOrder.__dataclass_fields__.keys()):
        raise FieldError(unknown, f"paper {name}: an old order has no {', '.join(unknown)}")
    return name, fields, doubts


def _as_order(
    tx: Writing, fields: Mapping[str, str], zone: str
) -> tuple[history.PastOrder | None, dict[str, str]]:
    same = {name: name for name in history.PastOrder.__dataclass_fields__}
    assets = {asset.code for asset in tx.assets(retired=True)}
    good, rejects = history.read_rows([fields], columns=same, zone=zone, assets=assets)
    return (good[0] if good else None), {each.column: f"{each.found!r}: {each.wanted}" for each in rejects}


def _waiting(tx: Writing, paper: str) -> Paper:
    found = next((each for each in listed(tx, state=None) if each.id == paper), None)
    if found is None:
        raise NotFoundError(f"there is no paper {paper}")
    if found.state != WAITING:
        raise StaleError(f"{paper} was {found.state} by {found.decided_by}")
    return found


def _decide(tx: Writing, actor: Actor, paper: str, state: str, *, at: int, body: str | None = None) -> None:
    decided = {"state": state, "decided_at": at, "decided_by": actor.name}
    values = decided if body is None else {**decided, "body": body}
    tx.connection.execute(update(review).where(tx.here(review, id=paper)).values(**values))
