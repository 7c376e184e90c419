"""Orders from before our time: read from a sheet's rows, checked cell by cell, kept once however often they come.

The figures of imported history stand apart (``kpis(imported=True)``); its repairs count as fixes like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import insert, select

from ticketing.codes import CAUSES, FAILURE_MODES, MECHANISMS, REMEDIES, Codes
from ticketing.custom import KINDS, CustomField, from_text
from ticketing.events import canonical
from ticketing.fault_key import fault_key
from ticketing.opening import next_number
from ticketing.permissions import require
from ticketing.records import Actor, State
from ticketing.tables import wo_cost, wo_event, work_order
from ticketing.writing import Writing

CHUNK = 500  # rows written at once
TIMES = ("%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d")
NEEDED = ("id", "asset", "title", "opened", "closed")


@dataclass(frozen=True, slots=True)
class Reject:
    """A cell that cannot be taken: row (the first data row is 1), column as the sheet calls it, what would do."""

    row: int
    column: str
    found: str
    wanted: str


@dataclass(frozen=True, slots=True)
class PastOrder:
    """One order of the sheet, checked. Times in UTC ms, ``cost_fen`` in fen."""

    id: str
    asset: str
    title: str
    opened: int
    closed: int
    resolved: int
    description: str = ""
    priority: int = 3
    failure_mode: str | None = None
    mechanism: str | None = None
    cause: str | None = None
    remedy: str | None = None
    outcome: str = "worked"
    stars: int | None = None
    assignee: str | None = None
    cost_fen: int = 0
    custom: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: orders that are new, and those that were there already."""

    added: int
    known: int


def read_rows(
    rows: Iterable[Mapping[str, str]],
    *,
    columns: Mapping[str, str],
    zone: str,
    assets: Collection[str],
    own: Collection[CustomField] = (),
) -> tuple[list[PastOrder], list[Reject]]:
    """Check every row; ``columns`` says which column of the sheet holds which field of ``PastOrder``.

    ``own`` are the site's fields, as "custom.name". A row with any bad cell is rejected whole, each bad cell named; an
    id must not come twice; a row without any cell is passed over.
    """
    parsers = _parsers(ZoneInfo(zone), assets) | {f"custom.{each.name}": _own(each) for each in own}
    good: list[PastOrder] = []
    rejects: list[Reject] = []
    seen: set[str] = set()
    for number, row in enumerate(rows, 1):
        if not any(row.values()):
            continue
        fields, bad = _read_row(number, row, columns, parsers)
        if not bad and fields["id"] in seen:
            bad = [Reject(number, columns["id"], str(fields["id"]), "an id that no other row has")]
        if bad:
            rejects += bad
            continue
        seen.add(fields["id"])
        fields.setdefault("resolved", fields["closed"])
        custom = {name.removeprefix("custom."): fields.pop(name) for name in [*fields] if "." in name}
        good.append(PastOrder(**fields, custom=custom))
    return good, rejects


def _read_row(
    number: int, row: Mapping[str, str], columns: Mapping[str, str], parsers: Mapping[str, Parser]
) -> tuple[dict[str, Any], list[Reject]]:
    fields: dict[str, Any] = {}
    bad: list[Reject] = []
    for name, parser in parsers.items():
        column = columns.get(name)
        cell = (row.get(column) or "").strip() if column else ""
        if not cell:
            if name in NEEDED:
                bad.append(Reject(number, column or name, "", "something"))
            continue
        try:
            fields[name] = parser(cell)
        except ValueError as error:
            bad.append(Reject(number, column or name, cell, str(error)))
    if not bad:
        bad = _in_order(number, row, fields, columns)
    return fields, bad


def _in_order(
    number: int, row: Mapping[str, str], fields: Mapping[str, Any], columns: Mapping[str, str]
) -> list[Reject]:
    times = [(name, fields[name]) for name in ("opened", "resolved", "closed") if name in fields]
    for (before, first), (after, second) in pairwise(times):
        if second < first:
            return [Reject(number, columns[after], row[columns[after]], f"a time after {columns[before]}")]
    return []


Parser = Callable[[str], Any]


def _parsers(zone: ZoneInfo, assets: Collection[str]) -> dict[str, Parser]:
    """How each field is read; what cannot be read says what would do."""
    known = set(assets)
    return {
        "id": _text(100),
        "asset": lambda cell: _one_of(cell, {code: code for code in known}, "an asset of the site"),
        "title": _text(500),
        "opened": lambda cell: _time(cell, zone),
        "resolved": lambda cell: _time(cell, zone),
        "closed": lambda cell: _time(cell, zone),
        "description": _text(4000),
        "priority": lambda cell: _whole(cell.upper().removeprefix("P"), 1, 4),
        "failure_mode": _code(FAILURE_MODES),
        "mechanism": _code(MECHANISMS),
        "cause": _code(CAUSES),
        "remedy": _code(REMEDIES),
        "outcome": lambda cell: _one_of(
            cell, {name: name for name in ("worked", "false_alarm", "no_fault_found")}, "an outcome"
        ),
        "stars": lambda cell: _whole(cell, 1, 5),
        "assignee": _text(100),
        "cost_fen": _money,
    }


def _own(field: CustomField) -> Parser:
    def parse(cell: str) -> Any:
        value = from_text(field, cell)
        if wanted := KINDS[field.kind](field, value):
            raise ValueError(wanted)
        return value

    return parse


def _text(limit: int) -> Parser:
    def parse(cell: str) -> str:
        if len(cell) > limit:
            raise ValueError(f"at most {limit} characters")
        return cell

    return parse


def _time(cell: str, zone: ZoneInfo) -> int:
    with suppress(ValueError):
        if (told := datetime.fromisoformat(cell)).tzinfo is not None:  # as we export them
            return round(told.timestamp() * 1000)
    for form in TIMES:
        try:
            local = datetime.strptime(cell, form)  # noqa: DTZ007  the sheet's times are the site's
        except ValueError:
            continue
        return round(local.replace(tzinfo=zone).timestamp() * 1000)
    raise ValueError("a time such as 2026-03-01 08:30")


def _whole(cell: str, low: int, high: int) -> int:
    if not cell.isdecimal() or not low <= int(cell) <= high:
        raise ValueError(f"a whole number {low} to {high}")
    return int(cell)


def _money(cell: str) -> int:
    """Yuan with at most two decimals, in fen."""
    try:
        fen = Decimal(cell.replace(",", "").removeprefix("¥").removeprefix("￥")) * 100
    except InvalidOperation:
        raise ValueError("an amount in yuan such as 1250.50") from None
    if not fen.is_finite() or fen < 0 or fen != int(fen) or fen > 10**13:
        raise ValueError("an amount in yuan with at most two decimals, not negative")
    return int(fen)


def _code(codes: Codes) -> Parser:
    words = {code.casefold(): code for code in codes}
    for code, name in codes.items():
        words.setdefault(name.zh.casefold(), code)
        words.setdefault(name.en.casefold(), code)
    return lambda cell: _one_of(cell.casefold(), words, f"a code such as {', '.join(list(codes)[:3])}")


def _one_of(cell: str, words: Mapping[str, str], wanted: str) -> str:
    if cell not in words:
        raise ValueError(wanted)
    return words[cell]


def keep(tx: Writing, actor: Actor, past: Sequence[PastOrder]) -> Imported:
    """Write the orders that are not there yet, each with its history; the same sheet again adds nothing."""
    require(actor, "history.import")
    added = 0
    for start in range(0, len(past), CHUNK):
        chunk = past[start : start + CHUNK]
        sources = {_source(order): order for order in chunk}
        known = set(
            tx.connection.scalars(
                select(work_order.c.source).where(tx.here(work_order), work_order.c.source.in_(list(sources)))
            )
        )
        new = [order for source, order in sources.items() if source not in known]
        _write(tx, actor, new)
        added += len(new)
    return Imported(added, len(past) - added)


def _source(order: PastOrder) -> str:
    return f"import:{order.id}"


def _write(tx: Writing, actor: Actor, chunk: Sequence[PastOrder]) -> None:
    rows, lines, costs = [], [], []
    clerk = Actor(actor.name, kind="import")
    for order in chunk:
        number = next_number(tx, order.opened)
        row = _row(tx, order)
        rows.append({"site": tx.site, "number": number, **row})
        resolving = {name: row[name] for name in ("resolved_at", "mechanism", "cause", "remedy", "outcome")}
        closing = {name: row[name] for name in ("closed_at", "stars")}
        opening = {**row, **dict.fromkeys((*resolving, *closing)), "state": State.NEW.value}
        for kind, at, columns in (
            ("open", order.opened, opening),
            ("resolve", order.resolved, {**resolving, "state": State.RESOLVED.value}),
            ("sign_off", order.closed, {**closing, "state": State.CLOSED.value}),
        ):
            lines.append(tx.next_line(number, at=at, actor=clerk, kind=kind, payload={"set": columns}))
        if order.cost_fen:
            cost = {"site": tx.site, "number": number, "seq": 1, "cost_kind": "external", "by": actor.name}
            costs.append({**cost, "cost_fen": order.cost_fen, "at": order.closed})
    for table, made in ((work_order, rows), (wo_event, lines), (wo_cost, costs)):
        if made:
            tx.connection.execute(insert(table), made)


def _row(tx: Writing, order: PastOrder) -> dict[str, Any]:
    mode = order.failure_mode
    due_ack, due_resolve = tx.policy.due(order.priority, order.opened)
    return {
        "version": 1,
        "state": State.CLOSED.value,
        "type": "corrective",
        "origin": "import",
        "source": _source(order),
        "asset": order.asset,
        "failure_mode": mode,
        "fault_key": fault_key(tx.site, order.asset, mode, "", "asset_failure_mode") if mode else None,
        "title_zh": order.title,
        "title_en": order.title,
        "description": order.description,
        "priority": order.priority,
        "severity_max": 0,
        "opened_at": order.opened,
        "first_seen_at": order.opened,
        "due_ack_at": due_ack,
        "due_resolve_at": due_resolve,
        "assignee": order.assignee,
        "resolved_at": order.resolved,
        "closed_at": order.closed,
        "symptom": mode,
        "mechanism": order.mechanism,
        "cause": order.cause,
        "remedy": order.remedy,
        "outcome": order.outcome,
        "stars": order.stars,
        "level": 0,
        "reopen_count": 0,
        "occurrence_count": 0,
        "chronic": False,
        "self_clear": False,
        "verify_ms": 0,
        "policy": tx.policy_hash,
        "est_cost_fen": 0,
        "custom": canonical(order.custom),
    }
