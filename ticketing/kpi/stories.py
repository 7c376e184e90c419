"""An order's life as the figures need it, told by its events."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, bindparam, case, literal, or_, select

from ticketing.moves import MOVES
from ticketing.reading import Reading
from ticketing.records import State
from ticketing.statements import Once
from ticketing.tables import IS_OPEN, asset, same, wo_event, wo_link, work_order

TOLD = ("open", *MOVES)  # what else stands in the history changes no state and is nobody's act
HUMAN_ACTS = ("assign", "accept", "start", "comment")


@dataclass(slots=True)
class Story:
    """One order: its row, when it changed state, and its milestones. All times in ms."""

    order: Any
    asset_class: str | None
    states: list[tuple[int, State]] = field(default_factory=list)
    holds: list[tuple[int, str]] = field(default_factory=list)  # when, why
    first_act: int | None = None
    accepted: int | None = None
    resolved: list[int] = field(default_factory=list)
    reopened: bool = False
    reinspected: bool = False
    came_back: int | None = None  # when the next order of the fault opened

    def state_at(self, at: int) -> State | None:
        """The state at that time; None before it opened."""
        past = [state for time, state in self.states if time <= at]
        return past[-1] if past else None

    def spans(self, end: int) -> Iterator[tuple[State, int, int]]:
        """Every stay in a state up to ``end``: state, from, until."""
        for (start, state), (until, _) in zip(self.states, [*self.states[1:], (end, None)], strict=True):
            yield state, start, max(start, min(until, end))

    def time_in(self, state: State, end: int) -> int:
        """All the time it stood in that state up to ``end``."""
        return sum(until - start for each, start, until in self.spans(end) if each is state)

    def paused(self, pausing: tuple[str, ...], end: int) -> int:
        """The time on hold for reasons that stop the clock."""
        reasons = dict(self.holds)
        stays = [(start, until) for state, start, until in self.spans(end) if state is State.ON_HOLD]
        return sum(until - start for start, until in stays if reasons.get(start) in pausing)


def _touched(origin: ColumnElement[bool]) -> Once:
    """The orders that matter between two times."""
    row = work_order.c
    start, end = (bindparam(name, type_=BigInteger) for name in ("start", "until"))
    touched = or_(
        row.opened_at >= start,
        IS_OPEN,
        row.closed_at >= start,
        and_(row.due_resolve_at >= start, row.due_resolve_at < end),
    )
    return Once(
        select(*(row[name] for name in NEEDED), asset.c.asset_class)
        .outerjoin(asset, and_(asset.c.site == row.site, asset.c.code == row.asset))
        .where(same(work_order), touched, origin, row.opened_at < end)
        .order_by(row.number)
    )


NEEDED = (
    *("number", "type", "state", "opened_at", "accepted_at", "resolved_at", "closed_at", "due_ack_at"),
    *("due_resolve_at", "stars", "outcome", "stop_kind", "downtime_start", "downtime_end"),
)
OURS, IMPORTED = _touched(work_order.c.origin != "import"), _touched(work_order.c.origin == "import")
EVENTS = Once(
    select(
        wo_event.c.number,
        wo_event.c.at,
        wo_event.c.type,
        wo_event.c.actor_kind,
        case((wo_event.c.type == "hold", wo_event.c.payload)),  # the rest follows from the kind of move
    )
    .where(
        same(wo_event),
        wo_event.c.at >= bindparam("first"),
        wo_event.c.type.in_([literal(each) for each in TOLD]),
    )
    .order_by(wo_event.c.seq)
)
FOLLOWED = Once(
    select(wo_link.c.other, wo_link.c.kind, work_order.c.opened_at)
    .join(work_order, and_(work_order.c.site == wo_link.c.site, work_order.c.number == wo_link.c.number))
    .where(same(wo_link), or_(wo_link.c.kind == "recurrence_of", wo_link.c.kind == "reinspects"))
)


def stories(read: Reading, start: int, end: int, *, imported: bool = False) -> list[Story]:
    """The orders that matter between two times: opened, closed or still open then."""
    span = {"start": start, "until": end}
    orders = read.rows(IMPORTED if imported else OURS, {**read.of(), **span})
    found = {each.number: Story(each, each.asset_class) for each in orders}
    _tell(read, found)
    _link(read, found)
    return list(found.values())


def _tell(read: Reading, found: Mapping[str, Story]) -> None:
    """Read the events in their order and let each story remember what it needs."""
    first = min((story.order.opened_at for story in found.values()), default=0)
    for number, at, kind, actor_kind, hold in read.rows(EVENTS, {**read.of(), "first": first}):
        if (story := found.get(number)) is not None:
            _remember(story, at, kind, actor_kind, hold)


def _remember(story: Story, at: int, kind: str, actor_kind: str, hold: str | None) -> None:
    if story.states:
        at = max(at, story.states[-1][0])  # timers act at their due time, which may lie before the last move
    if (state := State.NEW if kind == "open" else MOVES[kind].to) is not None:
        story.states.append((at, state))
    if actor_kind == "person" and kind in HUMAN_ACTS and story.first_act is None:
        story.first_act = at
    if kind in ("accept", "start") and story.accepted is None:
        story.accepted = at
    if hold is not None:
        story.holds.append((at, json.loads(hold)["fields"]["hold_reason"]))
    elif kind == "resolve":
        story.resolved.append(at)
    elif kind in ("reject", "recur"):
        story.reopened = True


def _link(read: Reading, found: Mapping[str, Story]) -> None:
    for row in read.rows(FOLLOWED, read.of()):
        if (story := found.get(row.other)) is None:
            continue
        if row.kind == "reinspects":
            story.reinspected = True
        else:
            story.came_back = min(row.opened_at, story.came_back or row.opened_at)
