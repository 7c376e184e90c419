"""What can be read: orders, their history and evidence, alarms, assets. Nothing here writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Unpack

from sqlalchemy import ColumnElement, Connection, Table, and_, select

from ticketing import events, queries
from ticketing.errors import NotFoundError
from ticketing.moves import legal_moves
from ticketing.policy import Policy, PolicyVersion, policy_of
from ticketing.queries import OPEN, Wanted
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
from ticketing.statements import Driver, Once, Row
from ticketing.tables import evidence, wo_alarm

__all__ = ["OPEN", "Reading", "decoded"]

ALL = 1 << 62  # as a limit


class Reading:
    """One consistent view of a site's desk, for as long as its transaction lasts."""

    def __init__(self, connection: Connection, site: str, version: PolicyVersion) -> None:
        self.connection = connection
        self.site = site
        self.policy = version.policy
        self.policy_hash = version.sha256
        self._policies = {version.sha256: version.policy}
        self._assets: dict[str, Asset] = {}  # as read before in this transaction
        self._driver = Driver(connection)

    def rows(self, once: Once, given: Mapping[str, Any]) -> list[Row]:
        """What the query finds."""
        return self._driver.all(once, given)

    def row(self, once: Once, given: Mapping[str, Any]) -> Row | None:
        """The first row that the query finds."""
        return next(iter(self._driver.all(once, given)), None)

    def value(self, once: Once, given: Mapping[str, Any]) -> Any:
        """The first column of the first row; None without one."""
        row = self.row(once, given)
        return None if row is None else row[0]

    # Orders

    def order(self, number: str, *, facts: bool = True) -> Order:
        """The order as it stands, with the facts beside its row if they are asked for; NotFoundError."""
        row = self.row(queries.ORDER if facts else queries.ORDER_ROW, self.of(number=number))
        if row is None:
            raise NotFoundError(f"there is no work order {number}")
        return _order(row)

    def orders(self, *, limit: int = 50, offset: int = 0, **wanted: Unpack[Wanted]) -> list[Order]:
        """Orders, the most urgent first, then the newest."""
        given = queries.filtered(wanted)
        page = {**self.of(), **given, "offset": offset}
        return [_order(row) for row in self.rows(queries.page(tuple(given), limit), page)]

    def count_orders(self, **wanted: Unpack[Wanted]) -> int:
        """How many orders the same filter finds."""
        given = queries.filtered(wanted)
        return int(self.value(queries.counted(tuple(given)), {**self.of(), **given}))

    def count_by_state(self) -> dict[State, int]:
        """How many orders stand in each state, the empty ones too."""
        found = {State(state): count for state, count in self.rows(queries.BY_STATE, self.of())}
        return {state: found.get(state, 0) for state in State}

    def at_work(self, asset: str) -> bool:
        """Whether somebody works on the asset now."""
        return self.row(queries.AT_WORK, self.of(asset=asset)) is not None

    def open_order_for(self, fault_key: str) -> Order | None:
        """The one open order of this fault key, if there is one, without the facts beside its row."""
        row = self.row(queries.OPEN_ORDER, {"of_fault_key": fault_key})
        return None if row is None else _order(row)

    def is_active(self, number: str) -> bool:
        """Whether an alarm of the order has not returned to normal."""
        return self.row(queries.ACTIVE, self.of(number=number)) is not None

    def policy_of(self, order: Order) -> Policy:
        """The figures that the order was opened under."""
        wanted = order.policy or self.policy_hash
        if wanted not in self._policies:
            self._policies[wanted] = policy_of(self.value(queries.POLICY, self.of(sha256=wanted)))
        return self._policies[wanted]

    def legal_moves(self, number: str, actor: Actor) -> list[str]:
        """The moves that ``actor`` could make now: the buttons."""
        return legal_moves(self.order(number), actor)

    def timeline(self, number: str) -> list[Event]:
        """All that happened to the order, oldest first."""
        return [_event(row) for row in self.rows(queries.TIMELINE, self.of(number=number))]

    def evidence(self, number: str) -> list[Evidence]:
        """Why the order's alarms were raised, oldest first, with what was measured before if that is known."""
        rows = self.rows(queries.EVIDENCE, self.of(number=number))
        return [Evidence(r.episode, r.severity, r.at, r.relation, r.sha256, _evidence(r)) for r in rows]

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
        return [Link(*row) for row in self.rows(queries.LINKS, self.of(number=number))]

    def tasks(self, number: str) -> list[Task]:
        """The order's check list."""
        return [Task(*row) for row in self.rows(queries.TASKS, self.of(number=number))]

    def costs(self, number: str) -> list[Cost]:
        """What was spent on the order, in the order of booking."""
        return [Cost(*row) for row in self.rows(queries.COSTS, self.of(number=number))]

    def approvals(self, number: str) -> list[Approval]:
        """Who must approve the order's estimate, and what they said."""
        return [Approval(*row) for row in self.rows(queries.APPROVALS, self.of(number=number))]

    def watchers(self, number: str) -> list[str]:
        """Who asked to be told about the order."""
        return sorted({event.actor for event in self.timeline(number) if event.type == "watch"})

    # Alarms

    def alarm(self, episode: str) -> Alarm:
        """One alarm episode; NotFoundError."""
        row = self.row(queries.ALARM, self.of(episode=episode))
        if row is None:
            raise NotFoundError(f"there is no alarm {episode}")
        return _alarm(row._asdict())

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
        wanted = {
            "standing": standing or None,
            "active": active or None,
            "over": True if active is False else None,
            "asset": asset,
            "suppression": suppression,
            "number": number,
        }
        given = {name: value for name, value in wanted.items() if value is not None}
        page = {**self.of(), **given, "limit": ALL if limit is None else limit, "offset": offset}
        return [_alarm(row._asdict()) for row in self.rows(queries.alarms(tuple(given)), page)]

    def orders_of_alarm(self, episode: str) -> list[Order]:
        """The orders that hold this alarm, the newest first, without facts beside their rows; hardly ever two."""
        return [_order(row) for row in self.rows(queries.OF_ALARM, self.of(episode=episode))]

    # Assets

    def asset(self, code: str) -> Asset:
        """One asset; NotFoundError."""
        found = self._assets.get(code)
        if found is None:
            row = self.row(queries.ASSET, self.of(code=code))
            if row is None:
                raise NotFoundError(f"there is no asset {code}")
            found = self._assets[code] = Asset(*row)
        return found

    def forget_assets(self) -> None:
        """They have changed: read them again."""
        self._assets.clear()

    def assets(self, *, retired: bool = False) -> list[Asset]:
        """The site's assets by code; the retired ones on request."""
        query = queries.ASSETS_EVER if retired else queries.ASSETS_HERE
        return [Asset(*row) for row in self.rows(query, self.of())]

    def asset_history(self, code: str, *, limit: int = 100) -> list[Order]:
        """The asset's service history: its orders, the newest first."""
        return [_order(row) for row in self.rows(queries.OF_ASSET, {**self.of(asset=code), "limit": limit})]

    def earlier_orders(self, code: str) -> list[dict[str, Any]]:
        """The asset's last three orders in short: number, titles, state, and when they opened."""
        return [row._asdict() for row in self.rows(queries.EARLIER, self.of(asset=code))]

    # The engine's own memory, and the whole

    def load_state(self, name: str) -> EngineState | None:
        """What ``save_state`` kept under this name."""
        row = self.row(queries.STATE, self.of(name=name))
        return None if row is None else EngineState(row.cursor, bytes(row.blob))

    def verify(self) -> events.Chain:
        """Check the hash chain of the site's whole history."""
        return events.check(self.connection, self.site)

    def head(self) -> tuple[int, str]:
        """Where the history ends: its last line and that line's hash."""
        (row,) = self.rows(queries.HEAD, self.of())
        return row.head_seq, row.head_hash

    def hash_of(self, seq: int) -> str | None:
        """The hash of one line of the history, if there is one."""
        found: str | None = self.value(queries.HASH, self.of(seq=seq))
        return found

    def export(self) -> str:
        """All orders with their alarms, evidence hashes, links and history as canonical JSON.

        The same input into an empty database gives the same bytes.
        """
        orders = [self._exported(row._asdict()) for row in self.rows(queries.EVERY_ORDER, self.of())]
        return events.canonical({"site": self.site, "orders": orders})

    def _exported(self, row: Mapping[str, Any]) -> dict[str, Any]:
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


def _order(row: Row) -> Order:
    columns = row._asdict()
    return Order(**{**columns, **decoded(columns)})


_READERS: Mapping[str, Callable[[str], Any]] = {"state": State, "custom": json.loads}


def decoded(columns: Mapping[str, Any]) -> dict[str, Any]:
    """What an order holds where its columns hold text."""
    return {name: reader(columns[name]) for name, reader in _READERS.items() if name in columns}


def _alarm(row: Mapping[str, Any]) -> Alarm:
    stored = json.loads(row["policy"])
    min_active = {int(severity): ms for severity, ms in stored.pop("min_active").items()}
    policy = OrderPolicy(min_active=min_active, **stored)
    return Alarm(**{**row, "policy": policy, "above": tuple(json.loads(row["above"]))})


def _evidence(row: Row) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(row.body)
    if row.past is None:
        return body
    past = json.loads(row.past)
    return {**body, **past, "series": {**body.get("series", {}), **past["series"]}}


def _event(row: Row) -> Event:
    return Event(
        row.seq, row.number, row.at, row.actor, row.actor_kind, row.type, json.loads(row.payload), row.hash
    )
