"""What the gateway says about itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fastapi import FastAPI
from starlette.testclient import TestClient

from gateway.site import Site
from gateway.web.door import Door
from tests.web.scene import FakePlant, health
from ticketing import Desk


def test_all_is_well(client: TestClient, daemon: FakePlant) -> None:
    page = client.get("/health").text
    assert "一切正常" in page
    assert "Modbus RTU" in page
    assert client.get("/api/health").json()["ok"] is True


def test_what_is_wrong_is_said_with_what_to_do(client: TestClient, daemon: FakePlant, site: Site) -> None:
    store = {"connected": False, "lag": 95.0, "detail": "connection refused", "name": "influxdb"}
    daemon.report = health(site, store=store)
    page = client.get("/health").text
    assert "存储离线：connection refused" in page
    assert "请检查存储的地址、服务和凭据" in page
    assert client.get("/api/health").status_code == 503


def test_a_daemon_that_is_away_is_said_so(client: TestClient) -> None:
    page = client.get("/health").text
    assert "网关无应答" in page
    assert "journalctl" in page
    answer = client.get("/api/health")
    assert answer.status_code == 503
    assert answer.json()["problems"][0]["what"] == "Gateway is away"
    assert client.get("/metrics").status_code == 503


def test_alarms_that_wait_for_a_shared_core_are_counted(
    client: TestClient, daemon: FakePlant, site: Site
) -> None:
    daemon.report = health(site, core={"waiting": 3, "trouble": "no route to host"})
    page = client.get("/health").text
    assert "工单库无法访问" in page
    assert "3 changes of alarms wait: no route to host" in page
    assert "判断照常进行" in page


def test_while_a_shared_core_is_away_every_page_says_so(
    client: TestClient, app: FastAPI, site: Site, tmp_path: Path
) -> None:
    gone = Desk.open(f"postgresql://nobody@/works?host={tmp_path}", site=site.site.id, later=True)
    app.state.house = replace(app.state.house, desk=gone, door=Door(gone, site.web))
    for path in ("/", "/live"):
        page = client.get(path)
        assert page.status_code == 503
        assert "暂时无法访问工单" in page.text
    answer = client.get("/api/work-orders")
    assert answer.status_code == 503
    assert "does not answer" in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


def test_metrics_are_the_daemons_own(client: TestClient, daemon: FakePlant) -> None:
    answer = client.get("/metrics")
    assert answer.text == "watchkeeper_ok 1.0\n"
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_a_device_behind_a_cut_line_is_not_called_healthy(client: TestClient, daemon: FakePlant) -> None:
    daemon.report["sources"][0] |= {"up": False, "detail": "no route to host"}
    page = client.get("/health").text
    assert "no route to host" in page
    assert page.count("线路中断") == 1
