"""The pages follow the daemon: what it has taken up of a changed site folder is shown from the next request on."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import State
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.config import load_site
from gateway.mistakes import ConfigError
from gateway.reload import taken_up_at
from gateway.site import Site
from gateway.web.house import House

log = logging.getLogger(__name__)


class Follower:
    """Middleware that reads the site folder again once the daemon has; ``state.house`` is what the routes use.

    ``seen`` is when the daemon had last taken up the site that is there now (see ``taken_up_at``).
    """

    def __init__(self, app: ASGIApp, state: State, seen: int) -> None:
        self.app = app
        self._state = state
        self._seen = seen
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and taken_up_at(self._state.house.site) != self._seen:
            async with self._turn:
                await self._follow()
        await self.app(scope, receive, send)

    async def _follow(self) -> None:
        house: House = self._state.house
        at = taken_up_at(house.site)
        if at == self._seen:
            return
        self._seen = at
        try:
            site = await run_in_threadpool(load_site, house.site.folder)
        except ConfigError as error:  # it was changed again meanwhile
            log.warning("the pages show the site as it was: %s", error.mistakes[0])
        else:
            self._state.house = _moved(house, site)
            log.info("the pages show the changed site")


def _moved(house: House, site: Site) -> House:
    """The same house with another site in it; how the pages are served changes with a restart."""
    site = replace(site, people=house.site.people, web=house.site.web)
    house.store.learn_classes(site.class_of)
    house.renderer.site = site
    return replace(house, site=site)
