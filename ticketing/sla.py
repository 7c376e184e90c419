"""The order's clocks: by when it must be accepted and resolved, what stops them, and who is told.

Due times are set by events and stand in them; here they are worked out. One timer per order waits for the
next step of its policy. While nobody hears any of its alarms an order is frozen: that time does not count.
"""

from __future__ import annotations

from sqlalchemy import select

from ticketing import timers
from ticketing.calendar import add, between
from ticketing.policy import Policy, Step
from ticketing.records import ENGINE, Order, State
from ticketing.statements import Once
from ticketing.tables import escalation, same, timer
from ticketing.writing import Writing

TIMER_KIND = "escalate"
FROZEN = "frozen"  # a timer that never falls due: it marks the order
FREEZABLE = (State.NEW, State.ASSIGNED, State.IN_PROGRESS)
IS_FROZEN = Once(select(timer.c.subject).where(same(timer, "kind", "subject")))
ALL_FROZEN = Once(select(timer.c.subject).where(same(timer, "kind")).order_by(timer.c.subject))
TAKEN = Once(select(escalation.c.step).where(same(escalation, "number")))


def hastened(policy: Policy, order: Order, priority: int, at: int) -> dict[str, int | None]:
    """The order became more urgent: due times only come nearer, and acceptance is asked again."""
    ack, resolve = policy.due(priority, at)
    return {
        "priority": priority,
        "due_ack_at": min(order.due_ack_at, ack),
        "due_resolve_at": min(order.due_resolve_at, resolve),
        "accepted_at": None,
    }


def relaxed(policy: Policy, order: Order, priority: int) -> dict[str, int | None]:
    """Somebody made the order less urgent: the due times that it would have had."""
    ack, resolve = policy.due(priority, order.opened_at)
    return {
        "priority": priority,
        "due_ack_at": max(order.due_ack_at, ack),
        "due_resolve_at": max(order.due_resolve_at, resolve),
    }


def reopened(policy: Policy, order: Order, at: int) -> dict[str, int]:
    """Back from resolved: that time does not count, and acceptance is asked again."""
    assert order.resolved_at is not None
    return {"due_ack_at": policy.due(order.priority, at)[0], **_shifted(policy, order, order.resolved_at, at)}


def resumed(tx: Writing, policy: Policy, order: Order, at: int) -> dict[str, int]:
    """Back from a hold: its time does not count if the policy says so."""
    if order.hold_reason not in policy.pausing:
        return {}
    return _shifted(policy, order, _still_since(tx, order, "hold"), at)


def freeze(tx: Writing, order: Order, at: int) -> None:
    """Nobody is told to hurry until it is thawed."""
    timers.stop(tx, TIMER_KIND, order.number)
    tx.add(timer, kind=FROZEN, subject=order.number, asset=None, due_at=None, left_ms=0)
    tx.record(order.number, at=at, actor=ENGINE, kind="frozen")


def is_frozen(tx: Writing, number: str) -> bool:
    """Whether its clocks stand still since all its alarms are silent."""
    return tx.row(IS_FROZEN, tx.of(kind=FROZEN, subject=number)) is not None


def frozen(tx: Writing) -> list[str]:
    """The orders whose clocks stand still so."""
    return [row.subject for row in tx.rows(ALL_FROZEN, tx.of(kind=FROZEN))]


def thaw(tx: Writing, order: Order, at: int) -> Order:
    """Its clocks go on, later by the time that it was frozen."""
    timers.stop(tx, FROZEN, order.number)
    policy, since = tx.policy_of(order), _still_since(tx, order, "frozen")
    due = _shifted(policy, order, since, at)
    if order.accepted_at is None:
        calendar = policy.calendar_of(order.priority)
        due["due_ack_at"] = add(calendar, order.due_ack_at, between(calendar, since, at))
    order = tx.change(order, at=at, actor=ENGINE, kind="thawed", columns=due)
    schedule(tx, order, at)
    return order


def _still_since(tx: Writing, order: Order, kind: str) -> int:
    """When the clock was stopped, or set anew since."""
    return max(
        event.at
        for event in tx.timeline(order.number)
        if event.type == kind or "due_resolve_at" in event.payload.get("set", {})
    )


def _shifted(policy: Policy, order: Order, since: int, at: int) -> dict[str, int]:
    calendar = policy.calendar_of(order.priority)
    return {"due_resolve_at": add(calendar, order.due_resolve_at, between(calendar, since, at))}


def schedule(tx: Writing, order: Order, at: int, *, new: bool = False) -> None:
    """Wait for the order's next step, if there is one; a ``new`` order has all of them before it."""
    if not new and is_frozen(tx, order.number):
        return
    steps = tx.policy.steps if new else steps_left(tx, order)
    due = [time for step in steps if (time := _time_of(tx, order, step)) is not None]
    if due:
        timers.start(tx, TIMER_KIND, order.number, at=max(at, min(due)), ms=0)
    elif not new:
        timers.stop(tx, TIMER_KIND, order.number)


def steps_due(tx: Writing, order: Order, at: int) -> list[Step]:
    """The steps to take now, in the policy's order."""
    times = ((step, _time_of(tx, order, step)) for step in steps_left(tx, order))
    return [step for step, time in times if time is not None and time <= at]


def steps_left(tx: Writing, order: Order) -> list[Step]:
    """The steps that the order has not taken yet."""
    names = {row.step for row in tx.rows(TAKEN, tx.of(number=order.number))}
    return [step for step in tx.policy_of(order).steps if step.name not in names]


def _time_of(tx: Writing, order: Order, step: Step) -> int | None:
    """When the step falls due as the order stands; None: not as things are."""
    if not order.open or order.state is State.RESOLVED or order.priority not in step.priorities:
        return None
    match step.clock:
        case "open":
            return order.opened_at
        case "ack":
            return None if order.accepted_at is not None else order.due_ack_at - step.before
        case "resolve":
            paused = order.state is State.ON_HOLD and order.hold_reason in tx.policy_of(order).pausing
            return None if paused else order.due_resolve_at - step.before
    raise ValueError(f"step {step.name} has no clock {step.clock!r}")
