"""What falls due later, kept in the database: it survives restarts and fires once, at its own time.

A timer with an asset counts running time: it stands still while the machine does.
"""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import delete, null, select, update

from ticketing.statements import Once, at_most
from ticketing.tables import asset as assets
from ticketing.tables import run_log, same, timer
from ticketing.writing import Writing


class Due(NamedTuple):
    """A timer that fell due at ``at``; ``subject`` is an order's number or an alarm's episode."""

    at: int
    kind: str
    subject: str


NEVER = 1 << 62  # ms
STOP = Once(delete(timer).where(same(timer, "kind", "subject")))
NEXT_DUE = Once(
    select(timer.c.due_at, timer.c.kind, timer.c.subject)
    .where(same(timer), timer.c.due_at.is_not(None))
    .order_by(timer.c.due_at, timer.c.kind, timer.c.subject)
    .limit(at_most(1))
)


def start(tx: Writing, kind: str, subject: str, *, at: int, ms: int, asset: str | None = None) -> None:
    """(Re)start a timer: due ``ms`` after ``at``, in running time of ``asset`` if one is given."""
    stands = asset is not None and tx.asset(asset).running is False
    due, left = (None, ms) if stands else (at + ms, None)
    tx.set(timer, kind=kind, subject=subject, asset=asset, due_at=due, left_ms=left)
    if due is not None and tx.next_due is not None:
        tx.next_due = min(tx.next_due, due)


def stop(tx: Writing, kind: str, subject: str) -> None:
    """Forget a timer, if there is one."""
    tx.run(STOP, tx.of(kind=kind, subject=subject))


def pop_due(tx: Writing, now: int) -> Due | None:
    """The next timer that fell due by ``now``, taken away; the earliest first."""
    if tx.next_due is not None and now < tx.next_due:
        return None
    row = tx.row(NEXT_DUE, tx.of())
    tx.next_due = row.due_at if row else NEVER
    if row is None or now < row.due_at:
        return None
    tx.next_due = None
    stop(tx, row.kind, row.subject)
    return Due(row.due_at, row.kind, row.subject)


def machine_runs(tx: Writing, asset: str, at: int, *, running: bool) -> None:
    """The machine started or stopped: its running-time timers go on or stand still.

    What is told again, or late, after what happened later, changes nothing.
    """
    later = select(run_log.c.at).where(tx.here(run_log, asset=asset), run_log.c.at > at).limit(1)
    if tx.asset(asset).running is running or tx.connection.scalar(later) is not None:
        return
    here = tx.here(timer, asset=asset)
    if running:
        change = update(timer).where(here, timer.c.due_at.is_(None))
        change = change.values(due_at=at + timer.c.left_ms, left_ms=null())
    else:
        change = update(timer).where(here, timer.c.due_at.is_not(None))
        change = change.values(left_ms=timer.c.due_at - at, due_at=null())
    tx.connection.execute(change)
    tx.next_due = None
    tx.connection.execute(update(assets).where(tx.here(assets, code=asset)).values(running=running))
    tx.forget_assets()
    tx.add_once(run_log, asset=asset, at=at, running=running)
