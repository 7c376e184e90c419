"""One's own account: where one is signed in, a new password, the tokens of one's programs."""

from __future__ import annotations

import secrets

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from gateway import i18n
from gateway.web.door import BusyError, Visitor, fresh_secret
from gateway.web.house import Form, Hall, House, Reader, visitor
from gateway.web.refusals import refusal
from gateway.web.signin import address_of
from ticketing import FieldError, accounts, passwords, people, sessions, tokens

router = APIRouter(include_in_schema=False)


@router.get("/account")
def account_page(request: Request, house: Hall) -> Response:
    """Whoever sits at an unguarded gateway has no account."""
    visiting = visitor(request)
    return _page(request, house, visiting) if visiting.session else RedirectResponse("/orders", 303)


@router.post("/account/password")
def new_password(request: Request, house: Hall, given: Form, language: Reader) -> Response:
    """A new password, for the old one: signed out everywhere else, and here with a new session."""
    visiting = visitor(request)
    if visiting.session is None:
        return RedirectResponse("/orders", 303)
    name, new = visiting.actor.name, given.get("new", "")
    _ = i18n.speaker(language)
    with house.desk.read() as read:
        kept, title = accounts.password_of(read, name), people.get(read, name).title
    if passwords.weakness(new, [name, title, house.site.site.id, house.site.site.name]) is not None:
        said = _(
            "Please choose another: at least %(least)s characters, and not one that is tried first.", least=12
        )
        return _page(request, house, visiting, 422, said)
    try:
        with house.door.one_at_a_time():
            right = passwords.matches(kept, given.get("old", ""))
            fresh = passwords.hashed(new, secrets.token_bytes(16)) if right else ""
    except BusyError:
        return _page(
            request, house, visiting, 429, _("Please wait %(seconds)s s before you try again.", seconds=5)
        )
    now, address, secret = house.now(), address_of(request), fresh_secret()
    with house.desk.transaction() as tx:
        if not right:
            accounts.failed(tx, name, now, address)
        else:
            accounts.set_password(tx, visiting.actor, name, fresh, now)
            agent = request.headers.get("user-agent", "")
            accounts.signed_in(tx, name, secret, now, address=address, agent=agent)
    if not right:
        return _page(request, house, visiting, 422, _("The present password is not right."))
    answer = RedirectResponse("/account", 303)
    house.door.let_in(answer, secret)
    return answer


@router.post("/account/pin")
def new_pin(request: Request, house: Hall, given: Form, language: Reader) -> Response:
    """What orders are signed with from now on."""
    visiting = visitor(request)
    if visiting.session is None:
        return RedirectResponse("/orders", 303)
    try:
        with house.desk.transaction() as tx:
            pin, salt = given.get("pin", ""), secrets.token_bytes(16)
            tx.set_pin(visiting.actor, pin, salt=salt, at=house.now())
    except FieldError as error:
        return _page(request, house, visiting, 422, refusal(error, language))
    return RedirectResponse("/account", 303)


@router.post("/account/sign-out-everywhere")
def sign_out_everywhere(request: Request, house: Hall) -> Response:
    """Every session of this person ends, this one too."""
    with house.desk.transaction() as tx:
        sessions.close_all(tx, visitor(request).actor.name)
    answer = RedirectResponse("/sign-in", 303)
    house.door.forget(answer)
    return answer


def _page(request: Request, house: House, visiting: Visitor, status: int = 200, said: str = "") -> Response:
    name, now = visiting.actor.name, house.now()
    with house.desk.read() as read:
        return house.renderer.page(
            request,
            "account.html",
            status,
            me=people.get(read, name),
            here=visiting.session,
            open_sessions=sessions.listed(read, name, now, house.door.span),
            tokens=tokens.listed(read, name),
            last=accounts.last_sign_in(read, name),
            said=said,
        )
