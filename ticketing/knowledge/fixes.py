"""Repairs that held: what is offered before any article, and what an article is drafted from."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, bindparam, or_, select

from ticketing.codes import MECHANISMS, REMEDIES
from ticketing.knowledge import articles
from ticketing.reading import Reading
from ticketing.records import DAY, ENGINE, Article, Asset, Order, State, Suggestion
from ticketing.statements import Once, Row, at_most
from ticketing.tables import NEWEST_CLOSED, article, asset, same, wo_link, work_order
from ticketing.writing import Writing

SHOWN = 3
HELD = 30 * DAY  # a fix is verified when the fault stayed away so long
FREQUENT, FREQUENT_WINDOW = 3, 90 * DAY
KIN = work_order.c.asset.in_(select(asset.c.code).where(same(asset, "asset_class")))


def _that_held(where: ColumnElement[bool]) -> Once:
    """Repairs of a failure mode on some machines, closed ``until`` then, that kept it away; the newest first."""
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
    names = ("number", "asset", "title_zh", "title_en", "mechanism", "remedy", "stars", "closed_at")
    return Once(
        select(*(work_order.c[name] for name in names))
        .where(
            same(work_order, "failure_mode"),
            where,
            work_order.c.state == State.CLOSED.value,
            work_order.c.outcome == "worked",
            work_order.c.closed_at <= bindparam("until"),
            ~came_back,
        )
        .order_by(*NEWEST_CLOSED)
        .limit(bindparam("limit"))
    )


HERE = _that_held(work_order.c.asset == bindparam("of_asset"))
ON_A_TWIN = _that_held(
    work_order.c.asset.in_(
        select(asset.c.code).where(same(asset, "asset_class", "model"), asset.c.code != bindparam("of_asset"))
    )
)
ON_ANY_KIN = _that_held(KIN)
LATELY_OPENED = Once(
    select(work_order.c.number)
    .where(
        same(work_order, "failure_mode"),
        KIN,
        work_order.c.opened_at > bindparam("after"),
        work_order.c.opened_at <= bindparam("at"),
    )
    .limit(at_most(FREQUENT))
)
WRITTEN = Once(
    select(article.c.id)
    .where(
        same(article, "asset_class", "failure_mode"),
        or_(article.c.status == "published", article.c.source == bindparam("of_source")),
    )
    .limit(at_most(1))
)


def verified(read: Reading, order: Order, at: int) -> list[Suggestion]:
    """The last three repairs of this failure mode after which it stayed away: on this asset, then on its model."""
    if order.asset is None or order.failure_mode is None:
        return []
    machine = read.asset(order.asset)
    key = {**read.of(asset=machine.code, failure_mode=order.failure_mode), "until": at - HELD}
    found = [_told(fix, "same_asset") for fix in read.rows(HERE, {**key, "limit": SHOWN})]
    if machine.model and len(found) < SHOWN:
        kind = read.of(asset_class=machine.asset_class, model=machine.model)
        there = read.rows(ON_A_TWIN, {**key, **kind, "limit": SHOWN - len(found)})
        found += [_told(fix, "same_model") for fix in there]
    return found


def _told(fix: Row, reason: str) -> Suggestion:
    mechanism, remedy = MECHANISMS.get(fix.mechanism), REMEDIES.get(fix.remedy)
    zh = f"{mechanism.zh} → {remedy.zh}" if mechanism and remedy else fix.title_zh
    en = f"{mechanism.en} → {remedy.en}" if mechanism and remedy else fix.title_en
    return Suggestion("fix", fix.number, zh, en, 0.0, {reason: 0.0})


def is_frequent(read: Reading, machine: Asset, failure_mode: str, at: int) -> bool:
    """The same failure mode often enough on this class of machines lately."""
    kind = read.of(asset_class=machine.asset_class, failure_mode=failure_mode)
    return len(read.rows(LATELY_OPENED, {**kind, "after": at - FREQUENT_WINDOW, "at": at})) == FREQUENT


def draft_from_the_best(tx: Writing, machine: Asset, order: Order, at: int) -> None:
    """An article for a fault that keeps coming, from the repair that held best; people publish it."""
    failure_mode = order.failure_mode or ""
    source = f"frequent:{machine.asset_class}:{failure_mode}"
    kind = tx.of(asset_class=machine.asset_class, failure_mode=failure_mode)
    if tx.row(WRITTEN, {**kind, "of_source": source}) is not None:
        return
    held = tx.rows(ON_ANY_KIN, {**kind, "until": at - HELD, "limit": 100})
    if not held:
        return
    best = max(held, key=lambda fix: (fix.stars or 0, fix.closed_at, fix.number))
    told = _told(best, "")
    draft = Article(
        asset_class=machine.asset_class,
        failure_mode=failure_mode,
        model=tx.asset(best.asset).model,
        mechanism=best.mechanism,
        remedy=best.remedy,
        title_zh=f"{best.title_zh}:{told.title_zh}",
        title_en=f"{best.title_en}: {told.title_en}",
        body_zh=f"据 {best.number} 的已验证处理草拟。",
        body_en=f"Drafted from the verified repair of {best.number}.",
        source=source,
    )
    kept = articles.save(tx, ENGINE, draft, at=at, reason=f"frequent fault, best fix {best.number}")
    tx.record(order.number, at=at, actor=ENGINE, kind="article_drafted", fields={"article": kept.id})
