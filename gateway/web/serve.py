"""The pages' own process: everything opened, served until it is told to stop."""

from __future__ import annotations

import logging
import socket
from pathlib import Path

import uvicorn

from gateway import logs
from gateway.building import build_reader
from gateway.site import Site
from gateway.web.app import create_app
from gateway.web.daemon import Daemon
from ticketing import Desk

log = logging.getLogger(__name__)


def serve(site: Site, desk: Desk) -> None:
    """Serve until SIGTERM or SIGINT. OSError when the port is taken."""
    logs.set_up()
    store = build_reader(site)
    app = create_app(site, desk, store, Daemon(site.state / "control.sock"))
    sock = socket.create_server((site.web.host, site.web.port))
    settings = uvicorn.Config(
        app,
        log_config=None,
        ssl_certfile=_path(site, site.web.certificate),
        ssl_keyfile=_path(site, site.web.key),
        proxy_headers=site.web.proxied,  # X-Forwarded-For, from a proxy on this machine only
        h11_max_incomplete_event_size=16 << 10,  # bytes of headers
        limit_concurrency=256,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,  # s; pages with a live stream never end by themselves
    )
    scheme = "https" if site.web.certificate else "http"
    log.info("pages on %s://%s:%d/", scheme, site.web.host, site.web.port)
    try:
        uvicorn.Server(settings).run(sockets=[sock])
    finally:
        store.close()
        desk.close()


def _path(site: Site, file: Path | None) -> str | None:
    """As the site file says it, relative to its folder."""
    return str(site.folder / file) if file else None
