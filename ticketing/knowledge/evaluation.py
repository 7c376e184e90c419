"""How often the right repair stood among the first three suggestions: hit@3 over orders whose end is known.

Each closed order that worked is a question with a known answer, its mechanism and remedy. It is asked as it stood
when it opened: fixes count only if they were verified by then, articles only if they were written by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select

from ticketing.knowledge import articles
from ticketing.knowledge.suggest import suggestions
from ticketing.reading import Reading
from ticketing.records import Order, State, Suggestion
from ticketing.tables import work_order

Repair = tuple[str | None, str | None]  # mechanism, remedy


@dataclass(slots=True)
class Score:
    """``hits`` of ``asked`` questions; ``silent`` got no suggestion at all (and count as missed)."""

    asked: int = 0
    silent: int = 0
    hits: int = 0

    @property
    def share(self) -> float | None:
        """hit@3 in per cent; None where nothing was asked."""
        return 100 * self.hits / self.asked if self.asked else None

    def count(self, repairs: Sequence[Repair], right: Repair) -> bool:
        """One more question, and whether the right repair was among those shown."""
        hit = right in repairs
        self.asked += 1
        self.silent += not repairs
        self.hits += hit
        return hit


@dataclass(slots=True)
class Evaluation:
    """The two lists that people see, three fixes and three articles, apart and together; what was missed."""

    fixes: Score = field(default_factory=Score)
    articles: Score = field(default_factory=Score)
    together: Score = field(default_factory=Score)
    by_failure_mode: dict[str, Score] = field(default_factory=dict)
    missed: list[str] = field(default_factory=list)


def evaluate(read: Reading, *, start: int = 0, limit: int = 1000) -> Evaluation:
    """Ask the newest ``limit`` orders that opened since ``start`` again."""
    query = (
        select(work_order.c.number)
        .where(
            read.here(work_order, state=State.CLOSED, outcome="worked"),
            work_order.c.opened_at >= start,
            work_order.c.failure_mode.is_not(None),
            work_order.c.mechanism.is_not(None),
            work_order.c.remedy.is_not(None),
        )
        .order_by(work_order.c.opened_at.desc(), work_order.c.number.desc())
        .limit(limit)
    )
    found = Evaluation()
    for number in read.connection.scalars(query).all():
        order = read.order(number)
        right = (order.mechanism, order.remedy)
        shown = _shown_then(read, order)
        fixes = [_repair(read, each) for each in shown if each.kind == "fix"]
        written = [_repair(read, each) for each in shown if each.kind == "article"]
        found.fixes.count(fixes, right)
        found.articles.count(written, right)
        found.by_failure_mode.setdefault(order.failure_mode or "", Score()).count(fixes + written, right)
        if not found.together.count(fixes + written, right):
            found.missed.append(number)
    return found


def _shown_then(read: Reading, order: Order) -> Sequence[Suggestion]:
    """The suggestions for the order as it stood when it opened."""
    at = order.opened_at
    return [
        each
        for each in suggestions(read, order.number, at)
        if each.kind == "fix" or articles.first_written(read, each.ref) <= at
    ]


def _repair(read: Reading, suggestion: Suggestion) -> Repair:
    if suggestion.kind == "fix":
        order = read.order(suggestion.ref)
        return order.mechanism, order.remedy
    article = articles.get(read, suggestion.ref)
    return article.mechanism, article.remedy
