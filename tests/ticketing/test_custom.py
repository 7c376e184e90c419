"""A site's own fields: twelve types, checked, kept with the order, needed where the site says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.ticketing.scene import ASSETS, LEAD, T0, TECHNICIAN
from ticketing import Desk, FieldError, MissingFieldError, Order, Policy
from ticketing.custom import KINDS, CustomField

CHOICES = {"day": ("白班", "day"), "night": ("夜班", "night")}
GOOD: dict[str, Any] = {
    "text": "A-17",
    "long_text": "第一行\n第二行",
    "number": 12,
    "decimal": "0.10",
    "yes_no": False,
    "date": "2026-02-28",
    "time": "2026-02-28T08:30+08:00",
    "choice": "night",
    "choices": ["night", "day"],
    "person": "li",
    "asset": "pump-1",
    "address": "https://erp.example/po/7",
}
BAD: list[tuple[str, Any]] = [
    ("text", "x" * 201),
    ("long_text", 3),
    ("number", True),
    ("number", 1.5),
    ("number", 101),
    ("number", -1),
    ("decimal", 0.1),
    ("decimal", "NaN"),
    ("decimal", "one"),
    ("yes_no", "true"),
    ("date", "2026-02-30"),
    ("date", 20260101),
    ("time", "2026-02-28T08:30"),
    ("choice", "noon"),
    ("choice", ["day"]),
    ("choices", ["day", "day"]),
    ("choices", "day"),
    ("person", None.__class__),
    ("address", "javascript:alert(1)"),
]


def field(kind: str) -> CustomField:
    choices = CHOICES if kind.startswith("choice") else None
    span = (0, 100) if kind == "number" else (None, None)
    return CustomField(f"f_{kind}", kind, "字段", "field", choices, low=span[0], high=span[1])


@pytest.fixture
def own(url: str) -> Iterator[Desk]:
    """A desk whose site has one field of each type; one is needed to resolve."""
    fields = tuple(replace(field(kind), needed="resolve" if kind == "date" else None) for kind in KINDS)
    desk = Desk.open(url, site="demo", policy=Policy(fields=fields))
    with desk.transaction() as tx:
        tx.sync_assets(ASSETS)
    yield desk
    desk.close()


def report(desk: Desk, asset: str = "pump-1", **fields: Any) -> Order:
    with desk.transaction() as tx:
        return tx.open_order(TECHNICIAN, at=T0, asset=asset, title="x", fields=fields)


def test_there_are_twelve_types_and_each_has_an_example() -> None:
    assert len(KINDS) == 12
    assert set(GOOD) == set(KINDS)


def test_every_type_comes_back_as_it_was_given(own: Desk) -> None:
    given = {f"f_{kind}": value for kind, value in GOOD.items()}
    order = report(own, **given)
    assert order.custom == given
    with own.transaction() as tx:
        order = tx.move(
            order.number, "set_fields", LEAD, order.version, T0, custom={"f_number": 13, "f_text": None}
        )
    assert order.custom == {
        **{name: value for name, value in given.items() if name != "f_text"},
        "f_number": 13,
    }
    with own.read() as read:
        assert read.verify().broken is None


@pytest.mark.parametrize(("kind", "value"), BAD, ids=str)
def test_a_value_that_does_not_fit_is_named(kind: str, value: Any) -> None:
    assert KINDS[kind](field(kind), value)


def test_an_unknown_field_and_a_wrong_value_are_refused_by_name(own: Desk) -> None:
    for given, named in (({"colour": "red"}, "custom.colour"), ({"f_number": 500}, "custom.f_number")):
        with pytest.raises(FieldError) as refusal:
            report(own, **given)
        assert refusal.value.fields == (named,)
    with own.read() as read:
        assert read.orders() == []


def test_what_is_needed_to_resolve_holds_it_back(own: Desk) -> None:
    order = report(own)
    with own.transaction() as tx:
        order = tx.move(order.number, "assign", LEAD, order.version, T0, assignee="li")
        order = tx.move(order.number, "start", TECHNICIAN, order.version, T0)
    done = {"symptom": "VIB", "mechanism": "wear", "remedy": "replace"}
    with pytest.raises(MissingFieldError) as refusal, own.transaction() as tx:
        tx.move(order.number, "resolve", TECHNICIAN, order.version, T0, **done)
    assert refusal.value.fields == ("custom.f_date",)
    with own.transaction() as tx:
        filled = {"f_date": "2026-01-01"}
        order = tx.move(order.number, "set_fields", TECHNICIAN, order.version, T0, custom=filled)
        assert tx.move(order.number, "resolve", TECHNICIAN, order.version, T0, **done).state == "resolved"


def test_an_order_keeps_the_fields_it_was_opened_under(own: Desk, url: str) -> None:
    order = report(own, f_text="old")
    later = Desk.open(url, site="demo")  # the site gave its fields up
    with later.transaction() as tx:
        kept = tx.move(order.number, "set_fields", LEAD, order.version, T0, custom={"f_number": 1})
    assert kept.custom == {"f_text": "old", "f_number": 1}
    with pytest.raises(FieldError, match="there is no field"):
        report(later, "pump-2", f_text="new")
    later.close()
