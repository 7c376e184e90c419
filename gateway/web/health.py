"""The gateway's own state: what is wrong and what to do, then the figures; and the same for machines."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse, PlainTextResponse

from gateway.web.daemon import DaemonAwayError
from gateway.web.house import Hall

router = APIRouter()


@router.get("/health", include_in_schema=False)
async def health_page(request: Request, house: Hall) -> Response:
    """For the owner of the box."""
    try:
        body = await house.daemon.ask("health")
    except DaemonAwayError as error:
        body, away = None, str(error)
    else:
        away = ""
    return house.renderer.page(
        request, "health.html", body=body, away=away, pages_version=version("watchkeeper")
    )


@router.get(
    "/api/health",
    responses={
        503: {"model": dict[str, Any], "description": "the same report: it is away, or something is wrong"}
    },
)
async def health(house: Hall) -> Response:
    """The daemon's report; 503 when it is away or something is wrong."""
    try:
        body: dict[str, Any] = await house.daemon.ask("health")
    except DaemonAwayError as error:
        body = {"ok": False, "problems": [{"what": "Gateway is away", "detail": str(error), "remedy": ""}]}
    return JSONResponse(body, 200 if body["ok"] else 503)


@router.get("/metrics", include_in_schema=False)
async def metrics(house: Hall) -> Response:
    """The daemon's metrics for Prometheus."""
    return PlainTextResponse(await house.daemon.ask("metrics"), media_type="text/plain; version=0.0.4")
