"""What is offered on an order, and why: fixes that held on this machine, then articles by a published formula.

score = 4·same failure mode + 3·same class and model + 1·same class + 2·text match
      + 3·Wilson lower bound(helped, shown) + 1·freshness; shown from 4 on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, func, or_, select, update

from ticketing.codes import FAILURE_MODES, MECHANISMS, REMEDIES
from ticketing.errors import NotFoundError
from ticketing.events import canonical
from ticketing.knowledge import articles
from ticketing.knowledge.search import match
from ticketing.knowledge.words import words
from ticketing.permissions import require
from ticketing.reading import Reading
from ticketing.records import DAY, ENGINE, Actor, Article, Asset, Offered, Order, State, Suggestion
from ticketing.tables import article, asset, kb_use, wo_link, work_order
from ticketing.writing import Writing

SHOWN = 3
ENOUGH = 4.0
HELD = 30 * DAY  # a fix is verified when the fault stayed away so long
FREQUENT, FREQUENT_WINDOW = 3, 90 * DAY
YEAR = 365 * DAY


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
    about = or_(
        article.c.failure_mode == asked.failure_mode,
        article.c.asset_class == asked.asset_class,
        article.c.id.in_(list(fits)),
    )
    query = select(*articles.COLUMNS).where(read.here(article, status="published"), about)
    candidates = [Article(**row) for row in read.connection.execute(query).mappings()]
    records = _track_records(read) if candidates else {}
    found = [_judged(each, asked, fits, records, at) for each in candidates]
    good = [each for each in found if each.score >= ENOUGH]
    return sorted(good, key=lambda each: (-each.score, each.ref))[:SHOWN]


def _judged(
    found: Article, asked: Question, fits: dict[str, float], records: dict[str, tuple[int, int]], at: int
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
    helped = func.sum((kb_use.c.outcome == "helped").cast(kb_use.c.rank.type))
    rows = read.connection.execute(
        select(kb_use.c.article, helped, func.count())
        .where(read.here(kb_use), kb_use.c.outcome.is_not(None))
        .group_by(kb_use.c.article)
    )
    return {row[0]: (int(row[1] or 0), int(row[2])) for row in rows}


# Fixes that held


def verified_fixes(read: Reading, order: Order, at: int) -> list[Suggestion]:
    """The last three repairs of this failure mode after which it stayed away: on this asset, then on its model."""
    if order.asset is None or order.failure_mode is None:
        return []
    machine = read.asset(order.asset)
    here = _fixes(read, order.failure_mode, work_order.c.asset == machine.code, at, SHOWN)
    found = [_fix(fix, "same_asset") for fix in here]
    if machine.model and len(found) < SHOWN:
        twins = select(asset.c.code).where(
            read.here(asset, asset_class=machine.asset_class, model=machine.model),
            asset.c.code != machine.code,
        )
        there = _fixes(read, order.failure_mode, work_order.c.asset.in_(twins), at, SHOWN - len(found))
        found += [_fix(fix, "same_model") for fix in there]
    return found


def _fixes(
    read: Reading, failure_mode: str, where: ColumnElement[bool], at: int, limit: int
) -> Sequence[Any]:
    again = work_order.alias("again")
    came_back = (
        select(wo_link.c.number)
        .join(again, and_(again.c.site == wo_link.c.site, again.c.number == wo_link.c.number))
        .where(
            wo_link.c.site == work_order.c.site,
            wo_link.c.other == work_order.c.number,
            wo_link.c.kind == "recurrence_of",
            again.c.opened_at < work_order.c.closed_at + HELD,
        )
        .exists()
    )
    query = (
        select(work_order)
        .where(
            read.here(work_order, failure_mode=failure_mode, state=State.CLOSED, outcome="worked"),
            where,
            work_order.c.closed_at <= at - HELD,
            ~came_back,
        )
        .order_by(work_order.c.closed_at.desc(), work_order.c.number.desc())
        .limit(limit)
    )
    return read.connection.execute(query).all()


def _fix(row: Any, reason: str) -> Suggestion:
    mechanism, remedy = MECHANISMS.get(row.mechanism), REMEDIES.get(row.remedy)
    zh = f"{mechanism.zh} → {remedy.zh}" if mechanism and remedy else row.title_zh
    en = f"{mechanism.en} → {remedy.en}" if mechanism and remedy else row.title_en
    return Suggestion("fix", row.number, zh, en, 0.0, {reason: 0.0})


# What an order gets when it opens, and what people say of it


def suggestions(read: Reading, number: str, at: int) -> list[Suggestion]:
    """Verified fixes, then articles, as they stand at ``at``."""
    order = read.order(number)
    if order.asset is None:
        return []
    ranked = rank(read, question(read.asset(order.asset), order), at)
    return [*verified_fixes(read, order, at), *ranked]


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
    if _is_frequent(tx, machine, order.failure_mode, at):
        _draft_from_best_fix(tx, machine, order, at)


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
    rows = read.connection.execute(
        select(kb_use.c.article, kb_use.c.reasons, kb_use.c.outcome)
        .where(read.here(kb_use, number=number))
        .order_by(kb_use.c.rank)
    )
    return [Offered(row.article, json.loads(row.reasons), row.outcome) for row in rows]


def _is_frequent(read: Reading, machine: Asset, failure_mode: str, at: int) -> bool:
    """The same failure mode often enough on this class of machines lately."""
    kin = select(asset.c.code).where(read.here(asset, asset_class=machine.asset_class))
    count = read.connection.scalar(
        select(func.count())
        .select_from(work_order)
        .where(
            read.here(work_order, failure_mode=failure_mode),
            work_order.c.asset.in_(kin),
            work_order.c.opened_at > at - FREQUENT_WINDOW,
            work_order.c.opened_at <= at,
        )
    )
    return (count or 0) >= FREQUENT


def _draft_from_best_fix(tx: Writing, machine: Asset, order: Order, at: int) -> None:
    """An article for a fault that keeps coming, from the repair that held best; people publish it."""
    source = f"frequent:{machine.asset_class}:{order.failure_mode}"
    subject = tx.here(article, asset_class=machine.asset_class, failure_mode=order.failure_mode)
    written = select(article.c.id).where(
        subject, or_(article.c.status == "published", article.c.source == source)
    )
    if tx.connection.scalar(written.limit(1)) is not None:
        return
    kin = select(asset.c.code).where(tx.here(asset, asset_class=machine.asset_class))
    fixes = _fixes(tx, order.failure_mode or "", work_order.c.asset.in_(kin), at, 100)
    if not fixes:
        return
    best = max(fixes, key=lambda fix: (fix.stars or 0, fix.closed_at, fix.number))
    fix = _fix(best, "")
    draft = Article(
        asset_class=machine.asset_class,
        failure_mode=order.failure_mode or "",
        model=tx.asset(best.asset).model,
        mechanism=best.mechanism,
        remedy=best.remedy,
        title_zh=f"{best.title_zh}:{fix.title_zh}",
        title_en=f"{best.title_en}: {fix.title_en}",
        body_zh=f"据 {best.number} 的已验证处理草拟。",
        body_en=f"Drafted from the verified repair of {best.number}.",
        source=source,
    )
    kept = articles.save(tx, ENGINE, draft, at=at, reason=f"frequent fault, best fix {best.number}")
    tx.record(order.number, at=at, actor=ENGINE, kind="article_drafted", fields={"article": kept.id})
