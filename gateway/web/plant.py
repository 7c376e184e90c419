"""The machines: live values, one asset with its charts, and the series behind every chart."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from numpy.typing import NDArray
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from devices.batch import describe
from gateway.building import bound_rules, build_rules
from gateway.i18n import Language
from gateway.outlook import last_forecast
from gateway.site import Site, quantities
from gateway.store import Series
from gateway.web import story
from gateway.web.daemon import DaemonAwayError, TooManyListenersError
from gateway.web.door import Visitor
from gateway.web.encode import sheet
from gateway.web.house import Hall, House, visitor
from gateway.web.render import iso, reader_language
from gateway.wording import signal_name, signal_unit
from rules.condition import Tree
from ticketing import NotFoundError

router = APIRouter()
RANGES = {"15m": 900, "1h": 3_600, "24h": 86_400, "7d": 604_800}  # s
HEARTBEAT = 15.0  # s; a silent stream is cut by proxies
DOOR_CHECK = 5_000  # ms between two looks whether a stream's reader is still signed in
MS = 1_000_000  # ns

SignalName = Annotated[str, Field(pattern=r"^[^\s/]{1,64}/[^\s/]{1,64}$")]
Signals = Annotated[list[SignalName], Query(min_length=1, max_length=32)]
Moment = Annotated[int, Query(ge=0, le=8_000_000_000_000, description="UTC in ms")]
Points = Annotated[int, Query(ge=2, le=4_000)]


@router.get("/live", include_in_schema=False)
async def live_page(request: Request, house: Hall) -> Response:
    """Every machine with its values now."""
    try:
        signals, away = (await house.daemon.ask("live"))["signals"], False
    except DaemonAwayError:
        signals, away = {}, True
    machines = [(asset, watched(house.site, asset)) for asset in house.site.assets]
    return house.renderer.page(request, "live.html", machines=machines, values=signals, away=away)


def watched(site: Site, asset: str, *, each: bool = False) -> list[str]:
    """The asset's signals in the site's order, then its soft sensors (those of single signals with ``each``)."""
    own = list(site.classes[site.class_of(asset)].signals)
    soft = sorted(quantities(site, asset) - set(own))
    return [f"{asset}/{name}" for name in (*own, *(s for s in soft if each or not s.endswith("_anomaly")))]


@router.get("/assets/{asset}", include_in_schema=False)
def asset_page(
    request: Request,
    house: Hall,
    asset: str,
    window: Annotated[Literal["15m", "1h", "24h", "7d"], Query(alias="range")] = "1h",
) -> Response:
    """One machine: its charts, what is open, what was."""
    if asset not in house.site.assets:
        raise NotFoundError(f"there is no asset {asset}")
    language = reader_language(house.site, request)
    with house.desk.read() as desk:
        current = desk.orders(asset=asset, state="open")
        past = [order for order in desk.asset_history(asset) if not order.open]
        alarms = desk.alarms(asset=asset, limit=100)
    limits = limit_lines(house.site, asset, language)
    spans: dict[str, list[dict[str, Any]]] = {}
    for alarm in alarms:
        rule = house.site.rules.get(alarm.rule_id)
        first = next(iter(rule.signals.values())) if rule else ""
        span = {"start": alarm.since, "end": alarm.cleared_at, "severity": alarm.severity}
        spans.setdefault(f"{asset}/{first}", []).append(span)
    charts = [
        {
            "signal": signal,
            "name": signal_name(house.site, signal, language),
            "unit": signal_unit(house.site, signal),
            "range": RANGES[window] * 1000,
            "limits": limits.get(signal, []),
            "spans": spans.get(signal, []),
        }
        for signal in watched(house.site, asset)
    ]
    return house.renderer.page(
        request,
        "asset.html",
        asset=asset,
        settings=house.site.assets[asset],
        charts=charts,
        window=window,
        ranges=RANGES,
        current=current,
        past=past,
    )


def limit_lines(site: Site, asset: str, language: Language) -> dict[str, list[dict[str, Any]]]:
    """The limits that the rules set to each signal of the asset, for its chart."""
    found: dict[str, list[dict[str, Any]]] = {}
    for bound in bound_rules(site, build_rules(site)):
        if bound.asset != asset:
            continue
        program = bound.program
        for level in program.levels:
            for test in (program.tests[place] for place in _deciding(level.tree)):
                if program.features[test.feature].compute is not None or callable(test.right):
                    continue  # a limit on something computed has no line in the signal's chart
                signal = bound.inputs[test.signal]
                condition = {
                    "limit": test.right,
                    "operator": test.operator,
                    "deadband": test.deadband,
                    "unit": signal_unit(site, signal),
                }
                found.setdefault(signal, []).append(story.limit_line(condition, level.severity, language))
    return found


def _deciding(tree: Tree) -> list[int]:
    """The comparisons that people call the limit: of "v > limit and n > 300" the first, of an ``or`` all."""
    if isinstance(tree, int):
        return [tree]
    parts = tree.parts[:1] if tree.every else tree.parts
    return [test for part in parts for test in _deciding(part)]


@router.get("/api/series")
def series(house: Hall, signal: Signals, start: Moment, end: Moment, points: Points = 600) -> dict[str, Any]:
    """Each signal from ``start`` to before ``end``: its samples, or minimum, mean and maximum of equal spans.

    BAD samples are left out; ``quality`` is 0 where all was good. ``step`` is a span's length in ms, 0 for samples.
    ``forecast`` says where a signal with remaining life was going at ``end`` (UTC and durations in ms), or is null.
    """
    found = [house.store.series(name, start * MS, end * MS, points) for name in signal]
    until = min(end, house.now()) * MS
    told = [
        _json(each) | {"forecast": last_forecast(house.site, house.store, each.signal, until)}
        for each in found
    ]
    return {"start": start, "end": end, "series": told}


def _json(found: Series) -> dict[str, Any]:
    return {
        "signal": found.signal,
        "step": found.step // MS,
        "time": (found.time // MS).tolist(),
        "min": _numbers(found.min),
        "mean": _numbers(found.mean),
        "max": _numbers(found.max),
        "quality": found.quality.tolist(),
    }


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.tolist()]


@router.get(
    "/api/series.csv",
    responses={200: {"content": {"text/csv": {}}, "description": "the sheet"}},
    response_class=Response,
)
def series_csv(house: Hall, signal: Signals, start: Moment, end: Moment, points: Points = 600) -> Response:
    """What a chart shows, for a spreadsheet."""
    rows: list[list[object]] = [["signal", "unit", "time", "min", "mean", "max", "quality"]]
    for name in signal:
        found = _json(house.store.series(name, start * MS, end * MS, points))
        measure = signal_unit(house.site, name)
        columns = (found["time"], found["min"], found["mean"], found["max"], found["quality"])
        rows += [
            [name, measure, iso(at), low, mean, high, describe(quality)]
            for at, low, mean, high, quality in zip(*columns, strict=True)
        ]
    return sheet("series.csv", rows)


@router.get("/api/live")
async def live(request: Request, house: Hall) -> Response:
    """Server-sent events: ``{"time", "online", "signals": {name: [value, quality, UTC ms]}}`` as values change."""
    if house.feed.full:
        raise TooManyListenersError
    return StreamingResponse(_letters(house, visitor(request)), media_type="text/event-stream")


async def _letters(house: House, visiting: Visitor) -> AsyncIterator[str]:
    """Until the page goes away, or its reader is signed out."""
    looked = house.now()
    async with house.feed.listen() as mailbox:
        while True:
            if house.now() - looked >= DOOR_CHECK:
                looked = house.now()
                if not await run_in_threadpool(house.door.still_in, visiting, looked):
                    return
            try:
                async with asyncio.timeout(HEARTBEAT):
                    changed, online = await mailbox.take()
            except TimeoutError:
                changed, online = {}, mailbox.online
            signals = {
                name: [sample["value"], sample["quality"], sample["time"] // MS]
                for name, sample in changed.items()
            }
            letter = {"time": house.now(), "online": online, "signals": signals}
            yield f"data: {json.dumps(letter, separators=(',', ':'))}\n\n"


@router.get("/api/pulse")
async def pulse(house: Hall) -> dict[str, Any]:
    """What every open page asks now and then: is the gateway there, is there a new order, does the demo run."""
    try:
        demo, online = await house.daemon.ask("demo"), True
    except DaemonAwayError:
        demo, online = None, False
    known = isinstance(demo, dict) and "fault_at" in demo
    return await run_in_threadpool(_pulse, house, online, demo if known else None)


def _pulse(house: House, online: bool, demo: dict[str, Any] | None) -> dict[str, Any]:
    with house.desk.read() as desk:
        ever = desk.count_orders()
        opened = desk.orders(state="open", asset=demo["asset"], limit=1) if demo else []
    shown = demo and {
        "fault_at": demo["fault_at"] // MS,
        "asset": demo["asset"],
        "order": opened[0].number if opened else None,
    }
    return {"online": online, "orders": ever, "demo": shown}
