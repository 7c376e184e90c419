"""What the pages were handed, and how a route asks for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Depends, Request

from gateway.i18n import Language
from gateway.site import Site
from gateway.store import Readable
from gateway.web.daemon import Daemon, LiveFeed
from gateway.web.door import Door, Visitor
from gateway.web.render import Renderer, reader_language
from ticketing import Actor, Desk, require
from ticketing.printing import Typesetter


@dataclass(frozen=True)
class House:
    """Everything a route may use. ``now`` is UTC in ms."""

    site: Site
    desk: Desk
    store: Readable
    daemon: Daemon
    feed: LiveFeed
    renderer: Renderer
    now: Callable[[], int]
    door: Door
    typesetter: Typesetter


def _house(request: Request) -> House:
    house: House = request.app.state.house
    return house


def _language(request: Request) -> Language:
    return reader_language(_house(request).site, request)


def visitor(request: Request) -> Visitor:
    """Whoever sent the request, by session or token; SignInNeededError."""
    found: Visitor | None = getattr(request.state, "visitor", None)
    if found is None:
        house = _house(request)
        found = request.state.visitor = house.door.visitor(request, house.now())
    return found


def actor(request: Request) -> Actor:
    """As whom they act."""
    return visitor(request).actor


async def _form(request: Request) -> dict[str, str]:
    """A plain HTML form; nothing here takes files."""
    return dict(parse_qsl((await request.body()).decode(errors="replace"), max_num_fields=64))


def inside(address: str) -> str:
    """``address`` where it stays on this site, else the front page."""
    return address if address.startswith("/") and not address.startswith(("//", "/\\")) else "/"


Hall = Annotated[House, Depends(_house)]
Reader = Annotated[Language, Depends(_language)]
Who = Annotated[Actor, Depends(actor)]
Form = Annotated[dict[str, str], Depends(_form)]


def may(permission: str) -> Any:
    """For a route's ``dependencies``: whoever asks has this permission of the table, or is refused (403)."""

    def check(who: Who) -> None:
        require(who, permission)

    check.permission = permission  # type: ignore[attr-defined]  # the tests ask each route for its own
    return Depends(check)
