"""After a repair: the signal must clear soon, then stay normal, and in the end a minor order closes by itself."""

from __future__ import annotations

from ticketing import timers
from ticketing.records import Order
from ticketing.writing import Writing

TIMERS = ("self_clear", "verify", "not_cleared", "auto_close")


def watch_the_repair(tx: Writing, order: Order, at: int) -> None:
    """While resolved: wait for what comes next; without a signal only the days count."""
    stop_timers(tx, order)
    if order.alarms_active:
        ms = tx.policy.not_cleared_after
        timers.start(tx, "not_cleared", order.number, at=at, ms=ms, asset=order.asset)
    elif order.alarms:
        timers.start(tx, "verify", order.number, at=at, ms=order.verify_ms, asset=order.asset)
    else:
        start_auto_close(tx, order, at)


def start_auto_close(tx: Writing, order: Order, at: int) -> None:
    """Nobody signs: a minor order closes by itself some days after it was resolved."""
    if order.priority >= tx.policy.auto_close_from and order.resolved_at is not None:
        due = max(at, order.resolved_at + tx.policy.auto_close_after)
        timers.start(tx, "auto_close", order.number, at=at, ms=due - at)


def stop_timers(tx: Writing, order: Order) -> None:
    """The order left the state that these waited in."""
    for kind in TIMERS:
        timers.stop(tx, kind, order.number)
