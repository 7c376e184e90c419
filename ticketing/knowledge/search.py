"""Finding articles by words: BM25 over an index of our own, equal on SQLite and PostgreSQL.

Robertson and Zaragoza, The Probabilistic Relevance Framework: BM25 and Beyond (2009), with k1 = 1.2, b = 0.75.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache

from sqlalchemy import String, bindparam, func, select

from ticketing.knowledge.articles import COLUMNS
from ticketing.knowledge.words import GLOSSARY, translated, words
from ticketing.reading import Reading
from ticketing.records import Article
from ticketing.statements import Once, one_of
from ticketing.tables import article, article_word, same

K1, B = 1.2, 0.75


PUBLISHED = Once(
    select(func.count(), func.coalesce(func.sum(article.c.length), 0)).where(
        same(article), article.c.status == "published"
    )
)


@cache
def _postings(size: int) -> Once:
    """Where so many words stand."""
    wanted = [bindparam(f"word_{n}", type_=String) for n in range(size)]
    return Once(
        select(article_word.c.word, article_word.c.id, article_word.c.hits, article.c.length)
        .join(article, (article.c.site == article_word.c.site) & (article.c.id == article_word.c.id))
        .where(same(article_word), article_word.c.word.in_(wanted))
        .order_by(article_word.c.word, article_word.c.id)
    )


def search(
    read: Reading, text: str, *, limit: int = 10, glossary: Mapping[str, str] = GLOSSARY
) -> list[Article]:
    """Published articles for ``text``, the best first; then those that only the other language's words find."""
    ids = _ranked(match(read, words(text)))
    if len(ids) < limit:
        ids += [other for other in _ranked(match(read, translated(text, glossary))) if other not in ids]
    wanted = ids[:limit]
    rows = read.connection.execute(select(*COLUMNS).where(read.here(article), article.c.id.in_(wanted)))
    return sorted((Article(**row) for row in rows.mappings()), key=lambda found: wanted.index(found.id))


def match(read: Reading, asked: Iterable[str]) -> dict[str, float]:
    """How well each published article fits these words, from 0 to below 1 (1: only these words, endlessly often)."""
    wanted = sorted(set(asked))
    ((count, total),) = ((int(n), float(length)) for n, length in read.rows(PUBLISHED, read.of()))
    if not wanted or not count or not total:
        return {}
    size, given = one_of("word", wanted)
    postings = read.rows(_postings(size), {**read.of(), **given})
    spread: dict[str, int] = {}
    for row in postings:
        spread[row.word] = spread.get(row.word, 0) + 1
    rarity = {word: _rarity(count, spread.get(word, 0)) for word in wanted}
    best = sum(rarity.values()) * (K1 + 1)
    fits: dict[str, float] = {}
    for row in postings:
        damped = K1 * (1 - B + B * row.length * count / total)
        gain = rarity[row.word] * row.hits * (K1 + 1) / (row.hits + damped)
        fits[row.id] = fits.get(row.id, 0.0) + gain / best
    return fits


def _rarity(count: int, holding: int) -> float:
    return math.log(1 + (count - holding + 0.5) / (holding + 0.5))


def _ranked(fits: Mapping[str, float]) -> list[str]:
    return sorted(fits, key=lambda found: (-fits[found], found))
