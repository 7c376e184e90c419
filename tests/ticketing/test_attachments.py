"""Files on an order: kept once, checked for kind and size, never added to what is closed."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest

from tests.ticketing.scene import LEAD, T0, TECHNICIAN, raised
from tests.ticketing.trace import play
from ticketing import Actor, Desk, FieldError, ForbiddenError, MoveRefusedError, NotFoundError, attachments
from ticketing.records import DAY

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
PHOTO = {"name": "轴承.png", "mime": "image/png", "data": PNG}


def test_a_photo_is_kept_once_and_found_again(desk: Desk) -> None:
    with desk.transaction() as tx:
        number = tx.alarm_raised(raised("a")).number or ""
        first = tx.attach(TECHNICIAN, number, at=T0, **PHOTO)
        assert tx.attach(LEAD, number, at=T0 + 5, **PHOTO) == first
    with desk.read() as read:
        assert read.attachments(number) == [first]
        assert read.attachment(number, hashlib.sha256(PNG).hexdigest()) == PNG
        assert [e.type for e in read.timeline(number)].count("attach") == 1
        with pytest.raises(NotFoundError):
            read.attachment(number, "0" * 64)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "../../etc/passwd"}, "name"),
        ({"name": ""}, "name"),
        ({"mime": "text/html"}, "mime"),
        ({"mime": "application/pdf"}, "data"),
        ({"data": b"<html>"}, "data"),
        ({"data": PNG + b"x" * 10 * 1024 * 1024}, "data"),
    ],
)
def test_a_file_is_what_it_says(desk: Desk, change: dict[str, object], field: str) -> None:
    with desk.transaction() as tx:
        number = tx.alarm_raised(raised("a")).number or ""
        with pytest.raises(FieldError) as refusal:
            tx.attach(TECHNICIAN, number, at=T0, **{**PHOTO, **change})  # type: ignore[arg-type]
        assert refusal.value.fields == (field,)


def test_nothing_is_added_to_a_closed_order_nor_by_those_who_only_look(desk: Desk) -> None:
    play(desk, "0s raise a pump-1 VIB 4 | opened 1")
    with desk.transaction() as tx, pytest.raises(ForbiddenError):
        tx.attach(Actor("v", frozenset({"viewer"})), "WO-2026-000001", at=T0, **PHOTO)
    play(desk, "1m close 1 | closed")
    with desk.transaction() as tx, pytest.raises(MoveRefusedError, match="nothing is added"):
        tx.attach(LEAD, "WO-2026-000001", at=T0, **PHOTO)


def test_one_person_adds_so_much_a_day(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attachments, "PER_DAY", 2 * len(PNG))
    with desk.transaction() as tx:
        number = tx.alarm_raised(raised("a")).number or ""
        tx.attach(TECHNICIAN, number, at=T0, **PHOTO)
        with pytest.raises(FieldError, match="a day"):
            tx.attach(TECHNICIAN, number, at=T0 + 1, **{**PHOTO, "data": PNG + b"more"})
        tx.attach(TECHNICIAN, number, at=T0 + DAY, **{**PHOTO, "data": PNG + b"more"})


def test_text_that_no_database_holds_is_a_field_and_not_a_failure(desk: Desk) -> None:
    with pytest.raises(FieldError, match="NUL"), desk.transaction() as tx:
        tx.open_order(TECHNICIAN, at=T0, asset="pump-1", title="a\0b")
    with suppress(FieldError), desk.read() as read:  # PostgreSQL says so, SQLite looks for it
        assert read.orders(text="\0") == []
