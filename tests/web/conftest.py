"""A furnished house for the pages: the demo site, a real desk with orders in every state, a daemon's real socket."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from devices.source import DeviceStatus, SourceStatus, Tally
from gateway.config import Site, load_site
from gateway.control import ControlServer
from gateway.health import report
from gateway.web.app import create_app
from gateway.web.daemon import Daemon
from gateway.web.hatch_build import build_assets, compile_catalogs
from ticketing import Actor, Asset, Desk, OrderPolicy, RaisedAlarm

ROOT = Path(__file__).parents[2]
MINUTE = 60_000
LEAD = Actor("wang", frozenset({"lead"}))
TECHNICIAN = Actor("li", frozenset({"technician"}))
USUAL = {
    "vib_rms": 2.1, "bearing_temp": 61.0, "discharge_pressure": 6.4, "flow": 182.0, "speed": 1478.0, "current": 31.0,
    "winding_temp": 92.0, "oil_temp": 81.0, "oil_pressure": 2.3, "filter_dp": 212.0, "anomaly": 0.12,
}  # fmt: skip


@pytest.fixture(scope="session", autouse=True)
def _built() -> None:
    """The assets and catalogs as a build would leave them; quick when they are fresh."""
    compile_catalogs(ROOT / "gateway" / "locale")
    build_assets(ROOT / "gateway" / "web")


@pytest.fixture(scope="session")
def site() -> Site:
    return load_site(ROOT / "examples" / "demo")


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def value_at(signal: str, at: float) -> float:
    """A plausible sample of ``signal`` at ``at`` (s); pump-1's vibration has been rising for twelve minutes."""
    quantity = signal.partition("/")[2].removesuffix("_anomaly")
    base = USUAL.get(quantity, 1.0)
    seed = sum(map(ord, signal))
    value = base * (
        1 + 0.015 * math.sin(at / 47 + seed) + 0.008 * math.sin(at / 3.1 + seed) + 0.01 * math.sin(at * 1.7)
    )
    if signal == "pump-1/vib_rms":
        value += max(0.0, at - (time.time() - 720)) / 720 * 3.4
    return value


def evidence(site: Site, signal: str, limit: float, at: int, severity: int, **more: Any) -> dict[str, Any]:
    """A document of the shape that ``gateway.evidence`` describes."""
    asset, _, quantity = signal.partition("/")
    known = site.signal(signal)
    unit = known.unit if known and known.unit != "1" else ""
    times = list(range(at - 30 * MINUTE, at + 1, 6_000))
    means = [round(value_at(signal, t / 1000), 4) for t in times]
    value = max(means[-1], limit * 1.07)
    names = {"zh": known.name_zh if known else "异常分数", "en": known.name_en if known else "anomaly score"}
    assets = {"zh": site.assets[asset].name_zh, "en": site.assets[asset].name_en}
    return {
        "sentence": {
            "zh": f"{assets['zh']}:{names['zh']} {value:.3g} {unit},高于上限 {limit:g} {unit}(超出 {value - limit:.2g}),已持续 60 s。",
            "en": f"{assets['en']}: {names['en']} {value:.3g} {unit} is above the limit {limit:g} {unit} (by {value - limit:.2g}), for 60 s.",
        },
        "counterfactual": {
            "zh": f"若上限为 {value * 1.05:.2g} {unit} 或延时为 95 s,则不会触发。",
            "en": f"A limit of {value * 1.05:.2g} {unit} or an on-delay of 95 s would not have fired by then.",
        },
        "asset": asset,
        "failure_mode": "VIB",
        "severity": severity,
        "rule": {"id": "vibration", "hash": "a" * 64, "title": {"zh": "振动过大", "en": "Vibration high"}, "mode": "live"},
        "parameters": {"high": limit, "deadband": 0.3},
        "condition": {
            "text": "v > high and n > 300", "signal": signal, "operator": ">", "value": value, "limit": limit,
            "margin": value - limit, "deadband": limit * 0.06, "unit": unit,
        },
        "timers": {"since": at - MINUTE, "raised": at, "on_delay": 60.0},
        "inputs": [{"signal": signal, "value": value, "unit": unit}, {"signal": f"{asset}/speed", "value": 1478.0, "unit": "rpm"}],
        "series": {
            "signal": signal, "unit": unit, "time": times, "mean": means,
            "min": [m * 0.985 for m in means], "max": [m * 1.02 for m in means],
        },
        "statistics": {"1h": {"min": 1.9, "mean": 2.3, "max": value}, "24h": {"min": 1.8, "mean": 2.1, "max": value}},
        "model": None,
        "earlier_orders": [],
        **more,
    }  # fmt: skip


def furnish(desk: Desk, site: Site, now: int) -> None:
    """Orders in every state, as a week of work leaves them."""
    with desk.transaction() as tx:
        tx.sync_assets(
            Asset(code, asset.asset_class, asset.name_zh, asset.name_en, criticality=asset.criticality)
            for code, asset in site.assets.items()
        )

    def alarm(
        signal: str, mode: str, severity: int, at: int, limit: float, zh: str, en: str, **more: Any
    ) -> str:
        asset = signal.partition("/")[0]
        given = RaisedAlarm(
            episode=f"{signal}:{mode}:{at}", asset=asset, failure_mode=mode, severity=severity, at=at, since=at - MINUTE,
            rule_id=more.pop("rule", "vibration"), rule_hash="a" * 64, rule_body="{}", title_zh=zh, title_en=en,
            evidence=evidence(site, signal, limit, at, severity, **more),
            policy=OrderPolicy(min_active={1: 0, 2: 0, 3: 0, 4: 0}, self_clear=False), from_model=mode == "UNK",
        )  # fmt: skip
        with desk.transaction() as tx:
            decision = tx.alarm_raised(given)
        assert decision.number is not None, decision
        return decision.number

    def move(number: str, name: str, actor: Actor, at: int, **fields: Any) -> None:
        with desk.transaction() as tx:
            tx.move(number, name, actor, tx.order(number).version, at, **fields)

    day = 24 * 60 * MINUTE
    done = alarm(
        "compressor-1/oil_temp",
        "OHE",
        3,
        now - 6 * day,
        105,
        "1 号空压机油温过高",
        "Air compressor 1: oil hot",
    )
    move(done, "assign", LEAD, now - 6 * day + 9 * MINUTE, assignee="li")
    move(done, "start", TECHNICIAN, now - 6 * day + 20 * MINUTE)
    move(
        done,
        "resolve",
        TECHNICIAN,
        now - 6 * day + 95 * MINUTE,
        symptom="OHE",
        mechanism="contamination",
        remedy="service",
    )
    move(
        done,
        "sign_off",
        LEAD,
        now - 5 * day,
        stars=5,
        override_reason="运行一天正常",
        comment="冷却器清洗干净,效果很好",
    )
    off = alarm(
        "fan-1/vib_rms", "VIB", 2, now - 3 * day, 3.5, "1 号排风机振动偏大", "Exhaust fan 1: vibration raised"
    )
    move(off, "cancel", LEAD, now - 3 * day + 30 * MINUTE, cancel_reason="not_needed", reason="停机检修期间")
    hold = alarm(
        "fan-1/filter_dp",
        "PLU",
        2,
        now - 26 * 60 * MINUTE,
        450,
        "1 号排风机滤网堵塞",
        "Exhaust fan 1: filter clogged",
    )
    move(hold, "assign", LEAD, now - 25 * 60 * MINUTE, assignee="li")
    move(hold, "start", TECHNICIAN, now - 24 * 60 * MINUTE)
    move(hold, "hold", TECHNICIAN, now - 23 * 60 * MINUTE, hold_reason="parts", reason="等滤芯到货")
    work = alarm(
        "compressor-1/oil_pressure",
        "PDE",
        4,
        now - 5 * 60 * MINUTE,
        1.2,
        "1 号空压机油压过低",
        "Air compressor 1: oil pressure low",
    )
    move(work, "assign", LEAD, now - 290 * MINUTE, assignee="li")
    move(work, "start", TECHNICIAN, now - 280 * MINUTE)
    parts = {"contributions": [
        {"signal": "motor-1/winding_temp", "share": 0.58, "sigmas": 4.2}, {"signal": "motor-1/current", "share": 0.27, "sigmas": 2.9},
        {"signal": "motor-1/vib_rms", "share": 0.15, "sigmas": -2.1},
    ]}  # fmt: skip
    odd = alarm(
        "motor-1/anomaly", "UNK", 2, now - 130 * MINUTE, 0.6, "1 号传送带电机运行异常,请检查", "Conveyor motor 1 runs unlike itself: inspect",
        rule="anomaly", model=parts,
    )  # fmt: skip
    move(odd, "assign", LEAD, now - 125 * MINUTE, assignee="li")
    earlier = [
        {
            "number": done,
            "title_zh": "1 号空压机油温过高",
            "title_en": "Air compressor 1: oil hot",
            "state": "closed",
            "opened_at": now - 6 * day,
        }
    ]
    repaired = alarm(
        "motor-1/bearing_temp",
        "OHE",
        3,
        now - 8 * 60 * MINUTE,
        85,
        "1 号传送带电机轴承过热",
        "Conveyor motor 1: bearing hot",
    )
    move(repaired, "assign", LEAD, now - 470 * MINUTE, assignee="li")
    move(repaired, "start", TECHNICIAN, now - 460 * MINUTE)
    with desk.transaction() as tx:
        tx.alarm_cleared(f"motor-1/bearing_temp:OHE:{now - 8 * 60 * MINUTE}", now - 100 * MINUTE)
    move(
        repaired,
        "resolve",
        TECHNICIAN,
        now - 60 * MINUTE,
        symptom="OHE",
        mechanism="lubrication",
        remedy="service",
        comment="补注润滑脂 40 g",
    )
    alarm(
        "pump-1/vib_rms", "VIB", 3, now - 3 * MINUTE, 4.5, "1 号循环泵振动速度有效值 5.1 mm/s,高于上限 4.5 mm/s",
        "Circulation pump 1: vibration velocity 5.1 mm/s is above the limit 4.5 mm/s", earlier_orders=earlier,
    )  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path, site: Site) -> Iterator[Desk]:
    """An empty desk of the demo site."""
    opened = Desk.open(tmp_path / "core.db", site=site.site.id)
    yield opened
    opened.close()


@pytest.fixture
def furnished(desk: Desk, site: Site) -> Desk:
    """The desk after a week of work."""
    furnish(desk, site, now_ms())
    return desk


def health(site: Site, **more: Any) -> dict[str, Any]:
    """A health report of the demo's four wires."""
    now = time.time_ns()

    def device(name: str, state: str = "healthy", detail: str = "", failed: int = 0) -> DeviceStatus:
        tally = Tally(
            expected=7200,
            read=7200 - failed,
            failed=failed,
            latency=0.0021,
            achieved_period=1.0,
            worst_lateness=0.011,
        )
        return DeviceStatus(name, state, now, detail, 1.0, tally)

    names = {line: [n for n, d in site.devices.items() if d.line == line] for line in site.lines}
    sources = [
        SourceStatus(
            line, site.lines[line].kind, True, "", {"timeouts": 0}, tuple(device(n) for n in names[line])
        )
        for line in names
    ]
    spool = {"bytes": 18 << 20, "max_bytes": 1 << 30, "shed": 0}
    store = {"connected": True, "lag": 0.3, "detail": "", "kind": "local"}
    parts: dict[str, Any] = {
        "site": site.site.id, "now": now, "started": now - 7200 * 10**9, "sources": sources, "spool": spool,
        "judge": {"cursor": 1, "lag": 0.02, "samples": 172_800, "transitions": 6}, "store": store,
        "models": [{"model": "health/pump-1", "asset": "pump-1", "state": "live", "progress": 1.0, "trouble": ""}],
        "intake": {"accepted": 28_800, "refused": 0}, "clock_behind": 0.0,
    }  # fmt: skip
    return report(**parts | more)


class FakePlant:
    """What a daemon would answer, over a real control socket in a thread of its own."""

    def __init__(self, site: Site, path: Path) -> None:
        self.site, self.path = site, path
        self.report = health(site)
        self.demo: dict[str, Any] = {}

    def live(self) -> dict[str, Any]:
        at = time.time()
        signals = {
            f"{asset}/{quantity}": {
                "value": value_at(f"{asset}/{quantity}", at),
                "quality": "good",
                "time": time.time_ns(),
            }
            for asset in self.site.assets
            for quantity in (*self.site.classes[self.site.class_of(asset)].signals, "anomaly")
        }
        signals["motor-1/winding_temp"] |= {"value": None, "quality": "bad:comm_lost"}
        signals["fan-1/flow"] |= {"quality": "uncertain:late"}
        return {"time": time.time_ns(), "signals": signals}

    async def serve(self, ready: threading.Event) -> None:
        async def answer(request: dict[str, Any]) -> Any:
            answers = {
                "live": self.live,
                "health": lambda: self.report,
                "metrics": lambda: "watchkeeper_ok 1.0\n",
                "demo": lambda: self.demo,
            }
            return answers[request["op"]]()

        async def watch(_: dict[str, Any]) -> Any:
            while True:
                yield self.live()
                await asyncio.sleep(0.5)

        server = ControlServer(
            self.path, dict.fromkeys(("live", "health", "metrics", "demo"), answer), {"watch": watch}
        )
        serving = asyncio.create_task(server.run())
        while not self.path.exists():
            await asyncio.sleep(0.01)
        ready.set()
        await serving


@contextmanager
def in_a_loop_of_its_own(work: Any) -> Iterator[None]:
    """Run the coroutine in a thread until the block ends."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)

    def run() -> None:
        try:
            loop.run_until_complete(task)
        except asyncio.CancelledError:
            pass
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)


@pytest.fixture
def daemon(tmp_path: Path, site: Site) -> Iterator[FakePlant]:
    """A daemon that answers."""
    plant = FakePlant(site, tmp_path / "control.sock")
    ready = threading.Event()
    with in_a_loop_of_its_own(plant.serve(ready)):
        assert ready.wait(10)
        yield plant
