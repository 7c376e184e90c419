"""The web application, put together from what it is handed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from fastapi import FastAPI
from starlette.middleware.gzip import GZipMiddleware

from gateway.config import Site
from gateway.store import Readable
from gateway.web import (
    api_figures,
    api_files,
    api_knowledge,
    api_orders,
    health,
    ledger,
    orders,
    plant,
    preferences,
    refusals,
)
from gateway.web.daemon import Daemon, LiveFeed
from gateway.web.guard import Guard
from gateway.web.house import House
from gateway.web.render import STATIC, Renderer, StaticAssets
from ticketing import Desk

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def create_app(
    site: Site,
    desk: Desk,
    store: Readable,
    daemon: Daemon,
    *,
    hosts: Iterable[str] = LOOPBACK,
    now: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
) -> FastAPI:
    """Pages and API of one site. ``hosts`` are the names it answers to; ``now`` is UTC in ms."""
    app = FastAPI(title="Watchkeeper", docs_url=None, redoc_url=None, openapi_url="/api/openapi.json")
    app.state.house = House(site, desk, store, daemon, LiveFeed(daemon), Renderer(site), now)
    app.include_router(orders.router)
    for api in (api_orders, api_files, api_knowledge, api_figures):
        app.include_router(api.router)
    app.include_router(plant.router)
    app.include_router(health.router)
    app.include_router(ledger.router)
    app.include_router(preferences.router)
    app.mount("/static", StaticAssets(directory=STATIC))
    refusals.install(app)
    app.add_middleware(GZipMiddleware, minimum_size=1000, compresslevel=6)
    app.add_middleware(Guard, hosts=hosts)
    return app
