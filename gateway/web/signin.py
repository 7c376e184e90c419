"""Signing in and out."""

from __future__ import annotations

import secrets
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from gateway import i18n
from gateway.web.door import BusyError, fresh_secret
from gateway.web.house import Form, Hall, House, Reader, inside
from ticketing import accounts, passwords, people, sessions

router = APIRouter(include_in_schema=False)
NO_CACHE = {"Cache-Control": "no-store"}


@router.get("/sign-in")
def sign_in_page(
    request: Request, house: Hall, target: Annotated[str, Query(alias="next", max_length=500)] = "/"
) -> Response:
    """Name and password; who may come without them goes on."""
    if house.door.unguarded():
        return RedirectResponse(inside(target), 303)
    return _page(request, house, target)


@router.post("/sign-in")
def sign_in(request: Request, house: Hall, given: Form, language: Reader) -> Response:
    """A session for the right name and password; otherwise nothing is said of which was wrong."""
    name, target = given.get("name", "").strip().lower()[:64], given.get("next", "/")
    _ = i18n.speaker(language)
    try:
        secret = _try(request, house, name, given.get("password", ""))
    except BusyError as error:
        said = _("Please wait %(seconds)s s before you try again.", seconds=error.seconds)
        answer = _page(request, house, target, 429, said=said, name=name)
        answer.headers["Retry-After"] = str(error.seconds)
        return answer
    if secret is None:
        return _page(request, house, target, 401, said=_("Name or password is not right."), name=name)
    answer = RedirectResponse(inside(target), 303, NO_CACHE)
    house.door.let_in(answer, secret)
    return answer


@router.post("/sign-out")
def sign_out(request: Request, house: Hall) -> Response:
    """The session is over, here and in the core."""
    secret, now = request.cookies.get(house.door.cookie, ""), house.now()
    with house.desk.transaction() as tx:
        if (session := sessions.find(tx, secret, now, house.door.span)) is not None:
            accounts.signed_out(tx, session.name, secret, now, address_of(request))
    answer = RedirectResponse("/sign-in", 303, {"Clear-Site-Data": '"cache"'})
    house.door.forget(answer)
    return answer


def _try(request: Request, house: House, name: str, password: str) -> str | None:
    """The secret of a new session, or None where name or password is wrong; BusyError."""
    address, old = address_of(request), request.cookies.get(house.door.cookie)
    with house.door.one_at_a_time():
        now = house.now()
        with house.desk.read() as read:
            wait = accounts.wait(read, name, address, now)
            kept = accounts.password_of(read, name)
        if wait > 0:
            raise BusyError(-(-wait // 1000))
        right = passwords.matches(kept, password)
        renewed = (
            passwords.hashed(password, secrets.token_bytes(16))
            if kept and right and passwords.outdated(kept)
            else None
        )
    secret = fresh_secret()
    with house.desk.transaction() as tx:
        if not right:
            accounts.failed(tx, name, now, address)
            return None
        sessions.sweep(tx, now, house.door.span)
        if old:
            sessions.close(tx, old)
        if renewed:
            accounts.keep_hash(tx, name, renewed)
        agent = request.headers.get("user-agent", "")
        accounts.signed_in(tx, name, secret, now, address=address, agent=agent)
    return secret


def _page(
    request: Request, house: House, target: str, status: int = 200, *, said: str = "", name: str = ""
) -> Response:
    with house.desk.read() as read:
        nobody = people.accounts(read) == 0
    return house.renderer.page(
        request, "sign-in.html", status, target=inside(target), said=said, name=name, nobody=nobody
    )


def address_of(request: Request) -> str:
    """Where the request comes from; behind a proxy on this machine, what the proxy says."""
    return request.client.host if request.client else ""
