"""Articles: words of two languages, versions, ranking by the published formula, drafts from frequent faults."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.ticketing.scene import ASSETS, LEAD, T0, TECHNICIAN, raised
from tests.ticketing.trace import play
from ticketing import (
    Actor,
    Article,
    Desk,
    FieldError,
    ForbiddenError,
    MissingFieldError,
    NotFoundError,
    StaleError,
    database,
)
from ticketing.knowledge.suggest import wilson_low
from ticketing.knowledge.words import translated, words
from ticketing.records import DAY

BEARING = Article(
    "pump",
    "VIB",
    title_zh="泵轴承磨损导致振动升高",
    title_en="Pump bearing wear raises vibration",
    body_zh="更换轴承 6205,检查润滑脂。",
    body_en="Replace bearing 6205-2RS and check the grease.",
    mechanism="wear",
    remedy="replace",
)
SEAL = Article("pump", "ELP", title_zh="机械密封漏油", title_en="Mechanical seal leaks oil", remedy="replace")
FILTER = Article(
    "fan", "PLU", title_zh="滤网堵塞", title_en="Clogged strainer", body_en="Clean the strainer."
)
ENGLISH_ONLY = Article("fan", "NOI", title_en="Noise from a loose belt", body_en="Tension the belts.")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("轴承磨损", ["轴承", "承磨", "磨损"]),
        ("泵", ["泵"]),
        ("Bearings, bearing!", ["bearing", "bearing"]),
        ("6205-2RS 轴承", ["6205-2rs", "轴承"]),
        ("Batteries glasses bus", ["battery", "glasse", "bus"]),
        ("Ｐ－１０１", ["p-101"]),
        ("", []),
    ],
)
def test_words_of_both_languages(given: str, found: list[str]) -> None:
    assert words(given) == found


def test_terms_are_known_in_both_languages() -> None:
    assert translated("轴承异响") == ["bearing"]
    assert translated("Oil leaks") == ["漏油"]
    assert translated("nothing of the trade") == []


@pytest.mark.parametrize(
    ("helped", "shown", "low"), [(0, 0, 0.0), (0, 5, 0.0), (1, 1, 0.2065), (8, 10, 0.4902), (80, 100, 0.7111)]
)
def test_wilsons_lower_bound(helped: int, shown: int, low: float) -> None:
    assert wilson_low(helped, shown) == pytest.approx(low, abs=1e-4)


@pytest.fixture
def library(desk: Desk) -> Iterator[Desk]:
    """Four published articles, KB-000001 to KB-000004."""
    with desk.transaction() as tx:
        for article in (BEARING, SEAL, FILTER, ENGLISH_ONLY):
            saved = tx.save_article(TECHNICIAN, article, at=T0, reason="written down")
            tx.set_article_status(LEAD, saved.id, 1, "published", at=T0)
    return desk


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("轴承", "KB-000001"),
        ("振动", "KB-000001"),
        ("6205-2RS", "KB-000001"),
        ("oil leak", "KB-000002"),
        ("漏油怎么办", "KB-000002"),
        ("strainers", "KB-000003"),
        ("皮带", "KB-000004"),  # the article has no Chinese: the glossary finds it
        ("belt noise", "KB-000004"),
    ],
)
def test_articles_are_found_in_both_languages(library: Desk, question: str, first: str) -> None:
    with library.read() as read:
        assert read.search_articles(question)[0].id == first


def test_nothing_fits_nothing(library: Desk) -> None:
    with library.read() as read:
        assert read.search_articles("zebra 斑马") == []
        assert read.search_articles("") == []


def test_both_databases_rank_alike(library: Desk) -> None:
    with library.read() as read:
        found = [article.id for article in read.search_articles("pump oil bearing 密封 strainer")]
    assert found == ["KB-000002", "KB-000001", "KB-000003"]


def test_drafts_and_retired_articles_are_not_found(desk: Desk) -> None:
    with desk.transaction() as tx:
        saved = tx.save_article(TECHNICIAN, BEARING, at=T0, reason="x")
        assert tx.search_articles("轴承") == []
        tx.set_article_status(LEAD, saved.id, 1, "published", at=T0)
        assert [a.id for a in tx.search_articles("轴承")] == [saved.id]
        tx.set_article_status(LEAD, saved.id, 2, "retired", at=T0)
        assert tx.search_articles("轴承") == []


def test_every_version_stays(library: Desk) -> None:
    with library.transaction() as tx:
        article = tx.article("KB-000001")
        changed = tx.save_article(LEAD, replace(article, title_en="New title"), at=T0 + 5, reason="clearer")
        assert (changed.version, changed.status, changed.author) == (3, "published", "wang")
        assert [(v.version, v.reason) for v in tx.article_versions("KB-000001")] == [
            (3, "clearer"),
            (2, "published"),
            (1, "written down"),
        ]
        with pytest.raises(StaleError, match="version 3, yours 2"):
            tx.save_article(LEAD, article, at=T0 + 6, reason="too late")


def test_versions_cannot_be_changed(url: str, library: Desk) -> None:
    engine = database.connect(url)
    writing = engine.execution_options(writing=True)
    with writing.connect() as connection, pytest.raises(DBAPIError, match="append-only"):
        connection.execute(text("UPDATE article_version SET author = 'me'"))
    engine.dispose()


def test_what_is_published_is_changed_by_those_who_may_publish(library: Desk) -> None:
    with library.transaction() as tx:
        article = tx.article("KB-000001")
        with pytest.raises(ForbiddenError):
            tx.save_article(TECHNICIAN, article, at=T0, reason="x")
        with pytest.raises(ForbiddenError):
            tx.set_article_status(TECHNICIAN, "KB-000001", 2, "retired", at=T0)
        with pytest.raises(ForbiddenError):
            tx.save_article(Actor("v", frozenset({"viewer"})), replace(article, id=""), at=T0, reason="x")


def test_an_article_is_checked(desk: Desk) -> None:
    with desk.transaction() as tx:
        with pytest.raises(MissingFieldError, match="failure_mode, title_zh, title_en, reason"):
            tx.save_article(LEAD, Article("pump", ""), at=T0, reason=" ")
        with pytest.raises(FieldError, match="mechanism"):
            tx.save_article(LEAD, replace(BEARING, mechanism="magic"), at=T0, reason="x")
        with pytest.raises(FieldError, match="20000"):
            tx.save_article(LEAD, replace(BEARING, body_zh="长" * 20_001), at=T0, reason="x")
        with pytest.raises(NotFoundError, match="KB-000009"):
            tx.article("KB-000009")


def test_suggestions_by_the_formula(library: Desk) -> None:
    with library.transaction() as tx:
        number = tx.alarm_raised(raised("e1", T0 + 365 * DAY)).number or ""
        (best,) = tx.suggestions(number, T0 + 365 * DAY)
    assert (best.kind, best.ref) == ("article", "KB-000001")
    assert best.reasons["same_failure_mode"] == 4
    assert best.reasons["same_class"] == 1
    assert best.reasons["fresh"] == pytest.approx(math.exp(-1), abs=1e-3)
    assert 0 < best.reasons["text"] < 2
    assert best.score == pytest.approx(sum(best.reasons.values()), abs=2e-3)
    with library.read() as read:
        (offered,) = read.offered(number)
        assert (offered.article, offered.outcome) == ("KB-000001", None)
        assert [e.type for e in read.timeline(number)] == ["open", "suggested", "occurrence"]


def test_the_same_model_counts_more(library: Desk) -> None:
    with library.transaction() as tx:
        tx.sync_assets([replace(asset, model="CR-32" if asset.code == "pump-1" else "") for asset in ASSETS])
        tx.save_article(LEAD, replace(tx.article("KB-000002"), model="CR-32"), at=T0, reason="x")
        order = tx.open_order(LEAD, at=T0, asset="pump-1", title="wet floor", failure_mode="INL")
        (found,) = tx.suggestions(order.number, T0)
    assert found.ref == "KB-000002"
    assert found.reasons["same_class_and_model"] == 3


def test_what_helped_ranks_higher(library: Desk) -> None:
    with library.transaction() as tx:
        twin = tx.save_article(LEAD, replace(BEARING, title_en="Other"), at=T0, reason="x")
        tx.set_article_status(LEAD, twin.id, 1, "published", at=T0)
        first = tx.alarm_raised(raised("e1", T0)).number or ""
        assert [offer.article for offer in tx.offered(first)] == ["KB-000001", twin.id]
        tx.feedback(TECHNICIAN, first, "KB-000001", at=T0 + 1, helped=False)
        tx.feedback(TECHNICIAN, first, twin.id, at=T0 + 1, helped=True)
        best, *_ = tx.suggestions(first, T0 + 1)
        assert (best.ref, best.reasons["helped"]) == (twin.id, pytest.approx(3 * 0.2065, abs=1e-3))
        assert [offer.outcome for offer in tx.offered(first)] == ["not_helped", "helped"]
        with pytest.raises(NotFoundError, match="not offered"):
            tx.feedback(TECHNICIAN, first, "KB-000003", at=T0 + 1, helped=True)


def test_fixes_that_held_come_first(desk: Desk) -> None:
    play(
        desk,
        """
        0s    raise a pump-1 VIB 4                  | opened 1
        1h    close 1                               | closed
        10d   raise b pump-1 VIB 4                  | opened 2
        11d   close 2                               | closed
        60d   raise c pump-1 VIB 4                  | opened 3
        61d   close 3                               | closed
        70d   raise d pump-1 VIB 4                  | opened 4
        """,
    )
    with desk.read() as read:
        found = read.suggestions("WO-2026-000004", T0 + 70 * DAY)
    # 1 came back after ten days, 3 is too young to be known to hold
    assert [(fix.kind, fix.ref, list(fix.reasons)) for fix in found] == [
        ("fix", "WO-2026-000002", ["same_asset"])
    ]
    assert (found[0].title_zh, found[0].title_en) == ("磨损 → 更换", "wear → replace")


def test_a_twin_machine_lends_its_fixes(desk: Desk) -> None:
    with desk.transaction() as tx:
        tx.sync_assets([replace(asset, model="CR-32") for asset in ASSETS])
    play(
        desk, "0s raise a pump-2 VIB 4 | opened 1\n 1h close 1 | closed\n 40d raise b pump-1 VIB 4 | opened 2"
    )
    with desk.read() as read:
        (fix,) = read.suggestions("WO-2026-000002", T0 + 40 * DAY)
    assert (fix.ref, list(fix.reasons)) == ("WO-2026-000001", ["same_model"])


def test_the_third_time_a_fault_drafts_its_article(desk: Desk) -> None:
    play(
        desk,
        """
        0s    raise a pump-1 VIB 4                  | opened 1
        1h    close 1                               | closed
        40d   raise b pump-2 VIB 4                  | opened 2
        41d   close 2                               | closed
        80d   raise c pump-1 VIB 4                  | opened 3
        81d   close 3                               | closed
        """,
    )
    with desk.read() as read:
        (draft,) = read.articles(status="draft")
        assert (draft.asset_class, draft.failure_mode, draft.remedy) == ("pump", "VIB", "replace")
        assert draft.source == "frequent:pump:VIB"
        assert "WO-2026-000002" in draft.body_en  # both fixes held: the later one
        assert [e.type for e in read.timeline("WO-2026-000003")].count("article_drafted") == 1
    with desk.transaction() as tx:
        tx.set_article_status(LEAD, draft.id, 1, "published", at=T0 + 82 * DAY)
    play(desk, "83d raise d pump-2 VIB 4 | opened 4")
    with desk.read() as read:
        assert len(read.articles()) == 1
        assert [offer.article for offer in read.offered("WO-2026-000004")] == [draft.id]
