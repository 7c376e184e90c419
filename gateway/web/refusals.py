"""What went wrong, said so that the reader knows what to do: a page for people, JSON for programs."""

from __future__ import annotations

import logging
import secrets
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, RedirectResponse, Response

from gateway import i18n
from gateway.i18n import Language
from gateway.store import StoreError
from gateway.web.daemon import DaemonAwayError, TooManyListenersError
from gateway.web.door import BusyError, SignInNeededError
from gateway.web.guard import HEADERS
from gateway.web.house import House
from gateway.web.render import reader_language
from ticketing import FieldError, ForbiddenError, MoveRefusedError, NotFoundError, StaleError, StorageError
from ticketing.printing import PrintingError

log = logging.getLogger(__name__)

REFUSALS: dict[type[Exception], int] = {
    NotFoundError: 404,
    MoveRefusedError: 409,
    ForbiddenError: 403,
    StaleError: 409,
    FieldError: 422,
    RequestValidationError: 422,
    DaemonAwayError: 503,
    TooManyListenersError: 503,
    StoreError: 503,
    StorageError: 503,
    PrintingError: 503,
    SignInNeededError: 401,
    BusyError: 429,
    HTTPException: 400,
}


def status_of(error: Exception) -> int:
    """The HTTP status that says what kind of refusal this is."""
    if isinstance(error, MoveRefusedError):
        return 403 if error.why == "role" else 409
    if isinstance(error, HTTPException):  # a body that is no text is as wrong as one that is no JSON
        return 422 if error.status_code == 400 else error.status_code
    return next((status for kind, status in REFUSALS.items() if isinstance(error, kind)), 500)


def refusal(error: Exception, language: Language) -> str:
    """``error`` in the reader's words."""
    _ = i18n.speaker(language)
    match error:
        case MoveRefusedError():
            text = _move_refusal(error, language)
        case FieldError():
            names = _(", ").join(i18n.term(language, "field", name) for name in error.fields)
            text = _("Please check: %(fields)s. Nothing was changed.", fields=names)
        case RequestValidationError():
            names = _(", ").join(sorted({".".join(map(str, found["loc"][1:2])) for found in error.errors()}))
            text = _("The address or the data is not as it should be: %(fields)s.", fields=names)
        case BusyError():
            text = _("Please wait %(seconds)s s before you try again.", seconds=error.seconds)
        case DaemonAwayError() | StoreError() | StorageError() | TooManyListenersError():
            text = _unreachable(error, language)
        case SignInNeededError():
            text = _("Please sign in.")
        case ForbiddenError():
            text = _("That is for somebody else to do.")
        case PrintingError():
            text = _("No PDF can be made here just now; the page to print can.")
        case StaleError():
            text = _("Somebody changed this meanwhile. Please read it again and repeat what you wanted.")
        case _ if status_of(error) == 404:
            text = _("There is nothing at this address. It may have been mistyped.")
        case _:
            text = _("That is not possible here.")
    return text


def _unreachable(error: Exception, language: Language) -> str:
    """A part that the answer needs is away."""
    _ = i18n.speaker(language)
    match error:
        case DaemonAwayError():
            return _(
                "The gateway does not answer. Start it with “watchkeeper run”; work orders can be read meanwhile."
            )
        case StoreError():
            return _(
                "The store of measurements does not answer; nothing is lost, the samples wait in the spool."
            )
        case StorageError():
            return _("The work orders cannot be reached just now. Nothing was changed; please try again.")
    return _("Too many live pages are open. Close some and try again.")


def _move_refusal(error: MoveRefusedError, language: Language) -> str:
    _ = i18n.speaker(language)
    state = i18n.term(language, "state", error.state.value)
    if error.why == "stale":
        return _(
            "Somebody changed this order meanwhile. Below is how it stands now; please look and try again."
        )
    if error.why == "illegal":
        return _("That is no longer possible: the order is now “%(state)s”.", state=state)
    if error.why == "role":
        return _("That is for somebody else to do.")
    reason = str(error).partition(": ")[2].lstrip("0123456789 ")
    return _("Not yet: %(reason)s.", reason=i18n.term(language, "guard", reason))


def install(app: FastAPI) -> None:
    """Answer each kind of refusal; an error of ours shows an id and nothing else."""
    for kind in REFUSALS:
        app.add_exception_handler(kind, _refused)
    app.add_exception_handler(Exception, _broken)


async def _refused(request: Request, error: Exception) -> Response:
    if isinstance(error, SignInNeededError) and not request.url.path.startswith("/api/"):
        return _to_the_door(request)
    answer = _answer(request, status_of(error), error)
    if answer.status_code == 403:
        visiting = getattr(request.state, "visitor", None)
        name = visiting.actor.name if visiting else "somebody"
        log.warning("refused %s: %s %s: %s", name, request.method, request.url.path, error)
    if isinstance(error, SignInNeededError):
        answer.headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, BusyError):
        answer.headers["Retry-After"] = str(error.seconds)
    return answer


def _to_the_door(request: Request) -> Response:
    """A page that nobody is known for leads to the sign-in, and back to it; within a page, htmx goes there."""
    address = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    door = "/sign-in" + (f"?next={quote(address)}" if request.method == "GET" else "")
    if request.headers.get("hx-request"):
        return Response(status_code=401, headers={"HX-Redirect": door})
    return RedirectResponse(door, 303)


async def _broken(request: Request, error: Exception) -> Response:
    mark = secrets.token_hex(4)
    log.error("error %s at %s %s", mark, request.method, request.url.path, exc_info=error)
    answer = _answer(request, 500, error, mark)
    answer.headers.update(HEADERS)  # Starlette answers this one outside our middleware
    return answer


def _answer(request: Request, status: int, error: Exception, mark: str = "") -> Response:
    house: House = request.app.state.house
    language = reader_language(house.site, request)
    _ = i18n.speaker(language)
    if mark:
        text = _("Something went wrong on our side. If it stays, report error %(mark)s.", mark=mark)
    else:
        text = refusal(error, language)
    if not request.url.path.startswith("/api/"):
        return house.renderer.page(request, "refusal.html", status, text=text)
    body: dict[str, Any] = {"error": text, "detail": "" if mark else _detail(error)}
    if isinstance(error, MoveRefusedError):
        body |= {"why": error.why, "state": error.state.value, "version": error.version}
    if isinstance(error, FieldError):
        body["fields"] = list(error.fields)
    return JSONResponse(body, status)


def _detail(error: Exception) -> str:
    if isinstance(error, RequestValidationError):
        return "; ".join(f"{'.'.join(map(str, found['loc']))}: {found['msg']}" for found in error.errors())
    return str(error)
