"""Signing off: by PIN or by hand, sealed with a hash that an export can be held against."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.ticketing.scene import ASSETS, LEAD, T0, TECHNICIAN
from ticketing import Actor, Desk, FieldError, ForbiddenError, MissingFieldError, NotFoundError, Order, Policy
from ticketing.records import MINUTE

SALT = bytes(range(16))
PNG = b"\x89PNG\r\n\x1a\n" + b"a signature"
DONE = {"symptom": "VIB", "mechanism": "wear", "remedy": "replace"}


@pytest.fixture
def strict(url: str) -> Iterator[Desk]:
    """A desk where every order must be signed; the lead has a PIN."""
    desk = Desk.open(url, site="demo", policy=Policy(signed=(1, 2, 3, 4)))
    with desk.transaction() as tx:
        tx.sync_assets(ASSETS)
        tx.set_pin(LEAD, "2580", salt=SALT, at=T0)
    yield desk
    desk.close()


def resolved(desk: Desk) -> Order:
    """A reported fault, repaired by the technician, with a cost and an hour of downtime."""
    with desk.transaction() as tx:
        order = tx.open_order(TECHNICIAN, at=T0, asset="pump-1", title="漏油", description="at the seal")
        order = tx.move(order.number, "assign", LEAD, order.version, T0 + 1, assignee="li")
        order = tx.move(order.number, "start", TECHNICIAN, order.version, T0 + 2)
        order = tx.move(
            order.number, "add_cost", TECHNICIAN, order.version, T0 + 3, cost_kind="part", cost_fen=80_00
        )
        return tx.move(order.number, "resolve", TECHNICIAN, order.version, T0 + 4, **DONE)


def sign(desk: Desk, order: Order, at: int = T0 + 9, actor: Actor = LEAD, **fields: Any) -> Order:
    with desk.transaction() as tx:
        return tx.move(order.number, "sign_off", actor, order.version, at, stars=5, **fields)


def test_a_pin_signs_and_stands_nowhere(strict: Desk) -> None:
    order = resolved(strict)
    sign(strict, order, pin="2580")
    with strict.read() as read:
        seal = read.seal(order.number)
        assert (seal["method"], seal["by"]) == ("pin", "wang")
        assert all("pin" not in event.payload.get("fields", {}) for event in read.timeline(order.number))
        assert read.verify().broken is None


def test_a_drawn_signature_is_an_image_that_the_signer_attached(strict: Desk) -> None:
    order = resolved(strict)
    with strict.transaction() as tx:
        drawn = tx.attach(LEAD, order.number, at=T0 + 5, name="s.png", mime="image/png", data=PNG)
        other = tx.attach(
            TECHNICIAN, order.number, at=T0 + 5, name="t.png", mime="image/png", data=PNG + b"!"
        )
    for wrong in ("0" * 64, other.sha256):
        with pytest.raises(FieldError, match="signature"):
            sign(strict, order, signature=wrong)
    sign(strict, order, signature=drawn.sha256)
    with strict.read() as read:
        assert read.seal(order.number)["method"] == "drawn"


def test_without_a_signature_where_the_site_wants_one_nothing_closes(strict: Desk) -> None:
    order = resolved(strict)
    with pytest.raises(MissingFieldError) as refusal:
        sign(strict, order)
    assert refusal.value.fields == ("pin", "signature")
    with strict.read() as read:
        assert read.order(order.number).state == "resolved"
        with pytest.raises(NotFoundError):
            read.seal(order.number)


def test_wrong_pins_are_counted_though_nothing_was_done(strict: Desk) -> None:
    order = resolved(strict)
    for n in range(5):
        with pytest.raises(FieldError, match="not the PIN"):
            sign(strict, order, T0 + 10 + n, pin="0001")
    with pytest.raises(ForbiddenError, match="wait 15 minutes"):
        sign(strict, order, T0 + 20, pin="2580")
    assert sign(strict, order, T0 + 20 + 15 * MINUTE, pin="2580").state == "closed"


@pytest.mark.parametrize("pin", ["123", "1111", "12a4", "1234567890123"])
def test_a_pin_worth_nothing_is_refused(desk: Desk, pin: str) -> None:
    with pytest.raises(FieldError, match="a PIN has"), desk.transaction() as tx:
        tx.set_pin(LEAD, pin, salt=SALT, at=T0)


def test_the_document_of_a_signed_order_matches_its_hash_for_ever(strict: Desk) -> None:
    order = resolved(strict)
    sign(strict, order, pin="2580")
    with strict.transaction() as tx:  # the fault comes back later: a new order, linked to this one
        again = tx.open_order(TECHNICIAN, at=T0 + 99, asset="pump-1", title="漏油")
        tx.move(again.number, "link", LEAD, again.version, T0 + 99, link_kind="caused_by", other=order.number)
    with strict.read() as read:
        document, seal = read.document(order.number), read.seal(order.number)
    assert hashlib.sha256(document.encode()).hexdigest() == seal["document"]
    body = json.loads(document)
    assert body["order"]["number"] == order.number
    assert body["costs"][0]["cost_fen"] == 80_00
    assert [event["type"] for event in body["history"]][-1] == "sign_off"
