"""How often the right repair stood among the first three suggestions: hit@3 over orders whose end is known.

Each closed order that worked is a question with a known answer, its mechanism and remedy. It is asked as it stood
when it opened: fixes count only if they were verified by then, articles only if they were written by then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import select

from ticketing.knowledge import articles
from ticketing.knowledge.suggest import SHOWN, suggestions
from ticketing.reading import Reading
from ticketing.records import Order, State, Suggestion
from ticketing.tables import work_order


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


@dataclass(slots=True)
class Evaluation:
    """The whole, by failure mode, and the orders that were missed."""

    whole: Score = field(default_factory=Score)
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
        shown = shown_then(read, order)
        hit = (order.mechanism, order.remedy) in [_repair(read, each) for each in shown]
        for score in (found.whole, found.by_failure_mode.setdefault(order.failure_mode or "", Score())):
            score.asked += 1
            score.silent += not shown
            score.hits += hit
        if not hit:
            found.missed.append(number)
    return found


def shown_then(read: Reading, order: Order) -> Sequence[Suggestion]:
    """The first suggestions for the order as it stood when it opened."""
    at = order.opened_at
    known = [
        each
        for each in suggestions(read, order.number, at)
        if each.kind == "fix" or articles.first_written(read, each.ref) <= at
    ]
    return known[:SHOWN]


def _repair(read: Reading, suggestion: Suggestion) -> tuple[str | None, str | None]:
    if suggestion.kind == "fix":
        order = read.order(suggestion.ref)
        return order.mechanism, order.remedy
    article = articles.get(read, suggestion.ref)
    return article.mechanism, article.remedy
