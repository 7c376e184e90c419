"""What is offered on an order, and why: fixes that held on this machine, then articles by a published formula.

score = 4·same failure mode + 3·same class and model + 1·same class + 2·text match
      + 3·Wilson lower bound(helped, shown) + 1·freshness; shown from 4 on.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from functools import cache

from sqlalchemy import bindparam, func, or_, select, update

from ticketing.codes import FAILURE_MODES
from ticketing.errors import NotFoundError
from ticketing.events import canonical
from ticketing.knowledge import fixes
from ticketing.knowledge.search import match
from ticketing.knowledge.words import words
from ticketing.permissions import require
from ticketing.reading import Reading
from ticketing.records import DAY, ENGINE, Actor, Asset, Offered, Order, Suggestion
from ticketing.statements import Once, Row, one_of
from ticketing.tables import article, kb_use, same
from ticketing.writing import Writing

SHOWN = 3
ENOUGH = 4.0
YEAR = 365 * DAY


OFFERED = Once(
    select(kb_use.c.article, kb_use.c.reasons, kb_use.c.outcome)
    .where(same(kb_use, "number"))
    .order_by(kb_use.c.rank)
)
TRACK_RECORDS = Once(
    select(kb_use.c.article, func.sum((kb_use.c.outcome == "helped").cast(kb_use.c.rank.type)), func.count())
    .where(same(kb_use), kb_use.c.outcome.is_not(None))
    .group_by(kb_use.c.article)
)


@dataclass(frozen=True, slots=True)
class Question:
    """What an order is about, as far as articles are concerned."""

    asset_class: str
    model: str
    failure_mode: str
    text: str


def question(machine: Asset, order: Order) -> Question:
    """The question that an order on this machine asks."""
    name = FAILURE_MODES.get(order.failure_mode or "")
    texts = [order.title_zh, order.title_en, order.description, *(name or ())]
    return Question(machine.asset_class, machine.model, order.failure_mode or "", " ".join(texts))


def rank(read: Reading, asked: Question, at: int) -> list[Suggestion]:
    """The published articles that score enough, the best first, with what each reason added."""
    fits = match(read, words(asked.text))
    about = {"failure_mode": asked.failure_mode, "asset_class": asked.asset_class}
    ids, by_words = one_of("id", fits)
    candidates = read.rows(_candidates(ids), {**read.of(), **about, **by_words})
    records = _track_records(read) if candidates else {}
    found = [_judged(each, asked, fits, records, at) for each in candidates]
    good = [each for each in found if each.score >= ENOUGH]
    return sorted(good, key=lambda each: (-each.score, each.ref))[:SHOWN]


@cache
def _candidates(ids: int) -> Once:
    """Published articles about this failure mode or class of machines, or found by their words."""
    about = or_(
        article.c.failure_mode == bindparam("failure_mode"),
        article.c.asset_class == bindparam("asset_class"),
        article.c.id.in_([bindparam(f"id_{n}") for n in range(ids)]),
    )
    columns = [
        article.c[name]
        for name in ("id", "asset_class", "model", "failure_mode", "title_zh", "title_en", "at")
    ]
    return Once(select(*columns).where(same(article), article.c.status == "published", about))


def _judged(
    found: Row, asked: Question, fits: dict[str, float], records: dict[str, tuple[int, int]], at: int
) -> Suggestion:
    same_class = found.asset_class == asked.asset_class
    same_model = same_class and bool(asked.model) and found.model == asked.model
    helped, shown = records.get(found.id, (0, 0))
    parts = {
        "same_failure_mode": 4.0 * (found.failure_mode == asked.failure_mode),
        "same_class_and_model": 3.0 * same_model,
        "same_class": 1.0 * same_class,
        "text": 2.0 * fits.get(found.id, 0.0),
        "helped": 3.0 * wilson_low(helped, shown),
        "fresh": math.exp(-max(0, at - found.at) / YEAR),
    }
    reasons = {name: round(value, 3) for name, value in parts.items() if value}
    score = round(sum(parts.values()), 3)
    return Suggestion("article", found.id, found.title_zh, found.title_en, score, reasons)


def wilson_low(helped: int, shown: int) -> float:
    """The lower end of Wilson's 95 % interval for ``helped`` of ``shown`` (Wilson 1927); 0 when never shown."""
    if shown == 0:
        return 0.0
    z, share = 1.96, helped / shown
    centre = share + z * z / (2 * shown)
    spread = z * math.sqrt(share * (1 - share) / shown + z * z / (4 * shown * shown))
    return (centre - spread) / (1 + z * z / shown)


def _track_records(read: Reading) -> dict[str, tuple[int, int]]:
    """Helped and answered, per article."""
    return {row[0]: (int(row[1] or 0), int(row[2])) for row in read.rows(TRACK_RECORDS, read.of())}


# What an order gets when it opens, and what people say of it


def suggestions(read: Reading, number: str, at: int) -> list[Suggestion]:
    """Verified fixes, then articles, as they stand at ``at``."""
    order = read.order(number)
    if order.asset is None:
        return []
    ranked = rank(read, question(read.asset(order.asset), order), at)
    return [*fixes.verified(read, order, at), *ranked]


def offer(tx: Writing, order: Order, at: int) -> None:
    """Write down what is offered on a new order; a frequent fault without an article gets a draft."""
    if order.asset is None or order.failure_mode is None:
        return
    machine = tx.asset(order.asset)
    offered = rank(tx, question(machine, order), at)
    for place, each in enumerate(offered, 1):
        tx.add(
            kb_use, number=order.number, article=each.ref, at=at, rank=place, reasons=canonical(each.reasons)
        )
    if offered:
        fields = {"articles": [each.ref for each in offered]}
        tx.record(order.number, at=at, actor=ENGINE, kind="suggested", fields=fields)
    if fixes.is_frequent(tx, machine, order.failure_mode, at):
        fixes.draft_from_the_best(tx, machine, order, at)


def feedback(tx: Writing, actor: Actor, number: str, article_id: str, *, at: int, helped: bool) -> None:
    """Somebody who worked on the order says whether the article helped."""
    require(actor, "article.write")
    answer = update(kb_use).where(tx.here(kb_use, number=number, article=article_id))
    outcome = "helped" if helped else "not_helped"
    if tx.connection.execute(answer.values(outcome=outcome)).rowcount == 0:
        raise NotFoundError(f"{article_id} was not offered on {number}")
    tx.record(number, at=at, actor=actor, kind="feedback", fields={"article": article_id, "outcome": outcome})


def offered(read: Reading, number: str) -> list[Offered]:
    """The articles that were offered on the order, in their order then."""
    rows = read.rows(OFFERED, read.of(number=number))
    return [Offered(row.article, json.loads(row.reasons), row.outcome) for row in rows]
