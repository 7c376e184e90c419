"""The web application, put together from what it is handed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from gateway.register import Register, introduce
from gateway.reload import taken_up_at
from gateway.site import Site
from gateway.store import Readable
from gateway.web import (
    account,
    alarms,
    api_alarms,
    api_exchange,
    api_figures,
    api_files,
    api_knowledge,
    api_orders,
    api_people,
    api_rules,
    health,
    ledger,
    orders,
    plant,
    preferences,
    probe,
    refusals,
    signin,
)
from gateway.web.api import refused
from gateway.web.daemon import Daemon, LiveFeed
from gateway.web.door import Door
from gateway.web.following import Follower
from gateway.web.guard import Guard
from gateway.web.house import House, may
from gateway.web.render import STATIC, Renderer, StaticAssets
from ticketing import Desk
from ticketing.printing import Typesetter


def furnished(site: Site, desk: Desk, store: Readable, daemon: Daemon, now: Callable[[], int]) -> House:
    """What the routes use; the core learns whom the site file names, and says from now on who is there."""
    introduce(desk, site, now())
    site = replace(site, people=Register(desk))
    door = Door(desk, site.web)
    return House(site, desk, store, daemon, LiveFeed(daemon), Renderer(site), now, door, Typesetter())


def create_app(
    site: Site,
    desk: Desk,
    store: Readable,
    daemon: Daemon,
    *,
    now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> FastAPI:
    """Pages and API of one site; ``now`` is UTC in ms."""
    app = FastAPI(title="Watchkeeper", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.house = furnished(site, desk, store, daemon, now)
    app.include_router(orders.router, dependencies=[may("order.read")])
    app.include_router(alarms.router)
    for api in (
        api_orders,
        api_alarms,
        api_files,
        api_knowledge,
        api_figures,
        api_exchange,
        api_people,
        api_rules,
    ):
        app.include_router(api.router)
    for part in (plant, health, ledger):
        app.include_router(part.router, dependencies=[may("plant.read")], responses=refused(503))
    app.include_router(probe.router, dependencies=[may("rule.write")], responses=refused(503))
    for open_to_all in (account, signin, preferences):  # they look for themselves
        app.include_router(open_to_all.router)

    @app.get("/api/openapi.json", include_in_schema=False, dependencies=[may("plant.read")])
    def description() -> dict[str, Any]:
        return app.openapi()

    app.mount("/static", StaticAssets(directory=STATIC))
    refusals.install(app)
    app.add_middleware(Follower, state=app.state, seen=taken_up_at(site))
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=6)
    app.add_middleware(Guard, hosts=site.web.hosts, secure=site.web.secure)
    return app
