"""What can be read: orders, their history and evidence, alarms, assets. Nothing here writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict, Unpack

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    FromClause,
    RowMapping,
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

from ticketing import events
from ticketing.errors import NotFoundError
from ticketing.moves import legal_moves
from ticketing.policy import Policy, PolicyVersion, policy_of
from ticketing.records import (
    Actor,
    Alarm,
    Approval,
    Asset,
    Cost,
    EngineState,
    Event,
    Evidence,
    Link,
    Order,
    OrderPolicy,
    State,
    Task,
)
from ticketing.tables import (
    IS_OPEN,
    NEWEST,
    alarm,
    approval,
    asset,
    engine_state,
    evidence,
    policy_version,
    same,
    wo_alarm,
    wo_cost,
    wo_event,
    wo_link,
    wo_task,
    work_order,
)
from ticketing.tables import site as sites

OPEN = "open"  # as a filter: every state that still asks for work


def _order_select() -> Select[Any]:
    """Every column of the order, and the facts beside it that guards and pages ask for."""
    columns = [column for column in work_order.c if column.name != "site"]
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
    return select(*columns, *(fact.label(name) for name, fact in facts.items()))


def _beside(
    table: Table, what: ColumnElement[Any], *where: ColumnElement[bool], source: FromClause | None = None
) -> ScalarSelect[Any]:
    """Something counted for each order in a table beside it."""
    own = and_(table.c.site == work_order.c.site, table.c.number == work_order.c.number)
    return select(what).select_from(table if source is None else source).where(own, *where).scalar_subquery()


# Built once: composing a statement costs SQLAlchemy more than running it.
ORDERS = _order_select()
ORDER = ORDERS.where(work_order.c.site == bindparam("site"), work_order.c.number == bindparam("number"))
OF_ALARM = ORDERS.where(
    same(work_order), work_order.c.number.in_(select(wo_alarm.c.number).where(same(wo_alarm, "episode")))
).order_by(*NEWEST)
OF_ASSET = ORDERS.where(same(work_order, "asset")).order_by(*NEWEST).limit(bindparam("limit"))
AT_WORK = (
    select(work_order.c.number)
    .where(same(work_order, "asset"), work_order.c.state == State.IN_PROGRESS.value)
    .limit(1)
)
OPEN_ORDER = ORDERS.where(work_order.c.fault_key == bindparam("fault_key"), IS_OPEN)
ALARMS = select(*[alarm.c[name] for name in Alarm.__dataclass_fields__])
ALARM = ALARMS.where(alarm.c.site == bindparam("site"), alarm.c.episode == bindparam("episode"))
ASSETS = select(*[asset.c[name] for name in Asset.__dataclass_fields__])
ASSET = ASSETS.where(asset.c.site == bindparam("site"), asset.c.code == bindparam("code"))


class Wanted(TypedDict, total=False):
    """Which orders: ``state`` is "open", one state or several; ``overdue_at`` the time at which they must be late."""

    state: str | Iterable[str] | None
    asset: str | None
    priority: int | None
    assignee: str | None
    text: str | None
    overdue_at: int | None


class Reading:
    """One consistent view of a site's desk, for as long as its transaction lasts."""

    def __init__(self, connection: Connection, site: str, version: PolicyVersion) -> None:
        self.connection = connection
        self.site = site
        self.policy = version.policy
        self.policy_hash = version.sha256
        self._policies = {version.sha256: version.policy}

    # Orders

    def order(self, number: str) -> Order:
        """The order as it stands; NotFoundError."""
        row = self.connection.execute(ORDER, {"site": self.site, "number": number}).mappings().one_or_none()
        if row is None:
            raise NotFoundError(f"there is no work order {number}")
        return _order(row)

    def orders(self, *, limit: int = 50, offset: int = 0, **wanted: Unpack[Wanted]) -> list[Order]:
        """Orders, the most urgent first, then the newest."""
        order_by = (work_order.c.priority, work_order.c.opened_at.desc(), work_order.c.number.desc())
        page = select(work_order.c.number).where(self._filter(wanted)).order_by(*order_by)
        # First the page, then its facts: for 50 orders, not for 12 000.
        numbers = self.connection.scalars(page.limit(limit).offset(offset)).all()
        found = self._orders(ORDERS.where(self.here(work_order), work_order.c.number.in_(numbers)))
        return sorted(found, key=lambda order: numbers.index(order.number))

    def count_orders(self, **wanted: Unpack[Wanted]) -> int:
        """How many orders the same filter finds."""
        count = select(func.count()).select_from(work_order).where(self._filter(wanted))
        return self.connection.scalar(count) or 0

    def count_by_state(self) -> dict[State, int]:
        """How many orders stand in each state, the empty ones too."""
        counts = (
            select(work_order.c.state, func.count())
            .where(work_order.c.site == self.site)
            .group_by(work_order.c.state)
        )
        found = {State(state): count for state, count in self.connection.execute(counts)}
        return {state: found.get(state, 0) for state in State}

    def at_work(self, asset: str) -> bool:
        """Whether somebody works on the asset now."""
        return self.connection.scalar(AT_WORK, self.of(asset=asset)) is not None

    def open_order_for(self, fault_key: str) -> Order | None:
        """The one open order of this fault key, if there is one."""
        row = self.connection.execute(OPEN_ORDER, {"fault_key": fault_key}).mappings().one_or_none()
        return None if row is None else _order(row)

    def policy_of(self, order: Order) -> Policy:
        """The figures that the order was opened under."""
        wanted = order.policy or self.policy_hash
        if wanted not in self._policies:
            stored = select(policy_version.c.body).where(self.here(policy_version, sha256=wanted))
            self._policies[wanted] = policy_of(self.connection.execute(stored).scalar_one())
        return self._policies[wanted]

    def legal_moves(self, number: str, actor: Actor) -> list[str]:
        """The moves that ``actor`` could make now: the buttons."""
        return legal_moves(self.order(number), actor)

    def timeline(self, number: str) -> list[Event]:
        """All that happened to the order, oldest first."""
        rows = self.connection.execute(
            select(wo_event).where(self.here(wo_event, number=number)).order_by(wo_event.c.seq)
        )
        return [_event(row) for row in rows.mappings()]

    def evidence(self, number: str) -> list[Evidence]:
        """Why the order's alarms were raised, oldest first."""
        rows = self.connection.execute(
            select(evidence, wo_alarm.c.relation)
            .join(
                wo_alarm, and_(wo_alarm.c.site == evidence.c.site, wo_alarm.c.episode == evidence.c.episode)
            )
            .where(self.here(wo_alarm, number=number))
            .order_by(evidence.c.at, evidence.c.episode, evidence.c.severity)
        )
        return [Evidence(r.episode, r.severity, r.at, r.relation, r.sha256, json.loads(r.body)) for r in rows]

    def reasons(self, numbers: Iterable[str]) -> dict[str, dict[str, Any]]:
        """The evidence that opened each of these orders, by number; none for what people opened."""
        rows = self.connection.execute(
            select(wo_alarm.c.number, evidence.c.body)
            .join(
                evidence, and_(evidence.c.site == wo_alarm.c.site, evidence.c.episode == wo_alarm.c.episode)
            )
            .where(self.here(wo_alarm, relation="trigger"), wo_alarm.c.number.in_(list(numbers)))
            .order_by(evidence.c.at.desc(), evidence.c.severity.desc())
        )
        return {row.number: json.loads(row.body) for row in rows}

    def links(self, number: str) -> list[Link]:
        """How this order hangs together with others, in both directions."""
        rows = self.connection.execute(
            select(wo_link.c.number, wo_link.c.kind, wo_link.c.other)
            .where(wo_link.c.site == self.site, or_(wo_link.c.number == number, wo_link.c.other == number))
            .order_by(wo_link.c.number, wo_link.c.kind, wo_link.c.other)
        )
        return [Link(*row) for row in rows]

    def tasks(self, number: str) -> list[Task]:
        """The order's check list."""
        columns = [wo_task.c[name] for name in Task.__dataclass_fields__]
        rows = self.connection.execute(
            select(*columns).where(self.here(wo_task, number=number)).order_by(wo_task.c.seq)
        )
        return [Task(**row) for row in rows.mappings()]

    def costs(self, number: str) -> list[Cost]:
        """What was spent on the order, in the order of booking."""
        columns = [wo_cost.c[name] for name in Cost.__dataclass_fields__]
        query = select(*columns).where(self.here(wo_cost, number=number)).order_by(wo_cost.c.seq)
        return [Cost(**row) for row in self.connection.execute(query).mappings()]

    def approvals(self, number: str) -> list[Approval]:
        """Who must approve the order's estimate, and what they said."""
        columns = [approval.c[name] for name in Approval.__dataclass_fields__]
        query = select(*columns).where(self.here(approval, number=number)).order_by(approval.c.level)
        return [Approval(**row) for row in self.connection.execute(query).mappings()]

    def watchers(self, number: str) -> list[str]:
        """Who asked to be told about the order."""
        return sorted({event.actor for event in self.timeline(number) if event.type == "watch"})

    # Alarms

    def alarm(self, episode: str) -> Alarm:
        """One alarm episode; NotFoundError."""
        row = self.connection.execute(ALARM, {"site": self.site, "episode": episode}).mappings().one_or_none()
        if row is None:
            raise NotFoundError(f"there is no alarm {episode}")
        return _alarm(row)

    def alarms(
        self,
        *,
        active: bool | None = None,
        asset: str | None = None,
        number: str | None = None,
        suppression: str | None = None,
        standing: bool = False,
        limit: int | None = 50,
        offset: int = 0,
    ) -> list[Alarm]:
        """Alarm episodes, the newest first; those of one order with ``number``. ``limit`` None: all.

        ``standing``: those of the alarm list, active or latched.
        """
        query = ALARMS.where(self.here(alarm))
        if standing:
            latched = and_(alarm.c.latch, alarm.c.acked_at.is_(None))
            query = query.where(or_(alarm.c.cleared_at.is_(None), latched))
        if active is not None:
            query = query.where(alarm.c.cleared_at.is_(None) if active else alarm.c.cleared_at.is_not(None))
        if asset is not None:
            query = query.where(alarm.c.asset == asset)
        if suppression is not None:
            query = query.where(alarm.c.suppression == suppression)
        if number is not None:
            attached = select(wo_alarm.c.episode).where(self.here(wo_alarm, number=number))
            query = query.where(alarm.c.episode.in_(attached))
        query = query.order_by(alarm.c.raised_at.desc(), alarm.c.episode).limit(limit).offset(offset)
        return self._alarms(query)

    def orders_of_alarm(self, episode: str) -> list[Order]:
        """The orders that hold this alarm, the newest first; hardly ever more than one."""
        return self._orders(OF_ALARM, self.of(episode=episode))

    # Assets

    def asset(self, code: str) -> Asset:
        """One asset; NotFoundError."""
        row = self.connection.execute(ASSET, {"site": self.site, "code": code}).mappings().one_or_none()
        if row is None:
            raise NotFoundError(f"there is no asset {code}")
        return Asset(**row)

    def assets(self, *, retired: bool = False) -> list[Asset]:
        """The site's assets by code; the retired ones on request."""
        query = ASSETS.where(self.here(asset)).order_by(asset.c.code)
        if not retired:
            query = query.where(asset.c.retired.is_(False))
        return [Asset(**row) for row in self.connection.execute(query).mappings()]

    def asset_history(self, code: str, *, limit: int = 100) -> list[Order]:
        """The asset's service history: its orders, the newest first."""
        return self._orders(OF_ASSET, {**self.of(asset=code), "limit": limit})

    # The engine's own memory, and the whole

    def load_state(self, name: str) -> EngineState | None:
        """What ``save_state`` kept under this name."""
        row = self.connection.execute(
            select(engine_state.c.cursor, engine_state.c.blob).where(self.here(engine_state, name=name))
        ).one_or_none()
        return None if row is None else EngineState(row.cursor, bytes(row.blob))

    def verify(self) -> events.Chain:
        """Check the hash chain of the site's whole history."""
        return events.check(self.connection, self.site)

    def head(self) -> tuple[int, str]:
        """Where the history ends: its last line and that line's hash."""
        ends = select(sites.c.head_seq, sites.c.head_hash).where(self.here(sites))
        row = self.connection.execute(ends).one()
        return row.head_seq, row.head_hash

    def hash_of(self, seq: int) -> str | None:
        """The hash of one line of the history, if there is one."""
        return self.connection.scalar(select(wo_event.c.hash).where(self.here(wo_event, seq=seq)))

    def export(self) -> str:
        """All orders with their alarms, evidence hashes, links and history as canonical JSON.

        The same input into an empty database gives the same bytes.
        """
        query = ORDERS.where(self.here(work_order)).order_by(work_order.c.number)
        orders = [self._exported(row) for row in self.connection.execute(query).mappings().all()]
        return events.canonical({"site": self.site, "orders": orders})

    def _exported(self, row: RowMapping) -> dict[str, Any]:
        number = row["number"]
        return {
            **{name: value for name, value in row.items() if name != "site"},
            "evidence": [[e.episode, e.severity, e.at, e.relation, e.sha256] for e in self.evidence(number)],
            "links": [[link.number, link.kind, link.other] for link in self.links(number)],
            "events": [
                {
                    "seq": e.seq,
                    "at": e.at,
                    "actor": e.actor,
                    "type": e.type,
                    "payload": e.payload,
                    "hash": e.hash,
                }
                for e in self.timeline(number)
            ],
        }

    def here(self, table: Table, **key: Any) -> ColumnElement[bool]:
        """The rows of this site that have these values."""
        return and_(table.c.site == self.site, *(table.c[name] == value for name, value in key.items()))

    def of(self, **key: Any) -> dict[str, Any]:
        """The same for a statement that was built once with ``same``."""
        return {"of_site": self.site, **{f"of_{name}": value for name, value in key.items()}}

    # How rows become values

    def _filter(self, wanted: Wanted) -> ColumnElement[bool]:
        same = {name: wanted.get(name) for name in ("asset", "priority", "assignee") if wanted.get(name)}
        found: list[ColumnElement[bool] | TextClause] = [self.here(work_order, **same)]
        state = wanted.get("state")
        if state == OPEN:
            found.append(IS_OPEN)
        elif state is not None:
            found.append(work_order.c.state.in_([state] if isinstance(state, str) else list(state)))
        if words := wanted.get("text"):
            searched = (work_order.c.number, work_order.c.asset, work_order.c.title_zh, work_order.c.title_en)
            found.append(or_(*(column.icontains(words, autoescape=True) for column in searched)))
        if (at := wanted.get("overdue_at")) is not None:
            found.append(_late(at))
        return and_(*found)

    def _orders(self, query: Select[Any], given: Mapping[str, Any] | None = None) -> list[Order]:
        return [_order(row) for row in self.connection.execute(query, given).mappings()]

    def _alarms(self, query: Select[Any]) -> list[Alarm]:
        return [_alarm(row) for row in self.connection.execute(query).mappings()]


def _late(at: int) -> ColumnElement[bool]:
    """Nobody accepted in time, or it is not resolved in time; an order that waits for parts is not late."""
    row = work_order.c
    not_accepted = and_(row.accepted_at.is_(None), row.due_ack_at < at)
    not_resolved = and_(row.state != State.ON_HOLD, row.due_resolve_at < at)
    return and_(IS_OPEN, row.state != State.RESOLVED, or_(not_accepted, not_resolved))


def _order(row: RowMapping) -> Order:
    columns = dict(row)
    return Order(**{**columns, **decoded(columns)})


_READERS: Mapping[str, Callable[[str], Any]] = {"state": State, "custom": json.loads}


def decoded(columns: Mapping[str, Any]) -> dict[str, Any]:
    """What an order holds where its columns hold text."""
    return {name: reader(columns[name]) for name, reader in _READERS.items() if name in columns}


def _alarm(row: RowMapping) -> Alarm:
    stored = json.loads(row["policy"])
    min_active = {int(severity): ms for severity, ms in stored.pop("min_active").items()}
    policy = OrderPolicy(min_active=min_active, **stored)
    return Alarm(**{**row, "policy": policy, "above": tuple(json.loads(row["above"]))})


def _event(row: RowMapping) -> Event:
    names: Sequence[str] = ("seq", "number", "at", "actor", "actor_kind", "type", "hash")
    return Event(payload=json.loads(row["payload"]), **{name: row[name] for name in names})
