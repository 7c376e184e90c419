"""A person saw something: the order that no alarm opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from ticketing import custom
from ticketing.errors import FieldError, MissingFieldError, MoveRefusedError
from ticketing.events import canonical
from ticketing.fault_key import fault_key
from ticketing.fields import FIELDS
from ticketing.opening import open_for_fault
from ticketing.permissions import require
from ticketing.policy import priority as priority_of
from ticketing.records import Actor, Order
from ticketing.statements import Once
from ticketing.tables import same, work_order
from ticketing.writing import Writing

SENT = Once(select(work_order.c.number).where(same(work_order, "source")))
REPORTED_SEVERITY = 2  # how a report weighs where the person names no priority


def open_order(
    tx: Writing,
    actor: Actor,
    *,
    at: int,
    asset: str,
    title: str,
    description: str = "",
    failure_mode: str | None = None,
    priority: int | None = None,
    fields: Mapping[str, Any] | None = None,
    key: str | None = None,
) -> Order:
    """A new order from a person; the same ``key`` again (a phone's offline queue) gives the same order.

    ``fields`` are the site's own.
    """
    require(actor, "order.open")
    source = f"report:{actor.name}:{key}" if key else f"report:{actor.name}:{asset}:{at}"
    if (number := tx.value(SENT, tx.of(source=source))) is not None:
        return tx.order(number)
    if not title.strip():
        raise MissingFieldError("open", ["title"])
    given = {"symptom": failure_mode, "priority": priority, "comment": description, "reason": title}
    for field, value in given.items():
        if value is not None and (problem := FIELDS[field].problem(value)):
            raise FieldError([field], f"{field} {problem}")
    own = custom.merged(tx.policy.fields, {}, fields or {})
    custom.require_filled(tx.policy.fields, own, "open")
    machine = tx.asset(asset)
    fault = fault_key(tx.site, asset, failure_mode, "", "asset_failure_mode") if failure_mode else None
    if fault and (known := tx.open_order_for(fault)) is not None:
        text = f"this fault of {asset} is already being worked on; comment there"
        raise MoveRefusedError(known.number, known.state, known.version, "guard", text)
    return open_for_fault(
        tx,
        fault,
        at=at,
        actor=actor,
        source=source,
        type="corrective",
        origin="person",
        asset=asset,
        failure_mode=failure_mode,
        title_zh=title.strip(),
        title_en=title.strip(),
        description=description,
        priority=priority or priority_of(REPORTED_SEVERITY, machine.criticality),
        requester=actor.name,
        custom=canonical(own),
    )
