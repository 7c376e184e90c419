"""What is asked of the tables again and again, each query built once."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any, TypedDict

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    ScalarSelect,
    Select,
    Table,
    TextClause,
    and_,
    bindparam,
    func,
    or_,
    select,
)

from ticketing.records import Alarm, Approval, Asset, Cost, State, Task
from ticketing.statements import Once, at_most
from ticketing.tables import (
    IS_OPEN,
    NEWEST,
    alarm,
    approval,
    asset,
    engine_state,
    evidence,
    lookback,
    policy_version,
    same,
    site,
    wo_alarm,
    wo_cost,
    wo_event,
    wo_link,
    wo_task,
    work_order,
)

OPEN = "open"  # as a filter: every state that still asks for work


class Wanted(TypedDict, total=False):
    """Which orders: ``state`` is "open", one state or several; ``overdue_at`` the time at which they must be late."""

    state: Any  # str | Iterable[str] | None
    asset: str | None
    priority: int | None
    assignee: str | None
    text: str | None
    overdue_at: int | None


def _with_facts() -> Select[Any]:
    """Every column of the order, and the facts beside it that guards and pages ask for."""
    alarms = wo_alarm.join(
        alarm, and_(alarm.c.site == wo_alarm.c.site, alarm.c.episode == wo_alarm.c.episode)
    )
    facts = {
        "alarms": _beside(wo_alarm, func.count()),
        "alarms_active": _beside(wo_alarm, func.count(), alarm.c.cleared_at.is_(None), source=alarms),
        "open_tasks": _beside(
            wo_task, func.count(), wo_task.c.mandatory.is_(True), wo_task.c.done_at.is_(None)
        ),
        "cost_fen": _beside(wo_cost, func.coalesce(func.sum(wo_cost.c.cost_fen), 0).cast(BigInteger)),
        "approvals_missing": _beside(
            approval, func.count(), or_(approval.c.decision == "pending", approval.c.decision == "rejected")
        ),
    }
    return select(*COLUMNS, *(fact.label(name) for name, fact in facts.items()))


def _beside(
    table: Table, what: ColumnElement[Any], *where: ColumnElement[bool], source: FromClause | None = None
) -> ScalarSelect[Any]:
    """Something counted for each order in a table beside it."""
    own = and_(table.c.site == work_order.c.site, table.c.number == work_order.c.number)
    return select(what).select_from(table if source is None else source).where(own, *where).scalar_subquery()


def _columns(table: Table, record: Any) -> list[ColumnElement[Any]]:
    return [table.c[name] for name in record.__dataclass_fields__]


# Orders

COLUMNS = [column for column in work_order.c if column.name != "site"]
ORDERS = _with_facts()
ROWS = select(*COLUMNS)  # without the facts beside them: on the way from alarm to order nobody asks for those
ORDER = Once(ORDERS.where(same(work_order, "number")))
ORDER_ROW = Once(ROWS.where(same(work_order, "number")))
EVERY_ORDER = Once(ORDERS.where(same(work_order)).order_by(work_order.c.number))
_held = work_order.c.number.in_(select(wo_alarm.c.number).where(same(wo_alarm, "episode")))
OF_ALARM = Once(ROWS.where(same(work_order), _held).order_by(*NEWEST))
OF_ASSET = Once(ORDERS.where(same(work_order, "asset")).order_by(*NEWEST).limit(bindparam("limit")))
OPEN_ORDER = Once(ROWS.where(work_order.c.fault_key == bindparam("of_fault_key"), IS_OPEN))
AT_WORK = Once(
    select(work_order.c.number)
    .where(same(work_order, "asset"), work_order.c.state == State.IN_PROGRESS.value)
    .limit(at_most(1))
)
ACTIVE = Once(
    select(alarm.c.episode)
    .join(wo_alarm, and_(wo_alarm.c.site == alarm.c.site, wo_alarm.c.episode == alarm.c.episode))
    .where(same(wo_alarm, "number"), alarm.c.cleared_at.is_(None))
    .limit(at_most(1))
)
BY_STATE = Once(select(work_order.c.state, func.count()).where(same(work_order)).group_by(work_order.c.state))
EARLIER = Once(
    select(
        work_order.c.number,
        work_order.c.title_zh,
        work_order.c.title_en,
        work_order.c.state,
        work_order.c.opened_at,
    )
    .where(same(work_order, "asset"))
    .order_by(*NEWEST)
    .limit(at_most(3))
)

# What is beside an order

TIMELINE = Once(select(wo_event).where(same(wo_event, "number")).order_by(wo_event.c.seq))
EVIDENCE = Once(
    select(evidence, wo_alarm.c.relation, lookback.c.body.label("past"))
    .join(wo_alarm, and_(wo_alarm.c.site == evidence.c.site, wo_alarm.c.episode == evidence.c.episode))
    .outerjoin(
        lookback,
        and_(
            lookback.c.site == evidence.c.site,
            lookback.c.episode == evidence.c.episode,
            lookback.c.severity == evidence.c.severity,
        ),
    )
    .where(same(wo_alarm, "number"))
    .order_by(evidence.c.at, evidence.c.episode, evidence.c.severity)
)
LINKS = Once(
    select(wo_link.c.number, wo_link.c.kind, wo_link.c.other)
    .where(
        same(wo_link),
        or_(wo_link.c.number == bindparam("of_number"), wo_link.c.other == bindparam("of_number")),
    )
    .order_by(wo_link.c.number, wo_link.c.kind, wo_link.c.other)
)
TASKS = Once(select(*_columns(wo_task, Task)).where(same(wo_task, "number")).order_by(wo_task.c.seq))
COSTS = Once(select(*_columns(wo_cost, Cost)).where(same(wo_cost, "number")).order_by(wo_cost.c.seq))
APPROVALS = Once(
    select(*_columns(approval, Approval)).where(same(approval, "number")).order_by(approval.c.level)
)

# Alarms, assets, and the rest

ALARM = Once(select(*_columns(alarm, Alarm)).where(same(alarm, "episode")))
ASSETS = select(*_columns(asset, Asset)).where(same(asset)).order_by(asset.c.code)
ASSETS_HERE = Once(ASSETS.where(asset.c.retired.is_(False)))
ASSETS_EVER = Once(ASSETS)
ASSET = Once(select(*_columns(asset, Asset)).where(same(asset, "code")))
POLICY = Once(select(policy_version.c.body).where(same(policy_version, "sha256")))
STATE = Once(select(engine_state.c.cursor, engine_state.c.blob).where(same(engine_state, "name")))
HEAD = Once(select(site.c.head_seq, site.c.head_hash).where(same(site)))
HASH = Once(select(wo_event.c.hash).where(same(wo_event, "seq")))


# Orders by what is wanted of them: a statement for each combination that is asked for


@lru_cache(100)
def page(filters: tuple[str, ...], limit: int) -> Once:
    """Orders, the most urgent first, then the newest; first the page, then its facts: for 50 orders, not for 12 000."""
    order_by = (work_order.c.priority, *NEWEST)
    numbers = select(work_order.c.number).where(_all(filters)).order_by(*order_by)
    shown = numbers.limit(at_most(limit)).offset(bindparam("offset"))
    return Once(ORDERS.where(same(work_order), work_order.c.number.in_(shown)).order_by(*order_by))


@cache
def counted(filters: tuple[str, ...]) -> Once:
    """How many orders the same filters find."""
    return Once(select(func.count()).select_from(work_order).where(_all(filters)))


def filtered(wanted: Wanted) -> dict[str, Any]:
    """The filters that ``page`` and ``counted`` are asked with, by name, and their values."""
    given = {name: value for name in ("asset", "priority", "assignee") if (value := wanted.get(name))}
    state = wanted.get("state")
    if state == OPEN:
        given["open"] = True
    elif state is not None:
        given |= {
            f"of_state_{n}": str(each) for n, each in enumerate([state] if isinstance(state, str) else state)
        }
        given.setdefault("of_state_0", "none")  # of no state at all: no order
    if words := wanted.get("text"):
        given["text"] = words.replace("/", "//").replace("%", "/%").replace("_", "/_")
    if (at := wanted.get("overdue_at")) is not None:
        given["late_at"] = at
    return given


@cache
def alarms(filters: tuple[str, ...]) -> Once:
    """Alarms, the newest first."""
    latched = and_(alarm.c.latch, alarm.c.acked_at.is_(None))
    wanted: Mapping[str, ColumnElement[bool]] = {
        "standing": or_(alarm.c.cleared_at.is_(None), latched),
        "active": alarm.c.cleared_at.is_(None),
        "over": alarm.c.cleared_at.is_not(None),
        "asset": alarm.c.asset == bindparam("asset"),
        "suppression": alarm.c.suppression == bindparam("suppression"),
        "number": alarm.c.episode.in_(
            select(wo_alarm.c.episode).where(same(wo_alarm), wo_alarm.c.number == bindparam("number"))
        ),
    }
    found = select(*_columns(alarm, Alarm)).where(same(alarm), *(wanted[name] for name in filters))
    ordered = found.order_by(alarm.c.raised_at.desc(), alarm.c.episode)
    return Once(ordered.limit(bindparam("limit")).offset(bindparam("offset")))


def _all(filters: tuple[str, ...]) -> ColumnElement[bool]:
    states = [work_order.c.state == bindparam(name) for name in filters if name.startswith("of_state_")]
    others = [_FILTERS[name] for name in filters if name in _FILTERS]
    return and_(same(work_order), *([or_(*states)] if states else []), *others)


def _late() -> ColumnElement[bool]:
    """Nobody accepted in time, or it is not resolved in time; an order that waits for parts is not late."""
    row, at = work_order.c, bindparam("late_at", type_=BigInteger)
    not_accepted = and_(row.accepted_at.is_(None), row.due_ack_at < at)
    not_resolved = and_(row.state != State.ON_HOLD.value, row.due_resolve_at < at)
    return and_(IS_OPEN, row.state != State.RESOLVED.value, or_(not_accepted, not_resolved))


def _words() -> ColumnElement[bool]:
    searched = (work_order.c.number, work_order.c.asset, work_order.c.title_zh, work_order.c.title_en)
    return or_(*(column.icontains(bindparam("text"), escape="/") for column in searched))


_FILTERS: Mapping[str, ColumnElement[bool] | TextClause] = {
    **{name: work_order.c[name] == bindparam(name) for name in ("asset", "priority", "assignee")},
    "open": IS_OPEN,
    "text": _words(),
    "late_at": _late(),
}
