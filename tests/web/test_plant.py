"""Live values, assets and series over HTTP."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from devices.batch import Batch, signal_set
from gateway.history import History
from gateway.site import Site
from gateway.spool import Entry
from gateway.web.app import create_app, furnished
from gateway.web.daemon import Daemon, LiveFeed, Mailbox
from gateway.web.plant import MS, limit_lines
from models import LifeSettings, Scope
from tests.web.scene import FakePlant, now_ms
from ticketing import Desk


def asked(minutes: float, **more: object) -> dict[str, object]:
    now = now_ms()
    return {"start": now - round(minutes * 60_000), "end": now, **more}


def test_every_machine_stands_on_the_live_page_with_its_values(client: TestClient, daemon: FakePlant) -> None:
    page = client.get("/live").text
    assert page.count("data-signal=") == 26
    assert "1 号空压机" in page
    assert "异常分数" in page
    assert "data-away hidden" in page


def test_without_a_daemon_the_live_page_says_what_to_do(client: TestClient) -> None:
    page = client.get("/live").text
    assert "网关无应答" in page
    assert "watchkeeper run" in page
    assert "data-away hidden" not in page


def test_a_site_without_machines_says_how_to_begin(
    site: Site, desk: Desk, history: History, daemon: FakePlant
) -> None:
    bare = replace(site, assets={}, rules={}, models={})
    with TestClient(
        create_app(bare, desk, history, Daemon(daemon.path)), base_url="http://localhost"
    ) as client:
        assert "assets.toml" in client.get("/live").text
        assert client.get("/orders").status_code == 200


def test_a_signal_with_remaining_life_brings_its_forecast(
    pages: FastAPI, site: Site, desk: Desk, history: History, tmp_path: Path
) -> None:
    life = LifeSettings(kind="life", scope=Scope(assets=("pump-1",)), signals=("vib_rms",), limit=9.0)
    now, names = now_ms(), ("pump-1/rul", "pump-1/rul_low", "pump-1/rul_high")
    told = Batch(
        signal_set("life", names), now * MS, now * MS, np.array([12.0, 8.0, 20.0]), np.zeros(3, np.uint8)
    )
    history.write([Entry(2, (told,), 3, 0, now * MS)])
    living = replace(site, models={**site.models, "life": life})
    pages.state.house = furnished(
        living, desk, history, Daemon(tmp_path / "control.sock"), lambda: now + 1000
    )
    with TestClient(pages, base_url="http://localhost") as client:
        query: dict[str, Any] = {
            "signal": ["pump-1/vib_rms", "fan-1/flow"],
            "start": now - 60_000,
            "end": now + 60_000,
        }
        vibration, flow = client.get("/api/series", params=query).json()["series"]
        assert vibration["forecast"] == {
            "time": now,
            "limit": 9.0,
            "left": 12 * 3.6e6,
            "low": 8 * 3.6e6,
            "high": 20 * 3.6e6,
        }
        assert flow["forecast"] is None
        query["end"] = now - 1
        assert client.get("/api/series", params=query).json()["series"][0]["forecast"] is None


def test_a_series_keeps_the_extremes_of_each_span(client: TestClient) -> None:
    answer = client.get("/api/series", params=asked(60, signal="pump-1/vib_rms", points=100))
    found = answer.json()["series"][0]
    assert 20 < len(found["time"]) <= 100
    assert all(
        low <= mean <= high for low, mean, high in zip(found["min"], found["mean"], found["max"], strict=True)
    )
    assert found["max"][-1] > 4
    assert found["time"] == sorted(found["time"])


def test_several_series_come_in_one_answer_and_an_unknown_one_is_empty(client: TestClient) -> None:
    names = ["fan-1/flow", "motor-1/current", "fan-1/nothing"]
    found = client.get("/api/series", params=asked(60, signal=names)).json()["series"]
    assert [each["signal"] for each in found] == names
    assert [bool(each["time"]) for each in found] == [True, True, False]


@pytest.mark.parametrize(
    "odd", [{"signal": "no-slash"}, {"points": 1}, {"points": 10**6}, {"start": "x"}, {"end": -1}]
)
def test_a_series_asked_for_wrongly_is_refused(client: TestClient, odd: dict[str, object]) -> None:
    answer = client.get("/api/series", params=asked(5, signal="fan-1/flow") | odd)
    assert answer.status_code == 422
    assert next(iter(odd)) in answer.json()["error"]


def test_a_series_as_csv_carries_unit_and_quality(client: TestClient) -> None:
    text = client.get("/api/series.csv", params=asked(60, signal="fan-1/flow")).text
    head, first, *_ = text.removeprefix("\ufeff").splitlines()
    assert head == "signal,unit,time,min,mean,max,quality"
    assert first.startswith("fan-1/flow,m³/h,20")
    assert first.endswith(",good")


def test_an_asset_page_has_a_chart_for_each_signal_and_its_orders(client: TestClient, week: Desk) -> None:
    page = client.get("/assets/pump-1", params={"range": "24h"}).text
    assert page.count("data-chart") == 7
    assert "限值 4.5 mm/s" in page
    assert "未关闭工单" in page
    assert "1 号空压机油温过高" in client.get("/assets/compressor-1").text
    assert client.get("/assets/pump-9").status_code == 404
    assert client.get("/assets/pump-1", params={"range": "1y"}).status_code == 422


def test_limits_are_those_of_the_rules_and_gates_are_none(site: Site) -> None:
    found = limit_lines(site, "pump-1", "en")
    assert [line["value"] for line in found["pump-1/vib_rms"]] == [3.5, 4.5]
    assert "pump-1/speed" not in found  # "n > 300" only says when the limit counts
    assert not limit_lines(site, "compressor-1", "en")["compressor-1/oil_pressure"][0]["above"]


def test_the_stream_begins_with_every_value_and_says_when_the_daemon_goes(
    site: Site, daemon: FakePlant
) -> None:
    async def listen() -> tuple[dict[str, object], bool, bool]:
        feed = LiveFeed(Daemon(daemon.path))
        async with asyncio.timeout(20), feed.listen() as mailbox:
            signals, online = await mailbox.take()
            daemon.stop()
            while mailbox.online:
                await mailbox.take()
            return signals, online, mailbox.online

    signals, online, later = asyncio.run(listen())
    assert len(signals) == 26
    assert (online, later) == (True, False)


def test_one_stream_from_the_daemon_feeds_all_pages_and_ends_with_the_last(daemon: FakePlant) -> None:
    async def watch() -> int:
        feed = LiveFeed(Daemon(daemon.path))
        async with asyncio.timeout(20), feed.listen() as first, feed.listen() as second:
            await first.take()
            await second.take()
            await first.take()
            most = daemon.watchers
        while daemon.watchers:
            await asyncio.sleep(0.01)
        return most

    assert asyncio.run(watch()) == 1


def test_a_slow_page_gets_the_newest_values_once() -> None:
    async def read() -> tuple[dict[str, object], bool]:
        mailbox = Mailbox()
        for value in range(1000):
            mailbox.put({"a": value, f"b{value % 3}": value}, online=True)
        return await mailbox.take()

    changed, online = asyncio.run(read())
    assert changed == {"a": 999, "b0": 999, "b1": 997, "b2": 998}
    assert online


def test_live_values_reach_the_browser_as_events(address: str, daemon: FakePlant) -> None:
    import httpx2

    with httpx2.stream("GET", f"{address}/api/live", timeout=20) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        line = next(line for line in answer.iter_lines() if line.startswith("data: "))
    letter = json.loads(line.removeprefix("data: "))
    value, quality, time = letter["signals"]["motor-1/winding_temp"]
    assert (value, quality) == (None, "bad:comm_lost")
    assert abs(time - letter["time"]) < 60_000
