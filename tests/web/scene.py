"""A week at the demo plant, for the pages: orders in every state, samples, and a daemon that answers."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from devices.batch import BAD, Batch, Reason, signal_set
from devices.source import DeviceStatus, SourceStatus, Tally
from gateway.building import maintained
from gateway.control import ControlServer
from gateway.health import report
from gateway.history import History
from gateway.site import Site
from gateway.spool import Entry
from ticketing import Actor, Desk, OrderPolicy, RaisedAlarm

MINUTE = 60_000
DAY = 24 * 60  # minutes
LEAD = Actor("wang", frozenset({"lead"}))
TECHNICIAN = Actor("li", frozenset({"technician"}))
USUAL = {
    "vib_rms": 2.1,
    "bearing_temp": 61.0,
    "discharge_pressure": 6.4,
    "flow": 182.0,
    "speed": 1478.0,
    "current": 31.0,
    "winding_temp": 92.0,
    "oil_temp": 81.0,
    "oil_pressure": 2.3,
    "filter_dp": 212.0,
    "anomaly": 0.12,
}


class Story(NamedTuple):
    """An alarm that opened an order, and what people made of it; ages in minutes."""

    signal: str
    failure_mode: str
    severity: int
    age: int
    limit: float
    title: tuple[str, str]
    moves: tuple[tuple[int, str, Actor, dict[str, Any]], ...] = ()
    cleared: int | None = None


WEEK = (
    Story(
        "compressor-1/oil_temp",
        "OHE",
        3,
        6 * DAY,
        105,
        ("1 号空压机油温过高", "Air compressor 1: oil hot"),
        (
            (6 * DAY - 9, "assign", LEAD, {"assignee": "li"}),
            (6 * DAY - 20, "start", TECHNICIAN, {}),
            (
                6 * DAY - 95,
                "resolve",
                TECHNICIAN,
                {"symptom": "OHE", "mechanism": "contamination", "remedy": "service"},
            ),
            (
                5 * DAY,
                "sign_off",
                LEAD,
                {"stars": 5, "override_reason": "运行一天正常", "comment": "冷却器清洗干净"},
            ),
        ),
        6 * DAY - 60,
    ),
    Story(
        "fan-1/vib_rms",
        "VIB",
        2,
        3 * DAY,
        3.5,
        ("1 号排风机振动偏大", "Exhaust fan 1: vibration raised"),
        ((3 * DAY - 30, "cancel", LEAD, {"cancel_reason": "not_needed", "reason": "停机检修期间"}),),
        3 * DAY - 20,
    ),
    Story(
        "fan-1/filter_dp",
        "PLU",
        2,
        26 * 60,
        450,
        ("1 号排风机滤网堵塞", "Exhaust fan 1: filter clogged"),
        (
            (25 * 60, "assign", LEAD, {"assignee": "li"}),
            (24 * 60, "start", TECHNICIAN, {}),
            (23 * 60, "hold", TECHNICIAN, {"hold_reason": "parts", "reason": "等滤芯到货"}),
        ),
    ),
    Story(
        "motor-1/bearing_temp",
        "OHE",
        3,
        8 * 60,
        85,
        ("1 号传送带电机轴承过热", "Conveyor motor 1: bearing hot"),
        (
            (470, "assign", LEAD, {"assignee": "li"}),
            (460, "start", TECHNICIAN, {}),
            (60, "resolve", TECHNICIAN, {"symptom": "OHE", "mechanism": "lubrication", "remedy": "service"}),
        ),
        100,
    ),
    Story(
        "compressor-1/oil_pressure",
        "PDE",
        4,
        5 * 60,
        1.2,
        ("1 号空压机油压过低", "Air compressor 1: oil pressure low"),
        ((290, "assign", LEAD, {"assignee": "li"}), (280, "start", TECHNICIAN, {})),
    ),
    Story(
        "motor-1/anomaly",
        "UNK",
        2,
        130,
        0.6,
        ("1 号传送带电机运行异常，请检查", "Conveyor motor 1 runs unlike itself: inspect"),
        ((125, "assign", LEAD, {"assignee": "li"}),),
    ),
    Story(
        "pump-1/vib_rms",
        "VIB",
        3,
        3,
        4.5,
        (
            "1 号循环泵：振动速度有效值 4.82 mm/s，高于上限 4.5 mm/s",
            "Circulation pump 1: vibration velocity 4.82 mm/s is above the limit 4.5 mm/s",
        ),
    ),
)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def value_at(signal: str, at: float) -> float:
    """A plausible sample of ``signal`` at ``at`` (s); pump-1's vibration has been rising for twelve minutes."""
    base = USUAL.get(signal.partition("/")[2], 1.0)
    seed = sum(map(ord, signal))
    swing = 0.015 * math.sin(at / 47 + seed) + 0.008 * math.sin(at / 3.1 + seed) + 0.01 * math.sin(at * 1.7)
    rise = max(0.0, at - (time.time() - 720)) / 720 * 3.4 if signal == "pump-1/vib_rms" else 0.0
    return base * (1 + swing) + rise


def evidence(site: Site, story: Story, at: int) -> dict[str, Any]:
    """A document of the shape that ``gateway.evidence`` describes."""
    signal, limit = story.signal, story.limit
    asset = signal.partition("/")[0]
    known = site.signal(signal)
    unit = known.unit if known else ""
    times = list(range(at - 30 * MINUTE, at + 1, 6_000))
    means = [round(value_at(signal, t / 1000), 4) for t in times]
    value = max(means[-1], limit * 1.07)
    parts = [("winding_temp", 0.58, 4.2), ("current", 0.27, 2.9), ("vib_rms", 0.15, -2.1)]
    contributions = [
        {"signal": f"{asset}/{name}", "share": share, "sigmas": sigmas} for name, share, sigmas in parts
    ]
    titles = dict(zip(("zh", "en"), story.title, strict=True))
    return {
        "sentence": {
            "zh": f"{site.assets[asset].name_zh}：{value:.3g} {unit}，高于上限 {limit:g} {unit}，已持续 60 s。",
            "en": f"{site.assets[asset].name_en}: {value:.3g} {unit} is above the limit {limit:g} {unit}, for 60 s.",
        },
        "counterfactual": {
            "zh": f"若上限为 {value * 1.05:.2g} {unit}，或延时为 95 s，则不会触发。",
            "en": f"A limit of {value * 1.05:.2g} {unit} or an on-delay of 95 s would not have fired by then.",
        },
        "asset": asset,
        "failure_mode": story.failure_mode,
        "severity": story.severity,
        "rule": {"id": "vibration", "hash": "a" * 64, "title": titles, "mode": "live"},
        "parameters": {"high": limit, "deadband": 0.3},
        "condition": {
            "text": "v > high and n > 300",
            "signal": signal,
            "operator": ">",
            "value": value,
            "limit": limit,
            "margin": value - limit,
            "deadband": limit * 0.06,
            "unit": unit,
        },
        "timers": {"since": at - MINUTE, "raised": at, "on_delay": 60.0},
        "inputs": [
            {"signal": signal, "value": value, "unit": unit},
            {"signal": f"{asset}/speed", "value": 1478.0, "unit": "rpm"},
        ],
        "series": {
            "signal": signal,
            "unit": unit,
            "time": times,
            "mean": means,
            "min": [mean * 0.985 for mean in means],
            "max": [mean * 1.02 for mean in means],
        },
        "statistics": {
            "1h": {"min": 1.9, "mean": 2.3, "max": value},
            "24h": {"min": 1.8, "mean": 2.1, "max": value},
        },
        "model": {"contributions": contributions} if signal.endswith("anomaly") else None,
        "earlier_orders": [],
    }


def furnish(desk: Desk, site: Site, now: int) -> None:
    """Orders in every state, as ``WEEK`` tells it."""
    with desk.transaction() as tx:
        tx.sync_assets(maintained(site))
    for story in WEEK:
        number = _open(desk, site, story, now - story.age * MINUTE)
        if story.cleared is not None:
            with desk.transaction() as tx:
                tx.alarm_cleared(story.signal, now - story.cleared * MINUTE)
        for age, move, actor, fields in story.moves:
            with desk.transaction() as tx:
                tx.move(number, move, actor, tx.order(number).version, now - age * MINUTE, **fields)


def _open(desk: Desk, site: Site, story: Story, at: int) -> str:
    policy = OrderPolicy(min_active=dict.fromkeys(range(1, 5), 0))
    alarm = RaisedAlarm(
        episode=story.signal,
        asset=story.signal.partition("/")[0],
        failure_mode=story.failure_mode,
        severity=story.severity,
        at=at,
        since=at - MINUTE,
        rule_id="vibration",
        rule_hash="a" * 64,
        rule_body="{}",
        title_zh=story.title[0],
        title_en=story.title[1],
        evidence=evidence(site, story, at),
        policy=policy,
        from_model=story.failure_mode == "UNK",
    )
    with desk.transaction() as tx:
        decision = tx.alarm_raised(alarm)
    assert decision.number is not None, decision
    return decision.number


def record(history: History, site: Site, now: int, hours: float = 1.5) -> None:
    """Samples of every signal each 5 s until ``now`` (ms); nothing came from pump-1 for four minutes."""
    batches = []
    for at in range(now - round(hours * 3_600_000), now, 5_000):
        for asset in site.assets:
            if asset == "pump-1" and 36 * MINUTE < now - at < 40 * MINUTE:
                continue
            names = tuple(
                f"{asset}/{name}" for name in (*site.classes[site.class_of(asset)].signals, "anomaly")
            )
            values = np.array([value_at(name, at / 1000) for name in names])
            quality = np.zeros(len(names), np.uint8)
            if asset == "motor-1" and now - at < 10 * MINUTE:
                values[1], quality[1] = np.nan, BAD | Reason.COMM_LOST
            batches.append(Batch(signal_set(asset, names), at * 1_000_000, at * 1_000_000, values, quality))
    samples = sum(len(batch.values) for batch in batches)
    history.write([Entry(1, tuple(batches), samples, 0, now * 1_000_000)])


def health(site: Site, **more: Any) -> dict[str, Any]:
    """A health report of the demo's four wires; ``more`` replaces parts."""
    now = time.time_ns()
    tally = Tally(
        expected=7200, read=7195, failed=5, latency=0.0021, achieved_period=1.0, worst_lateness=0.011
    )
    sources = []
    for name, line in site.lines.items():
        devices = [device for device, settings in site.devices.items() if settings.line == name]
        states = tuple(DeviceStatus(device, "healthy", now, "", 1.0, tally) for device in devices)
        sources.append(SourceStatus(name, line.kind, True, "", {"timeouts": 0}, states))
    parts: dict[str, Any] = {
        "site": site.site.id,
        "now": now,
        "started": now - 7200 * 10**9,
        "sources": sources,
        "spool": {
            "bytes": 18 << 20,
            "max_bytes": 1 << 30,
            "shed": 0,
            "refused": 0,
            "waiting": 0,
            "full": False,
        },
        "judge": {"cursor": 1, "lag": 0.02, "samples": 172_800, "transitions": 6, "trouble": ""},
        "core": {"waiting": 0, "trouble": ""},
        "store": {"connected": True, "lag": 0.3, "detail": "", "name": "history"},
        "models": [{"model": "health", "asset": "pump-1", "state": "live", "progress": 1.0, "trouble": ""}],
        "intake": {"accepted": 28_800, "refused": 0},
        "clock_behind": 0.0,
    }
    return report(**parts | more)


class FakePlant:
    """What a daemon would answer, over a real control socket."""

    def __init__(self, site: Site, path: Path) -> None:
        self.site, self.path = site, path
        self.report = health(site)
        self.demo: dict[str, Any] = {}
        self.watchers = 0
        self._stop = threading.Event()

    def stop(self) -> None:
        """Go away; the socket with it."""
        self._stop.set()

    def live(self) -> dict[str, Any]:
        """A value of each signal: one is lost, one came late."""
        now = time.time_ns()
        signals = {}
        for asset in self.site.assets:
            for quantity in (*self.site.classes[self.site.class_of(asset)].signals, "anomaly"):
                value = value_at(f"{asset}/{quantity}", now / 1e9)
                signals[f"{asset}/{quantity}"] = {"value": value, "quality": "good", "time": now}
        signals["motor-1/winding_temp"] |= {"value": None, "quality": "bad:comm_lost"}
        signals["fan-1/flow"] |= {"quality": "uncertain:late"}
        return {"time": now, "signals": signals}

    async def serve(self, ready: threading.Event) -> None:
        """Answer until cancelled."""

        async def answer(request: dict[str, Any]) -> Any:
            match request["op"]:
                case "live":
                    return self.live()
                case "health":
                    return self.report
                case "demo":
                    return self.demo
            return "watchkeeper_ok 1.0\n"

        async def watch(_: dict[str, Any]) -> AsyncIterator[Any]:
            self.watchers += 1
            try:
                while not self._stop.is_set():
                    yield self.live()
                    await asyncio.sleep(0.2)
            finally:
                self.watchers -= 1

        server = ControlServer(
            self.path, dict.fromkeys(("live", "health", "metrics", "demo"), answer), {"watch": watch}
        )
        serving = asyncio.create_task(server.run())
        while not self.path.exists():
            await asyncio.sleep(0.01)
        ready.set()
        while not self._stop.is_set():
            await asyncio.sleep(0.02)
        serving.cancel()
