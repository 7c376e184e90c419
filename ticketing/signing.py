"""Signing an order off: with a PIN or a drawn signature, and a hash over all that was signed.

What is signed is the order with its tasks, costs, approvals, attachments and history up to the signature, as
canonical JSON. Its SHA-256 stands in the history, so whoever exports the order later can show that it is the same.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import asdict
from typing import Any

from sqlalchemy import delete, select, update

from ticketing import attachments
from ticketing.errors import FieldError, ForbiddenError, MissingFieldError, NotFoundError, WrongPinError
from ticketing.events import canonical, sha256
from ticketing.moves import Asked
from ticketing.reading import Reading
from ticketing.records import MINUTE, Actor, Order
from ticketing.tables import pin as pins
from ticketing.writing import Writing

SHORTEST, LONGEST = 4, 12  # digits
MOST_WRONG, WRONG_FOR = 5, 15 * MINUTE  # so many wrong ones, then a while without any
SEALED = "sealed"
# Beside the order's own row: they change after the signature, or only count what is listed.
FACTS = ("alarms", "alarms_active", "open_tasks", "cost_fen", "approvals_missing")


def set_pin(tx: Writing, actor: Actor, pin: str, *, salt: bytes, at: int) -> None:
    """The person's PIN from now on; ``salt`` is 16 random bytes."""
    if not pin.isdecimal() or not SHORTEST <= len(pin) <= LONGEST or len(set(pin)) == 1:
        raise FieldError(["pin"], f"a PIN has {SHORTEST} to {LONGEST} digits that are not all the same")
    tx.connection.execute(delete(pins).where(tx.here(pins, person=actor.name)))
    row = {"salt": salt.hex(), "hash": _stretched(pin, salt), "at": at, "wrong": 0, "wrong_at": 0}
    tx.add(pins, person=actor.name, **row)


def check(tx: Writing, order: Order, asked: Asked) -> None:
    """Refuse a signature that is missing where the policy wants one, or is not the signer's."""
    pin, drawn = asked.fields.get("pin"), asked.fields.get("signature")
    if order.priority in tx.policy_of(order).signed and not (pin or drawn):
        raise MissingFieldError("sign_off", ["pin", "signature"])
    if pin:
        _check_pin(tx, asked.actor, pin, asked.at)
    if drawn:
        known = {each.sha256: each for each in attachments.listed(tx, order.number)}
        if (
            drawn not in known
            or not known[drawn].mime.startswith("image/")
            or known[drawn].by != asked.actor.name
        ):
            raise FieldError(
                ["signature"], "signature is the sha256 of an image that the signer attached to the order"
            )


def seal(tx: Writing, order: Order, asked: Asked) -> None:
    """Write down what was signed, how, and its hash."""
    how = "pin" if asked.fields.get("pin") else "drawn" if asked.fields.get("signature") else "named"
    fields = {"method": how, "document": sha256(document(tx, order.number))}
    tx.record(order.number, at=asked.at, actor=asked.actor, kind=SEALED, fields=fields)


def document(read: Reading, number: str) -> str:
    """The order as it was signed, as canonical JSON; of an order without a signature, as it stands."""
    order = asdict(read.order(number))
    events = []
    for event in read.timeline(number):
        if event.type == SEALED:
            break
        events.append(asdict(event))
    return canonical(
        {
            "site": read.site,
            "order": {name: value for name, value in order.items() if name not in FACTS},
            "tasks": [asdict(task) for task in read.tasks(number)],
            "costs": [asdict(cost) for cost in read.costs(number)],
            "approvals": [asdict(approval) for approval in read.approvals(number)],
            "attachments": [asdict(each) for each in attachments.listed(read, number)],
            "evidence": [
                [each.episode, each.severity, each.at, each.sha256] for each in read.evidence(number)
            ],
            "links": [asdict(link) for link in read.links(number) if link.number == number],
            "history": events,
        }
    )


def seal_of(read: Reading, number: str) -> dict[str, Any]:
    """How the order was signed (``method``, ``document``, ``by``, ``at``); NotFoundError where it was not."""
    for event in read.timeline(number):
        if event.type == SEALED:
            return {**event.payload["fields"], "by": event.actor, "at": event.at}
    raise NotFoundError(f"{number} is not signed")


def count_wrong(tx: Writing, error: WrongPinError) -> None:
    """One more wrong PIN; the count starts anew after a while."""
    here = tx.here(pins, person=error.person)
    row = tx.connection.execute(select(pins.c.wrong, pins.c.wrong_at).where(here)).one_or_none()
    if row is not None:
        wrong = row.wrong + 1 if error.at < row.wrong_at + WRONG_FOR else 1
        tx.connection.execute(update(pins).where(here).values(wrong=wrong, wrong_at=error.at))


def _check_pin(tx: Writing, actor: Actor, pin: str, at: int) -> None:
    row = tx.connection.execute(select(pins).where(tx.here(pins, person=actor.name))).one_or_none()
    if row is None:
        raise FieldError(["pin"], f"{actor.name} has no PIN yet")
    if row.wrong >= MOST_WRONG and at < row.wrong_at + WRONG_FOR:
        raise ForbiddenError(f"too many wrong PINs of {actor.name}: wait {WRONG_FOR // MINUTE} minutes")
    if not hmac.compare_digest(_stretched(pin, bytes.fromhex(row.salt)), row.hash):
        raise WrongPinError(actor.name, at)


def _stretched(pin: str, salt: bytes) -> str:
    """scrypt (RFC 7914), 16 MiB."""
    return hashlib.scrypt(pin.encode(), salt=salt, n=2**14, r=8, p=1).hex()
