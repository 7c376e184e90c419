"""Writing articles: versions for ever, a draft is published by somebody, what is published is found by its words."""

from __future__ import annotations

from dataclasses import asdict, replace

from sqlalchemy import delete, func, insert, select, update

from ticketing.errors import FieldError, MissingFieldError, NotFoundError, StaleError
from ticketing.events import canonical
from ticketing.fields import FIELDS
from ticketing.knowledge.words import counted
from ticketing.permissions import require
from ticketing.reading import Reading
from ticketing.records import Actor, Article, ArticleVersion
from ticketing.tables import article, article_version, article_word
from ticketing.writing import Writing

COLUMNS = [article.c[name] for name in Article.__dataclass_fields__]
TITLE_WEIGHT = 3  # a word of the title counts as three of the body
BODY_LIMIT = 20_000  # characters per language


def get(read: Reading, article_id: str) -> Article:
    """The article as it stands; NotFoundError."""
    row = (
        read.connection.execute(select(*COLUMNS).where(read.here(article, id=article_id))).mappings().first()
    )
    if row is None:
        raise NotFoundError(f"there is no article {article_id}")
    return Article(**row)


def save(tx: Writing, actor: Actor, draft: Article, *, at: int, reason: str) -> Article:
    """A new article (``id`` empty), or the next version of one; ``version`` is the one that was read."""
    require(actor, "article.write")
    _check(draft, reason)
    if not draft.id:
        return _keep(
            tx, replace(draft, id=_next_id(tx), version=1, status="draft", author=actor.name, at=at), reason
        )
    before = _unchanged(tx, draft.id, draft.version)
    if before.status == "published":
        require(actor, "article.publish")
    after = replace(draft, version=before.version + 1, status=before.status, source=before.source)
    return _keep(tx, replace(after, author=actor.name, at=at), reason)


def set_status(tx: Writing, actor: Actor, article_id: str, version: int, status: str, *, at: int) -> Article:
    """Publish an article, or retire it."""
    require(actor, "article.publish")
    if status not in ("published", "retired"):
        raise FieldError(["status"], f"status must be published or retired; got {status!r}")
    before = _unchanged(tx, article_id, version)
    after = replace(before, status=status, version=version + 1, author=actor.name, at=at)
    return _keep(tx, after, status)


def listed(read: Reading, *, status: str | None = None, asset_class: str | None = None) -> list[Article]:
    """Articles by id."""
    given = {"status": status, "asset_class": asset_class}
    where = read.here(article, **{name: value for name, value in given.items() if value is not None})
    rows = read.connection.execute(select(*COLUMNS).where(where).order_by(article.c.id))
    return [Article(**row) for row in rows.mappings()]


def versions(read: Reading, article_id: str) -> list[ArticleVersion]:
    """All that the article was, newest first."""
    rows = read.connection.execute(
        select(
            article_version.c.version,
            article_version.c.at,
            article_version.c.author,
            article_version.c.reason,
        )
        .where(read.here(article_version, id=article_id))
        .order_by(article_version.c.version.desc())
    )
    return [ArticleVersion(*row) for row in rows]


def first_written(read: Reading, article_id: str) -> int:
    """When the article's first version was written."""
    return versions(read, article_id)[-1].at


def _check(draft: Article, reason: str) -> None:
    missing = [name for name in ("asset_class", "failure_mode") if not getattr(draft, name)]
    if not (draft.title_zh or draft.title_en):
        missing += ["title_zh", "title_en"]
    if not reason.strip():
        missing.append("reason")
    if missing:
        raise MissingFieldError("save an article", missing)
    for field, value in (("mechanism", draft.mechanism), ("remedy", draft.remedy)):
        if value is not None and (problem := FIELDS[field].problem(value)):
            raise FieldError([field], f"{field} {problem}")
    if max(len(draft.body_zh), len(draft.body_en)) > BODY_LIMIT:
        raise FieldError(["body_zh", "body_en"], f"a body may have {BODY_LIMIT} characters")


def _unchanged(tx: Writing, article_id: str, version: int) -> Article:
    before = get(tx, article_id)
    if before.version != version:
        raise StaleError(f"{article_id} was changed meanwhile (version {before.version}, yours {version})")
    return before


def _next_id(tx: Writing) -> str:
    count = tx.connection.scalar(select(func.count()).select_from(article).where(tx.here(article))) or 0
    return f"KB-{count + 1:06d}"  # articles are never deleted, and the site's lock is held


def _keep(tx: Writing, kept: Article, reason: str) -> Article:
    """Write the article, its version and its words."""
    kept = kept if kept.source else replace(kept, source=f"written:{kept.id}")
    counts = counted(
        [
            (kept.title_zh, TITLE_WEIGHT),
            (kept.title_en, TITLE_WEIGHT),
            (kept.body_zh, 1),
            (kept.body_en, 1),
        ]
    )
    row = {**asdict(kept), "length": sum(counts.values())}
    if kept.version == 1:
        tx.add(article, **row)
    else:
        tx.connection.execute(update(article).where(tx.here(article, id=kept.id)).values(**row))
    history = {"version": kept.version, "at": kept.at, "author": kept.author, "reason": reason}
    tx.add(article_version, id=kept.id, **history, body=canonical(asdict(kept)))
    tx.connection.execute(delete(article_word).where(tx.here(article_word, id=kept.id)))
    if kept.status == "published" and counts:
        found_by = [
            {"site": tx.site, "id": kept.id, "word": word, "hits": hits} for word, hits in counts.items()
        ]
        tx.connection.execute(insert(article_word), found_by)
    return kept
