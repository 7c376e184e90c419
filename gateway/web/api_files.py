"""Files of an order: what people attach, the document that was signed, and the PIN it is signed with."""

from __future__ import annotations

import secrets
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Header, Query, Response
from pydantic import Field

from gateway import i18n
from gateway.web.api import Bytes, Given, refused, takes
from gateway.web.house import Hall, Who, may
from ticketing import Attachment
from ticketing.attachments import BEGINS
from ticketing.printing import lay_out, page

router = APIRouter(tags=["Work orders"])


class Pin(Given):
    """What you sign with from now on."""

    pin: str = Field(description="4 to 12 digits, not all the same", max_length=64)


@router.get("/api/work-orders/{number}/attachments", dependencies=[may("order.read")], responses=refused(404))
def attachments(house: Hall, number: str) -> list[Attachment]:
    """What is attached to the order, oldest first."""
    with house.desk.read() as desk:
        desk.order(number)
        return desk.attachments(number)


@router.post(
    "/api/work-orders/{number}/attachments",
    status_code=201,
    dependencies=[may("order.attach")],
    responses=refused(404, 409),
    openapi_extra=takes(*BEGINS),
)
def attach(
    *,
    house: Hall,
    number: str,
    who: Who,
    data: Bytes,
    name: Annotated[str, Query(description="the file's name, such as bearing.jpg", max_length=200)],
    content_type: Annotated[str, Header(include_in_schema=False)] = "",
) -> Attachment:
    """Add a photo or a PDF of at most 10 MiB: the body is the file; the same bytes again are the same attachment."""
    mime = content_type.partition(";")[0].strip().lower()
    with house.desk.transaction() as desk:
        return desk.attach(who, number, at=house.now(), name=name, mime=mime, data=data)


@router.get(
    "/api/work-orders/{number}/attachments/{sha256}",
    dependencies=[may("order.read")],
    responses={**refused(404), 200: {"content": {mime: {} for mime in BEGINS}, "description": "the file"}},
    response_class=Response,
)
def attachment(house: Hall, number: str, sha256: str) -> Response:
    """The file itself, always as a download."""
    with house.desk.read() as desk:
        data = desk.attachment(number, sha256)
        kept = next(each for each in desk.attachments(number) if each.sha256 == sha256)
    return _file(kept.name, data, kept.mime)


@router.get(
    "/api/work-orders/{number}/document.json",
    dependencies=[may("order.read")],
    responses={**refused(404), 200: {"content": {"application/json": {}}, "description": "canonical JSON"}},
    response_class=Response,
)
def document(house: Hall, number: str) -> Response:
    """The order as it was signed: the SHA-256 of these bytes is the one in its history ("sealed")."""
    with house.desk.read() as desk:
        text = desk.document(number)
    return _file(f"{number}.json", text.encode(), "application/json")


@router.get(
    "/api/work-orders/{number}/document.html",
    dependencies=[may("order.read")],
    responses={**refused(404), 200: {"content": {"text/html": {}}, "description": "one page, to print"}},
    response_class=Response,
)
def printable(house: Hall, number: str) -> Response:
    """The same as one page to print, in both languages, with signature and hash."""
    with house.desk.read() as desk:
        paper = lay_out(desk, number, i18n.both)
    return _file(f"{number}.html", page(paper).encode(), "text/html; charset=utf-8")


@router.get(
    "/api/work-orders/{number}/document.pdf",
    dependencies=[may("order.read")],
    responses={**refused(404, 503), 200: {"content": {"application/pdf": {}}, "description": "A4"}},
    response_class=Response,
)
def pdf(house: Hall, number: str) -> Response:
    """The same as PDF, with the JSON document attached to it. 503 where Typst or a Chinese font is missing."""
    with house.desk.read() as desk:
        paper = lay_out(desk, number, i18n.both)
    return _file(f"{number}.pdf", house.typesetter.pdf(paper), "application/pdf")


@router.put("/api/me/pin", status_code=204, dependencies=[may("order.open")], responses=refused())
def set_pin(house: Hall, who: Who, given: Pin) -> None:
    """The PIN that you sign orders off with where no signature is drawn."""
    with house.desk.transaction() as desk:
        desk.set_pin(who, given.pin, salt=secrets.token_bytes(16), at=house.now())


def _file(name: str, data: bytes, mime: str) -> Response:
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
    return Response(data, 200, headers, mime)
