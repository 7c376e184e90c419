"""The pages over real parts: the demo site, a desk, a history, a daemon's control socket, a server, a browser."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from gateway.config import load_site
from gateway.history import History
from gateway.site import Site
from gateway.web.app import create_app, furnished
from gateway.web.daemon import Daemon
from hatch_build import build_assets, compile_catalogs
from tests.web.scene import FakePlant, furnish, now_ms, record
from ticketing import Desk

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    """The assets and catalogs as a build would leave them; quick when they are fresh."""
    compile_catalogs(ROOT / "gateway" / "locale")
    build_assets(ROOT / "gateway" / "web")


@pytest.fixture(scope="session")
def site() -> Site:
    return load_site(ROOT / "examples" / "demo")


@pytest.fixture(scope="session")
def empty_core(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Path:
    """A database with its tables and nothing in them; copying it is quicker than making it."""
    path = tmp_path_factory.mktemp("core") / "core.db"
    Desk.open(path, site=site.site.id).close()
    return path


@pytest.fixture
def desk(tmp_path: Path, site: Site, empty_core: Path) -> Iterator[Desk]:
    """An empty desk of the demo site."""
    shutil.copy(empty_core, tmp_path / "core.db")
    opened = Desk.open(tmp_path / "core.db", site=site.site.id)
    yield opened
    opened.close()


@pytest.fixture
def week(desk: Desk, site: Site) -> Desk:
    """The desk after a week of work."""
    furnish(desk, site, now_ms())
    return desk


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory, site: Site) -> Iterator[History]:
    """An hour and a half of samples until now."""
    opened = History(tmp_path_factory.mktemp("history") / "history.db")
    record(opened, site, now_ms())
    yield opened
    opened.close()


@pytest.fixture
def daemon(tmp_path: Path, site: Site) -> Iterator[FakePlant]:
    """A daemon that answers."""
    plant = FakePlant(site, tmp_path / "control.sock")
    ready = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(plant.serve(ready)))
    thread.start()
    assert ready.wait(20)
    yield plant
    plant.stop()
    thread.join(20)


@pytest.fixture(scope="session")
def pages(site: Site, history: History, empty_core: Path) -> Iterator[FastAPI]:
    """The application of all tests, which takes half a second to get ready; each test furnishes its own house."""
    desk = Desk.open(empty_core.with_name("pages.db"), site=site.site.id)
    yield create_app(site, desk, history, Daemon(empty_core.with_name("none.sock")))
    desk.close()


@pytest.fixture
def app(pages: FastAPI, site: Site, desk: Desk, history: History, tmp_path: Path) -> FastAPI:
    """The application over ``desk``; the daemon answers in tests that ask for it."""
    pages.state.house = furnished(site, desk, history, Daemon(tmp_path / "control.sock"), now_ms)
    return pages


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    """A browser's requests without the browser; it reads Chinese."""
    with TestClient(app, base_url="http://localhost", headers={"Accept-Language": "zh-CN"}) as opened:
        yield opened


@pytest.fixture
def address(app: FastAPI) -> Iterator[str]:
    """Where a real server has the pages."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run)
    thread.start()
    deadline = now_ms() + 20_000
    while not server.started and now_ms() < deadline:
        thread.join(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://localhost:{port}"
    server.should_exit = True
    thread.join(20)
