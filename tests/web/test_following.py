"""The pages show the site that the daemon has taken up, without a restart."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from gateway.config import load_site
from gateway.history import History
from gateway.reload import take_up, taken_up_at
from gateway.web.app import create_app
from gateway.web.daemon import Daemon
from tests.web.conftest import ROOT
from ticketing import Desk


def test_the_pages_follow_what_the_daemon_has_taken_up(
    tmp_path: Path, history: History, desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "site"
    shutil.copytree(ROOT / "examples" / "demo", folder, ignore=shutil.ignore_patterns("state", "wires"))
    site = load_site(folder)
    site.state.mkdir()
    take_up(site)  # the daemon started
    assets, state = folder / "assets.toml", site.state
    with TestClient(
        create_app(site, desk, history, Daemon(state / "control.sock")), base_url="http://localhost"
    ) as pages:

        def reloaded() -> None:
            """The daemon has taken the folder up; clocks of file systems are coarse."""
            before = taken_up_at(site)
            take_up(site)
            os.utime(state / "taken-up", ns=(before + 1_000_000, before + 1_000_000))

        assert pages.get("/assets/pump-9").status_code == 404
        assets.write_text(assets.read_text() + '\n[asset.pump-9]\nclass = "pump"\nname_zh = "备用泵"\n')
        assert pages.get("/assets/pump-9").status_code == 404, "the daemon does not know it yet"
        reloaded()
        assert "备用泵" in pages.get("/assets/pump-9").text
        assets.write_text(assets.read_text() + "\nnonsense")
        reloaded()
        assert pages.get("/assets/pump-9").status_code == 200, "as it was, since the folder is wrong now"
        assert "the pages show the site as it was: assets.toml" in caplog.text
