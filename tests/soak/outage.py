"""InfluxDB is away for a while under load: nothing is lost, memory stays flat, the backlog drains fast.

Run ``python -m tests.soak.outage --minutes 10 --rate 1000``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.building import build_store
from gateway.config import load_site
from gateway.spool_log import SpoolLog
from tests.bench.stand import Daemon, Load, free_ports, high_limits, influxdb, plant, running, write_site
from tests.gateway.conftest import Influxd


@dataclass(frozen=True)
class Outage:
    """What one outage did: samples, s, samples/s and MiB."""

    seconds: float
    live: float
    accepted: int
    missing: int
    backlog: int
    noticed_after: float
    drained_in: float
    rss_before: float
    rss_most: float
    slope: float  # MiB a minute while away

    @property
    def drain(self) -> float:
        """How many times faster than real time the backlog went."""
        return (self.backlog / self.drained_in + self.live) / self.live if self.drained_in else float("inf")


def outage(folder: Path, influxd: Influxd, load: Load, seconds: float, settle: float = 15.0) -> Outage:
    """Kill InfluxDB, let ``seconds`` pass, start it again and wait until everything is there."""
    store = f'kind = "influxdb"\nurl = "{influxd.url}"\ndatabase = "outage"'
    site = write_site(folder / "site", load, store)
    with plant(load):
        with running(site) as daemon:
            time.sleep(settle)
            began, before = time.monotonic(), daemon.health()["spool"]["accepted"]
            influxd.kill()
            rss = _watch(daemon, seconds)
            live = (daemon.health()["spool"]["accepted"] - before) / (time.monotonic() - began)
            influxd.start()
            noticed, backlog, drained = _drain(daemon, live)
            rss.append(daemon.rss())
            time.sleep(settle)
            rss.append(daemon.rss())
        accepted = _send_the_rest(site)
        half = rss[len(rss) // 2 : -2] or rss
        return Outage(
            seconds, live, accepted, accepted - _stored(influxd, accepted), backlog, noticed, drained,
            rss[0], max(rss), (half[-1] - half[0]) / (seconds / 120),
        )  # fmt: skip


def _watch(daemon: Daemon, seconds: float) -> list[float]:
    end, rss = time.monotonic() + seconds, [daemon.rss()]
    while time.monotonic() < end:
        time.sleep(1.0)
        rss.append(daemon.rss())
    return rss


def _drain(daemon: Daemon, live: float) -> tuple[float, int, float]:
    """Wait until the store has everything but the newest; s until it was noticed, backlog then, s to drain it."""
    began = away = time.monotonic()
    backlog = 0
    while True:
        now, health = time.monotonic(), daemon.health()
        waiting = health["spool"]["backlog"]["influxdb"]
        if not health["store"]["connected"]:
            away, backlog = now, waiting
        elif waiting <= 2 * live:
            return away - began, backlog, now - away
        assert now - began < 900, f"not drained: {health['store']}"
        time.sleep(0.05)


def _send_the_rest(folder: Path) -> int:
    """Send what the daemon left in the spool when it ended; how many samples were ever accepted."""
    site = load_site(folder)
    store = build_store(site)
    log = SpoolLog(
        site.state / "spool", (store.name,), max_bytes=1 << 40, file_bytes=1 << 30, ballast_bytes=0
    )
    log.open()
    try:
        at = log.cursors[store.name]
        while entries := log.read(at, 1_000):  # as much as fits into one answer
            store.write(entries)
            at = entries[-1].id
        return log.end_seq
    finally:
        log.abandon()
        store.close()


def _stored(influxd: Influxd, wanted: int) -> int:
    """How many samples InfluxDB holds; looks again for a while until it is ``wanted``."""
    query = urllib.parse.urlencode({"db": "outage", "q": "SELECT count(*) FROM /.*/"})
    deadline = time.monotonic() + 20
    while True:
        with urllib.request.urlopen(f"{influxd.url}/query?{query}", timeout=120) as answer:
            found = json.load(answer)["results"][0].get("series", ())
        count = sum(sum(filter(None, series["values"][0][1:])) for series in found)
        if count >= wanted or time.monotonic() > deadline:
            return int(count)
        time.sleep(0.5)


def main() -> None:
    """Print the figures; exit 1 when a sample is missing, memory grows or the backlog drains too slowly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=1000, help="samples per second, a hundred a device")
    parser.add_argument("--settle", type=float, default=15.0, help="s of load before and after")
    options = parser.parse_args()
    devices = max(1, options.rate // 100)
    load = Load(devices=devices, port=free_ports(devices))
    with tempfile.TemporaryDirectory(prefix="soak-outage-") as name, influxdb(Path(name)) as influxd:
        load = replace(load, rules=high_limits(load))
        found = outage(Path(name), influxd, load, options.minutes * 60, options.settle)
    print(
        f"away {found.seconds:.0f} s at {found.live:,.0f} samples/s: {found.accepted:,} accepted, "
        f"{found.missing} missing; {found.backlog:,} waited, noticed after {found.noticed_after:.1f} s, "
        f"drained in {found.drained_in:.1f} s ({found.drain:.0f} x real time); "
        f"RSS {found.rss_before:.0f} MiB before, {found.rss_most:.0f} at most, {found.slope:+.2f} a minute"
    )
    sys.exit(found.missing != 0 or found.drain < 20 or found.rss_most - found.rss_before > 32)


if __name__ == "__main__":
    main()
