"""How long the server takes for the board of 12 000 orders, one order, and 30 days of a signal (bar P12).

``make bench-pages``. Times are of the request in the process, without a network.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from starlette.testclient import TestClient

from devices.batch import Batch, signal_set
from gateway.building import maintained
from gateway.config import load_site
from gateway.history import History
from gateway.site import Site
from gateway.spool import Entry
from gateway.web.app import create_app
from gateway.web.daemon import Daemon
from ticketing import Actor, Desk

DAY = 86_400_000
LEAD = Actor("wang", frozenset({"lead"}))


def fill_desk(desk: Desk, site: Site, orders: int, now: int) -> None:
    """``orders`` reported by people over a year; one in three still open, the others cancelled."""
    assets = list(site.assets)
    with desk.transaction() as tx:
        tx.sync_assets(maintained(site))
        for n in range(orders):
            at = now - (orders - n) * 365 * DAY // orders
            title = f"{n}: 轴承处有异响 noise at the bearing"
            order = tx.open_order(LEAD, at=at, asset=assets[n % len(assets)], title=title, priority=1 + n % 4)
            if n % 3:
                tx.move(order.number, "cancel", LEAD, order.version, at, cancel_reason="not_needed")


def fill_history(history: History, days: int, now: int) -> None:
    """One sample a second of six signals."""
    names = tuple(
        f"pump-1/{name}"
        for name in ("vib_rms", "bearing_temp", "discharge_pressure", "flow", "speed", "current")
    )
    signals = signal_set("pump-1-plc", names)
    values = 2 + np.random.default_rng(0).random((3600, len(names)))
    good = np.zeros(len(names), np.uint8)
    seconds = days * 86_400
    for number in range(seconds // 3600):
        start = now - (seconds - number * 3600) * 1000
        batches = tuple(
            Batch(signals, (start + s * 1000) * 1_000_000, (start + s * 1000) * 1_000_000, values[s], good)
            for s in range(3600)
        )
        history.write([Entry(number + 1, batches, 3600 * len(names), 0, (start + 3_600_000) * 1_000_000)])


def times(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Median and 95th percentile in ms."""
    call()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken), statistics.quantiles(taken, n=20)[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--orders", type=int, default=12_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=60)
    options = parser.parse_args()
    site = load_site(Path(__file__).parents[2] / "examples" / "demo")
    now = time.time_ns() // 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        desk = Desk.open(Path(folder) / "core.db", site=site.site.id)
        history = History(Path(folder) / "history.db")
        print(f"filling: {options.orders} orders, {options.days} days of six signals at 1 Hz …", flush=True)
        fill_desk(desk, site, options.orders, now)
        fill_history(history, options.days, now)
        with desk.read() as reading:
            number = reading.orders(state="open", limit=1)[0].number
        app = create_app(site, desk, history, Daemon(Path(folder) / "no.sock"))
        series = f"/api/series?signal=pump-1/vib_rms&end={now}&points=900&start="
        asked = {
            "board, open": ("/orders", 100),
            "board, all, page 100": ("/orders?state=all&page=100", 100),
            "board, searched": ("/orders?q=4711", 100),
            "one order": (f"/orders/{number}", 100),
            f"chart of {options.days} days": (series + str(now - options.days * DAY), 300),
            "chart of 1 hour": (series + str(now - DAY // 24), 300),
        }
        with TestClient(app, base_url="http://localhost") as client:
            for name, (path, bar) in asked.items():
                assert client.get(path).status_code == 200, path
                median, slow = times(lambda path=path: client.get(path), options.repeats)  # type: ignore[misc]
                print(
                    f"{name:22} median {median:6.1f} ms   p95 {slow:6.1f} ms   bar {bar} ms   {slow / bar:5.2f} of it"
                )
        history.close()
        desk.close()


if __name__ == "__main__":
    main()
