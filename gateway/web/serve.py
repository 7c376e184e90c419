"""The pages' own process: everything opened, served on loopback until it is told to stop."""

from __future__ import annotations

import logging
import socket

import uvicorn

from gateway import logs
from gateway.building import build_reader
from gateway.config import Site
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
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=3,  # s; pages with a live stream never end by themselves
    )
    log.info("pages on http://%s:%d/", site.web.host, site.web.port)
    try:
        uvicorn.Server(settings).run(sockets=[sock])
    finally:
        store.close()
        desk.close()
