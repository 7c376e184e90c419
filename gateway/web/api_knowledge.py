"""The knowledge base as an API: articles in two languages with all their versions, search, feedback."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import ConfigDict, Field

from gateway.web.api import Count, Given, IfMatch, Repeatable, etag, refused, version_of
from gateway.web.house import Hall, Who, may
from ticketing import Article, ArticleVersion

router = APIRouter(tags=["Knowledge"])


class Draft(Given):
    """What was learnt about a class of assets and a failure mode; a title in one language at least."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "asset_class": "pump",
                    "failure_mode": "VIB",
                    "title_zh": "轴承磨损引起的振动",
                    "title_en": "Vibration from a worn bearing",
                    "body_zh": "听轴承声音,测振动频谱;更换轴承并重新对中。",
                    "body_en": "Listen, take the spectrum; replace the bearing and align.",
                    "mechanism": "wear",
                    "remedy": "replace",
                    "reason": "first written",
                }
            ]
        }
    )

    asset_class: str
    failure_mode: str
    title_zh: str = ""
    title_en: str = ""
    body_zh: str = ""
    body_en: str = ""
    model: str = ""
    mechanism: str | None = None
    remedy: str | None = None
    reason: str = Field(description="why it is written or changed")
    version: Count | None = Field(None, description="of a change: the version that was read")


class Status(Given):
    """Published articles are suggested and found; retired ones are kept."""

    status: Literal["published", "retired"]
    version: Count | None = None


class Feedback(Given):
    """Whether an article that was offered on an order helped."""

    article: str = Field(examples=["KB-000001"])
    helped: bool


@router.get("/api/articles", dependencies=[may("article.read")], responses=refused())
def articles(
    house: Hall,
    q: Annotated[str, Query(description="words in Chinese or English: the best first", max_length=200)] = "",
    status: Literal["", "draft", "published", "retired"] = "",
    asset_class: Annotated[str, Query(max_length=64)] = "",
) -> list[Article]:
    """All articles by id, or with ``q`` the ten published ones that fit best."""
    with house.desk.read() as desk:
        if q.strip():
            return desk.search_articles(q)
        return desk.articles(status=status or None, asset_class=asset_class or None)


@router.post("/api/articles", status_code=201, dependencies=[may("article.write")], responses=refused(409))
def write(once: Repeatable, given: Draft, response: Response) -> Article:
    """A new article, a draft until somebody publishes it."""
    fields = given.model_dump(exclude={"reason", "version"})
    done = once(lambda desk, who, now: desk.save_article(who, Article(**fields), at=now, reason=given.reason))
    response.headers.update({**etag(done["version"]), "Location": f"/api/articles/{done['id']}"})
    return Article(**done)


@router.get("/api/articles/{article}", dependencies=[may("article.read")], responses=refused(404))
def article(house: Hall, article: str, response: Response) -> Article:
    """One article as it stands; its ETag is what a change wants as If-Match."""
    with house.desk.read() as desk:
        found = desk.article(article)
    response.headers.update(etag(found.version))
    return found


@router.put("/api/articles/{article}", dependencies=[may("article.write")], responses=refused(404, 409))
def rewrite(
    *, house: Hall, article: str, who: Who, given: Draft, tag: IfMatch, response: Response
) -> Article:
    """The next version; 409 if somebody wrote one meanwhile. A published one is for who may publish."""
    version = version_of(given.version, tag, "a change of an article")
    fields = given.model_dump(exclude={"reason", "version"})
    with house.desk.transaction() as desk:
        draft = Article(**fields, id=article, version=version)
        kept = desk.save_article(who, draft, at=house.now(), reason=given.reason)
    response.headers.update(etag(kept.version))
    return kept


@router.post(
    "/api/articles/{article}/status", dependencies=[may("article.publish")], responses=refused(404, 409)
)
def set_status(house: Hall, article: str, who: Who, given: Status, tag: IfMatch) -> Article:
    """Publish the article, or retire it."""
    version = version_of(given.version, tag, "a change of an article")
    with house.desk.transaction() as desk:
        return desk.set_article_status(who, article, version, given.status, at=house.now())


@router.get("/api/articles/{article}/versions", dependencies=[may("article.read")], responses=refused(404))
def versions(house: Hall, article: str) -> list[ArticleVersion]:
    """Who wrote which version, when and why; the newest first."""
    with house.desk.read() as desk:
        desk.article(article)
        return desk.article_versions(article)


@router.post(
    "/api/work-orders/{number}/feedback",
    status_code=204,
    dependencies=[may("article.write")],
    responses=refused(404),
)
def feedback(house: Hall, number: str, who: Who, given: Feedback) -> None:
    """Say whether a suggestion helped: what helps is suggested higher next time."""
    with house.desk.transaction() as desk:
        desk.feedback(who, number, given.article, at=house.now(), helped=given.helped)
