"""Preventive work: each due time of a plan gives one order, none twice and none forgotten while we were away."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from sqlalchemy import RowMapping, select, update

from ticketing import tasks, timers
from ticketing.errors import FieldError, MissingFieldError
from ticketing.events import canonical
from ticketing.opening import open_row
from ticketing.permissions import require
from ticketing.reading import Reading
from ticketing.records import TIMER, Actor, Order, Plan, PlanDue, Template
from ticketing.tables import IS_OPEN, counter, pm_due, pm_plan, work_order
from ticketing.writing import Writing

TIMER_KIND = "plan"
COLUMNS = [pm_plan.c[name] for name in Plan.__dataclass_fields__]


def listed(read: Reading, *, asset: str | None = None) -> list[Plan]:
    """The site's plans by id, or those of one asset."""
    where = read.here(pm_plan) if asset is None else read.here(pm_plan, asset=asset)
    rows = read.connection.execute(select(*COLUMNS).where(where).order_by(pm_plan.c.id))
    return [_plan(row) for row in rows.mappings()]


def dues(read: Reading, plan_id: str) -> list[PlanDue]:
    """Each time the plan fell due, oldest first."""
    columns = [pm_due.c[name] for name in PlanDue.__dataclass_fields__]
    rows = read.connection.execute(
        select(*columns).where(read.here(pm_due, plan=plan_id)).order_by(pm_due.c.due)
    )
    return [PlanDue(*row) for row in rows]


def save(tx: Writing, actor: Actor, plan: Plan, *, at: int) -> Plan:
    """A new plan, or another form of one; its next due time is the one given."""
    require(actor, "plan.write")
    _check(plan)
    tx.asset(plan.asset)
    row = {**asdict(plan), "tasks": canonical([asdict(task) for task in plan.tasks])}
    known = _find(tx, plan.id)
    if known is None:
        tx.add(pm_plan, **row)
    else:
        tx.connection.execute(update(pm_plan).where(tx.here(pm_plan, id=plan.id)).values(**row))
    _wait(tx, plan, at)
    return plan


def count(tx: Writing, asset: str, name: str, value: int, at: int) -> None:
    """A counter of the machine stands at ``value``; plans that wait for it fall due. A smaller value is a new start."""
    here = tx.here(counter, asset=asset, name=name)
    before = tx.connection.scalar(select(counter.c.value).where(here))
    if before is None:
        tx.add(counter, asset=asset, name=name, value=value, at=at)
    else:
        tx.connection.execute(update(counter).where(here).values(value=value, at=at))
    rows = tx.connection.execute(
        select(*COLUMNS)
        .where(tx.here(pm_plan, asset=asset, counter=name, active=True), pm_plan.c.next_due.is_not(None))
        .order_by(pm_plan.c.id)
    )
    for plan in [_plan(row) for row in rows.mappings()]:
        if before is not None and value < before:
            _set_next(tx, plan, value + (plan.every_count or 0), at)
        else:
            _open_until(tx, plan, value, at)


def fall_due(tx: Writing, plan_id: str, at: int) -> None:
    """The time of a plan has come (its timer fired)."""
    plan = _find(tx, plan_id)
    if plan is not None and plan.active and plan.next_due is not None:
        _open(tx, plan, at)


def completed(tx: Writing, order: Order, at: int) -> None:
    """A plan's order was done or given up: a floating plan counts from here."""
    plan = _find(tx, order.source.split(":")[1]) if order.origin == "plan" else None
    if plan is None or plan.basis != "floating":
        return
    if plan.every_ms is not None:
        _set_next(tx, plan, at + plan.every_ms, at)
        return
    stands = select(counter.c.value).where(tx.here(counter, asset=plan.asset, name=plan.counter))
    _set_next(tx, plan, (tx.connection.scalar(stands) or 0) + (plan.every_count or 0), at)


def _open_until(tx: Writing, plan: Plan, value: int, at: int) -> None:
    """Every count that was passed falls due by itself."""
    current: Plan | None = plan
    while current is not None and current.next_due is not None and current.next_due - current.lead <= value:
        _open(tx, current, at)
        current = _find(tx, plan.id)


def _open(tx: Writing, plan: Plan, at: int) -> None:
    """One due time: one order, or a line that it was skipped; then the next one."""
    assert plan.next_due is not None
    every = plan.every_ms or plan.every_count or 0
    known = select(pm_due.c.due).where(tx.here(pm_due, plan=plan.id, due=plan.next_due))
    if tx.connection.scalar(known) is not None:  # the plan was set back to a time that it had already
        _set_next(tx, plan, plan.next_due + every, at)
        return
    still_open = select(work_order.c.number).where(
        tx.here(work_order, origin="plan"),
        work_order.c.source.startswith(f"plan:{plan.id}:", autoescape=True),
        IS_OPEN,
    )
    before = tx.connection.scalar(still_open.limit(1)) if plan.skip_if_open else None
    if before is None:
        number: str | None = _order(tx, plan, at).number
    else:
        number = None
        tx.record(
            before, at=at, actor=TIMER, kind="plan_skipped", fields={"plan": plan.id, "due": plan.next_due}
        )
    tx.add(pm_due, plan=plan.id, due=plan.next_due, at=at, number=number)
    follows = plan.next_due + every if plan.basis == "fixed" or number is None else None
    _set_next(tx, plan, follows, at)


def _order(tx: Writing, plan: Plan, at: int) -> Order:
    clocks: dict[str, Any] = {}
    if plan.every_ms is not None and plan.next_due is not None:
        clocks["due_resolve_at"] = max(at, plan.next_due)
    order = open_row(
        tx,
        at=at,
        actor=TIMER,
        source=f"plan:{plan.id}:{plan.next_due}",
        type="preventive",
        origin="plan",
        asset=plan.asset,
        title_zh=plan.title_zh,
        title_en=plan.title_en,
        priority=plan.priority,
        **clocks,
    )
    for task in plan.tasks:
        tasks.add(tx, order, task, at=at)
    return order


def _set_next(tx: Writing, plan: Plan, due: int | None, at: int) -> None:
    tx.connection.execute(update(pm_plan).where(tx.here(pm_plan, id=plan.id)).values(next_due=due))
    if (changed := _find(tx, plan.id)) is not None:
        _wait(tx, changed, at)


def _wait(tx: Writing, plan: Plan, at: int) -> None:
    """Wait for the next due time; of a plan made too late, it is now."""
    timers.stop(tx, TIMER_KIND, plan.id)
    if plan.active and plan.every_ms is not None and plan.next_due is not None:
        timers.start(tx, TIMER_KIND, plan.id, at=max(at, plan.next_due - plan.lead), ms=0)


def _find(tx: Writing, plan_id: str) -> Plan | None:
    row = tx.connection.execute(select(*COLUMNS).where(tx.here(pm_plan, id=plan_id))).mappings().one_or_none()
    return None if row is None else _plan(row)


def _plan(row: RowMapping) -> Plan:
    return Plan(**{**row, "tasks": tuple(Template(**task) for task in json.loads(row["tasks"]))})


def _check(plan: Plan) -> None:
    missing = [
        name for name in ("id", "asset", "title_zh", "title_en", "next_due") if not getattr(plan, name)
    ]
    if missing:
        raise MissingFieldError("save a plan", missing)
    if (plan.every_ms is None) == (plan.every_count is None):
        raise FieldError(["every_ms", "every_count"], "a plan repeats by time or by counter, one of both")
    if (plan.every_count is None) != (plan.counter is None):
        raise FieldError(["counter"], "a plan by counter names its counter, one by time has none")
    if (plan.every_ms or plan.every_count or 0) <= 0:
        raise FieldError(["every_ms", "every_count"], "a plan repeats after more than nothing")
    if plan.basis not in ("fixed", "floating"):
        raise FieldError(["basis"], f"basis must be fixed or floating; got {plan.basis!r}")
    if ":" in plan.id:
        raise FieldError(["id"], "a plan's id holds no colon")
