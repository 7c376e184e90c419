"""An order on paper: as a page and as PDF, whatever people wrote in it, with the hash of what was signed."""

from __future__ import annotations

import hashlib
import struct
import zlib
from dataclasses import replace

import pytest

from tests.ticketing.scene import LEAD, T0, TECHNICIAN
from ticketing import Desk
from ticketing.printing import Paper, PrintingError, Typesetter, lay_out, original_in, page
from ticketing.printing import pdf as printing

pytestmark = [
    pytest.mark.parametrize("url", ["sqlite"], indirect=True),  # paper is the same from both databases
    pytest.mark.needs("fonts"),
]
DONE = {"symptom": "VIB", "mechanism": "wear", "remedy": "replace"}
HOSTILE = (
    '#panic("run") #read("/etc/passwd") #include "order.typ"',
    '"); #panic("out of the string") //',
    "$ sum_(i=0)^n $ `raw` *bold* _it_ = heading @ref <label> \\ #",
    "<script>alert(1)</script> & </table>",
    "\u202eright to left\u202c \x07 \ufeff" + "长" * 2_000 + "x" * 1_900,
    "[[[[{{{{((((",
)


def both(kind: str, code: str) -> str:
    return f"{kind} {code}"


def signed(desk: Desk, text: str = "漏油", picture: bytes | None = None) -> Paper:
    """The paper of an order with ``text`` wherever people may write, signed by hand or by name."""
    given: list[tuple[str, dict[str, object]]] = [
        ("add_cost", {"cost_kind": "part", "cost_fen": 80_00, "comment": text[:200]}),
        ("comment", {"comment": text[:200]}),
        ("resolve", DONE),
    ]
    with desk.transaction() as tx:
        order = tx.open_order(TECHNICIAN, at=T0, asset="pump-1", title=text[:100], description=text)
        order = tx.move(order.number, "assign", LEAD, order.version, T0 + 1, assignee="li")
        order = tx.move(order.number, "start", TECHNICIAN, order.version, T0 + 2)
        for at, (move, fields) in enumerate(given, T0 + 3):
            order = tx.move(order.number, move, TECHNICIAN, order.version, at, **fields)
        drawn = {}
        if picture is not None:
            kept = tx.attach(LEAD, order.number, at=T0 + 8, name="s.png", mime="image/png", data=picture)
            drawn = {"signature": kept.sha256}
        tx.move(order.number, "sign_off", LEAD, order.version, T0 + 9, stars=5, **drawn)
        return lay_out(tx, order.number, both)


def png(width: int, height: int) -> bytes:
    """A white picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer, rows = zlib.compressobj(9), bytearray()
    for _ in range(height):
        rows += packer.compress(b"\0" + b"\xff" * width)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", bytes(rows + packer.flush())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def test_the_pdf_carries_what_was_signed_and_is_the_same_each_time(desk: Desk) -> None:
    paper = signed(desk, picture=png(300, 100))
    with desk.read() as read:
        seal = read.seal(paper.number)
    pdf = Typesetter().pdf(paper)
    original = original_in(pdf)
    assert original is not None
    assert original.decode() == paper.document
    assert hashlib.sha256(original).hexdigest() == seal["document"] == paper.sha256
    assert Typesetter().pdf(paper) == pdf
    assert b"/Subtype/Image" in pdf
    assert original_in(b"%PDF-1.7 /Type /EmbeddedFile >>\nstream\nnothing") is None


@pytest.mark.parametrize("text", HOSTILE)
def test_what_people_wrote_is_shown_and_never_run(desk: Desk, text: str) -> None:
    paper = signed(desk, text)
    assert Typesetter().pdf(paper).startswith(b"%PDF-")
    html = page(paper)
    assert paper.sha256 in html
    assert "<script" not in html
    assert not set("\u202e\x07") & set(html)


def test_a_picture_that_cannot_be_set_is_left_out(desk: Desk) -> None:
    paper = signed(desk, picture=png(10, 10)[:-20])
    pdf = Typesetter().pdf(paper)
    assert b"/Subtype/Image" not in pdf
    assert paper.picture is not None


def test_a_paper_that_was_changed_afterwards_says_so(desk: Desk) -> None:
    paper = signed(desk)
    with desk.transaction() as tx:  # as somebody with the database in hand would
        tx.connection.exec_driver_sql("UPDATE wo_cost SET cost_fen = 1")
        changed = lay_out(tx, paper.number, both)
    assert "NOT what was signed" in page(changed)
    assert "NOT what was signed" not in page(paper)


def test_what_is_missing_is_named(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    paper = replace(signed(desk), picture=None)
    with pytest.raises(PrintingError, match="fonts-noto-cjk"):
        Typesetter(["Nowhere Sans"]).pdf(paper)
    monkeypatch.setattr(printing, "find_spec", lambda _: None)
    with pytest.raises(PrintingError, match=r"watchkeeper\[pdf\]"):
        Typesetter().pdf(paper)
