"""The published formulas. A window is [start, end); every figure is None when there is nothing to divide by.

Each takes the stories of the window; times in the results are in hours, shares in per cent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, median

from ticketing.kpi.stories import Story
from ticketing.records import DAY, HOUR, State

REPAIRS = ("corrective", "condition")
PROVISIONAL = 30 * DAY


@dataclass(frozen=True, slots=True)
class Window:
    """What is looked at: [start, end) in ms, the holds that stop clocks, how long machines ran, plans."""

    start: int
    end: int
    pausing: tuple[str, ...] = ()
    running_ms: int | None = None
    plans_skipped: int = 0

    def __contains__(self, at: int | None) -> bool:
        return at is not None and self.start <= at < self.end


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with how many orders it rests on; ``more`` holds what is shown beside it."""

    value: float | None
    n: int
    more: Mapping[str, float | None] = field(default_factory=dict)


def first_response(stories: Sequence[Story], window: Window) -> Figure:
    """FRT: mean(first human act − opened) over orders opened in the window; automatic acts do not count."""
    opened = (story for story in stories if story.order.opened_at in window)
    return _hours(s.first_act - s.order.opened_at for s in opened if s.first_act is not None)


def time_to_accept(stories: Sequence[Story], window: Window) -> Figure:
    """MTTA: mean(accepted − opened) over orders opened in the window."""
    opened = (story for story in stories if story.order.opened_at in window)
    return _hours(s.accepted - s.order.opened_at for s in opened if s.accepted is not None)


def time_to_resolve(stories: Sequence[Story], window: Window) -> Figure:
    """mean(last resolve − opened − pausing holds) over orders closed in the window; beside it with the holds."""
    closed = [story for story in _closed(stories, window) if story.resolved]
    whole = [story.resolved[-1] - story.order.opened_at for story in closed]
    net = [
        span - story.paused(window.pausing, story.resolved[-1])
        for span, story in zip(whole, closed, strict=True)
    ]
    figure = _hours(net)
    return Figure(figure.value, figure.n, {**figure.more, "with_holds": _hours(whole).value})


def repair_time(stories: Sequence[Story], window: Window) -> Figure:
    """MTTR: active repair time ÷ corrective and condition orders resolved in the window (ISO 14224's sense)."""
    repaired = [s for s in stories if s.order.type in REPAIRS and s.resolved and s.resolved[-1] in window]
    return _hours(story.time_in(State.IN_PROGRESS, story.resolved[-1]) for story in repaired)


def down_time(stories: Sequence[Story], window: Window) -> Figure:
    """MDT: from the machine's stop to its running again, waiting included; downtimes that ended in the window."""
    ended = [story.order for story in stories if story.order.downtime_end in window]
    return _hours(order.downtime_end - order.downtime_start for order in ended)


def time_between_failures(stories: Sequence[Story], window: Window) -> Figure:
    """MTBF: running time ÷ failures (the machine stopped, and the repair found something); none: "at least"."""
    failures = sum(
        story.order.outcome == "worked"
        and story.order.stop_kind not in (None, "none")
        and story.order.opened_at in window
        for story in stories
    )
    if window.running_ms is None:
        return Figure(None, failures)
    ran = window.running_ms / HOUR
    return Figure(ran / failures if failures else None, failures, {"at_least": None if failures else ran})


def fixed_at_once(stories: Sequence[Story], window: Window) -> Figure:
    """FCR: closed without reopening, re-inspection or recurrence within 30 days ÷ closed."""
    closed = _closed(stories, window)
    good = [
        story
        for story in closed
        if not story.reopened
        and not story.reinspected
        and (story.came_back is None or story.came_back >= story.order.closed_at + PROVISIONAL)
    ]
    young = sum(story.order.closed_at > window.end - PROVISIONAL for story in closed)
    return _share(len(good), len(closed), provisional=young)


def satisfaction(stories: Sequence[Story], window: Window) -> Figure:
    """CSAT: four or five stars ÷ rated; beside it the mean and how many were rated at all."""
    closed = _closed(stories, window)
    stars = [story.order.stars for story in closed if story.order.stars is not None]
    answered = 100 * len(stars) / len(closed) if closed else None
    mean = fmean(stars) if stars else None
    return _share(sum(n >= 4 for n in stars), len(stars), mean_stars=mean, answered=answered)


def accepted_in_time(stories: Sequence[Story], window: Window) -> Figure:
    """SLA, acceptance: accepted by the due time ÷ orders whose due time lies in the window."""
    due = [s for s in stories if s.order.due_ack_at in window and not _gone(s, s.order.due_ack_at)]
    return _share(
        sum(s.order.accepted_at is not None and s.order.accepted_at <= s.order.due_ack_at for s in due),
        len(due),
    )


def resolved_in_time(stories: Sequence[Story], window: Window) -> Figure:
    """SLA, repair: resolved (for the last time) by the due time ÷ orders whose due time lies in the window."""
    due = [s for s in stories if s.order.due_resolve_at in window and not _gone(s, s.order.due_resolve_at)]
    met = sum(s.order.resolved_at is not None and s.order.resolved_at <= s.order.due_resolve_at for s in due)
    return _share(met, len(due))


def backlog(stories: Sequence[Story], window: Window) -> Figure:
    """Orders open at the end of the window; their age in hours beside it."""
    done = (None, State.CLOSED, State.CANCELLED)
    ages = [
        (window.end - s.order.opened_at) / HOUR for s in stories if s.state_at(window.end - 1) not in done
    ]
    more = {
        "age_p50": median(ages) if ages else None,
        "age_p90": _p90(ages),
        "age_max": max(ages, default=None),
    }
    return Figure(float(len(ages)), len(ages), more)


def time_in_state(stories: Sequence[Story], window: Window) -> Figure:
    """Where the hours of the orders closed in the window went: each state's share; together 100."""
    closed = _closed(stories, window)
    spent = dict.fromkeys((state for state in State if state not in (State.CLOSED, State.CANCELLED)), 0)
    for story in closed:
        for state, start, until in story.spans(story.order.closed_at):
            if state in spent:
                spent[state] += until - start
    total = sum(spent.values())
    shares = {state.value: 100 * ms / total if total else None for state, ms in spent.items()}
    return Figure(total / HOUR if closed else None, len(closed), shares)


def planned_in_time(stories: Sequence[Story], window: Window) -> Figure:
    """PM compliance: preventive orders resolved by their due time ÷ times that plans fell due in the window.

    A due time at which nothing opened, the order before being open still, counts as missed.
    """
    due = resolved_in_time([story for story in stories if story.order.type == "preventive"], window)
    met = round((due.value or 0) * due.n / 100)
    return _share(met, due.n + window.plans_skipped)


FORMULAS: Mapping[str, Callable[[Sequence[Story], Window], Figure]] = {
    "first_response": first_response,
    "time_to_accept": time_to_accept,
    "time_to_resolve": time_to_resolve,
    "repair_time": repair_time,
    "down_time": down_time,
    "time_between_failures": time_between_failures,
    "fixed_at_once": fixed_at_once,
    "satisfaction": satisfaction,
    "accepted_in_time": accepted_in_time,
    "resolved_in_time": resolved_in_time,
    "planned_in_time": planned_in_time,
    "backlog": backlog,
    "time_in_state": time_in_state,
}


def _closed(stories: Sequence[Story], window: Window) -> list[Story]:
    return [s for s in stories if s.order.state == State.CLOSED and s.order.closed_at in window]


def _gone(story: Story, at: int) -> bool:
    """Cancelled before it was due: nobody owed anything."""
    return story.state_at(at) is State.CANCELLED


def _hours(spans: Iterable[int]) -> Figure:
    hours = [span / HOUR for span in spans]
    more = {"median": median(hours) if hours else None, "p90": _p90(hours)}
    return Figure(fmean(hours) if hours else None, len(hours), more)


def _share(part: int, whole: int, **more: float | None) -> Figure:
    return Figure(100 * part / whole if whole else None, whole, more)


def _p90(values: Sequence[float]) -> float | None:
    """The smallest value that at least nine in ten do not exceed (nearest rank)."""
    return sorted(values)[math.ceil(0.9 * len(values)) - 1] if values else None
