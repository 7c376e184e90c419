"""Kill −9 the daemon again and again under load, and its InfluxDB too; then look for what is missing or doubled.

Run ``python -m tests.soak.kill --kills 100``. The truth is the spool, told to keep what it sent: every sample that
was accepted is in it. InfluxDB must hold exactly these, each with a value that the plant served; the ticket core
must hold exactly the alarms and orders that one undisturbed judge makes of them.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from signal import SIGKILL
from typing import Any

import numpy as np
from numpy.typing import NDArray

from devices.batch import BAD, Batch, SignalSet
from gateway.building import build_panel, build_rules, build_sensors, build_store, maintained
from gateway.config import load_site
from gateway.dispatch import Dispatch
from gateway.evidence import Witness
from gateway.heartbeat import PULSE, started
from gateway.site import Site
from gateway.spool import Entry
from gateway.spool_log import SpoolLog
from gateway.store import Store
from gateway.tree import standing_above
from rules import View
from simulators.bench import raw
from tests.bench.stand import CLASS, Daemon, Load, free_ports, influxdb, plant, write_site
from tests.gateway.conftest import Influxd
from ticketing import Desk

SECOND = 1_000_000_000
SCALE = 0.01


def rules(load: Load, seconds: float) -> str:
    """Three rules that come and go with every swing of the plant, and forty that come once, all along the soak."""
    swinging = "\n".join(
        f'[rule.swing-{n}]\nfailure_mode = "VIB"\nscope = {{ class = "{CLASS}" }}\nsignal = "q{n:03d}"\n'
        f'above = {102 + n}\nseverity = 4\nclear = {{ deadband = 1, off_delay = "1s" }}\n'
        for n in range(3)
    )
    once = "\n".join(
        f'[rule.once-{n}]\nfailure_mode = "OHE"\nscope = {{ assets = ["{load.assets[n % load.devices]}"] }}\n'
        f'signal = "q010"\nabove = 1\nseverity = 4\non_delay = "{n * seconds / 40:.0f}s"\n'
        f'work_order = {{ key = "rule_asset" }}\n'
        for n in range(1, 41)
    )
    return swinging + once


def soak(folder: Path, influxd: Influxd, devices: int, kills: int, chance: random.Random) -> dict[str, Any]:
    """The kills, then one quiet run to the end; returns how often what happened."""
    load = Load(devices, registers=50, period="200ms", port=free_ports(devices))
    load = replace(load, rules=rules(load, max(8.0, 4.0 * kills)))
    store = f'kind = "influxdb"\nurl = "{influxd.url}"\ndatabase = "soak"'
    site = write_site(folder / "site", load, store, 'retain_sent = "1d"\nballast_bytes = 0')
    counts: Counter[str] = Counter()
    with plant(load):
        daemon = Daemon(site)
        for number in range(1, kills + 1):
            daemon.start()
            if chance.random() < 0.25:
                time.sleep(chance.uniform(0.2, 2.0))
                counts["while starting"] += 1
            else:
                daemon.ready()
                time.sleep(chance.uniform(0.1, 4.0))
            daemon.end(SIGKILL)
            counts["kills of the daemon"] += 1
            if number % 6 == 3:
                influxd.kill()
                counts["kills of InfluxDB"] += 1
            elif number % 6 == 4:
                influxd.start()
            if sys.stderr.isatty():
                print(f"\r{number} of {kills} kills", end="", file=sys.stderr, flush=True)
        if kills % 6 == 3:
            influxd.start()
        daemon.start()
        daemon.ready()
        time.sleep(3.0)
        _catch_up(daemon)
        daemon.end()
    return dict(counts) | compare(load_site(site), load)


def _catch_up(daemon: Daemon, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while True:
        health = daemon.health()
        behind = health["spool"]["backlog"][
            health["store"]["name"]
        ]  # the judge and the ledger keep more than they need
        if health["store"]["connected"] and behind < 5_000 and health["judge"]["lag"] < 1.0:
            return
        assert time.monotonic() < deadline, f"not caught up: {health['store']} {health['spool']}"
        time.sleep(0.2)


def compare(site: Site, load: Load) -> dict[str, Any]:
    """The spool against InfluxDB, against the plant, and against the ticket core."""
    entries = list(_spooled(site))
    store = build_store(site)
    store.write(entries[-256:])  # the last of a spool is forwarded by whoever starts next
    try:
        found = _samples(entries, store) | {"wrong values": _wrong_values(entries, load)}
        return found | _orders(site, entries)
    finally:
        store.close()


def _spooled(site: Site) -> Iterator[Entry]:
    log = SpoolLog(site.state / "spool", (), max_bytes=1 << 40, file_bytes=1 << 30, ballast_bytes=0)
    log.open()
    try:
        at = 0
        while entries := log.read(at, 256):
            at = entries[-1].id
            yield from entries
        assert not log.gaps, f"the spool has lost something: {log.gaps}"
    finally:
        log.abandon()


def _samples(entries: list[Entry], store: Store) -> dict[str, int]:
    """Each signal's times and values in the spool and in the store."""
    batches: dict[SignalSet, list[Batch]] = {}
    for entry in entries:
        for batch in entry.batches:
            batches.setdefault(batch.signals, []).append(batch)
    counts: Counter[str] = Counter(dict.fromkeys(("accepted", "lost", "doubled", "not as accepted"), 0))
    for signals, each in batches.items():
        times = np.array([batch.time for batch in each])
        order = np.argsort(times, kind="stable")
        values = np.array([batch.values for batch in each])[order]
        good = np.array([batch.quality for batch in each])[order] & BAD == 0
        times = times[order]
        counts["doubled"] += int((np.diff(times) == 0).sum()) * len(signals.names)
        for column, name in enumerate(signals.names):
            here = good[:, column]
            stored = store.series(name, int(times[0]), int(times[-1]) + 1)
            counts["accepted"] += int(here.sum())
            counts["lost"] += len(np.setdiff1d(times[here], stored.time))
            counts["doubled"] += len(stored.time) - len(np.unique(stored.time))
            counts["not as accepted"] += len(np.setdiff1d(stored.time, times[here]))
            kept = dict(zip(stored.time.tolist(), stored.mean.tolist(), strict=True))
            pairs = zip(times[here].tolist(), values[here, column].tolist(), strict=True)
            counts["not as accepted"] += sum(kept.get(time, value) != value for time, value in pairs)
    return dict(counts)


def _wrong_values(entries: list[Entry], load: Load) -> int:
    """Batches that the plant has never served: not one of its images around that second."""

    @cache
    def image(device: int, second: int) -> NDArray[np.float64]:
        return raw(device, load.registers, second) * SCALE

    wrong = 0
    for entry in entries:
        for batch in entry.batches:
            if not batch.signals.source.startswith("plc-") or (batch.quality & BAD).any():
                continue
            device, second = int(batch.signals.source.rpartition("-")[2]), batch.time // SECOND
            served = [image(device, (second + late) % 16) for late in (0, -1, 1)]
            wrong += not any(np.array_equal(each, batch.values[:-1]) for each in served)
    return wrong


def _orders(site: Site, entries: list[Entry]) -> dict[str, int]:
    """The ticket core against one that a judge without interruption fills from the same log."""
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = Desk.open(f"{folder}/core.db", site=site.site.id)
        _judge(site, entries, undisturbed)
        wanted_alarms, wanted_orders, _ = _said(undisturbed)
        undisturbed.close()
    desk = Desk.open(site.core, site=site.site.id)
    alarms, orders, open_keys = _said(desk)
    with desk.read() as reading:
        assert reading.verify().broken is None, "the chain of events is broken"
    desk.close()
    return {
        "alarms": len(alarms),
        "alarms missing": len(wanted_alarms - alarms),
        "alarms too many": len(alarms - wanted_alarms),
        "orders": sum(orders.values()),
        "orders missing": (wanted_orders - orders).total(),
        "orders doubled": (orders - wanted_orders).total() + len(open_keys) - len(set(open_keys)),
    }


def _judge(site: Site, entries: list[Entry], desk: Desk) -> None:
    with desk.transaction() as tx:
        tx.sync_assets(maintained(site))
    panel = build_panel(site)
    views: dict[SignalSet, View] = {}
    witness = Witness(site, build_sensors(site))
    dispatch = Dispatch(desk, build_rules(site), witness, standing_above(site))
    for entry in entries:
        happened = []
        for batch in entry.batches:
            if batch.signals is PULSE:
                happened += panel.tick(batch.time, started(batch))
                continue
            if (view := views.get(batch.signals)) is None:
                view = views[batch.signals] = panel.view(batch.signals.names)
            happened += panel.judge(view, batch.time, batch.values, batch.quality)
        if happened or dispatch.due(entry.time):
            with dispatch.transaction(entry.time, happened):
                pass


def _said(desk: Desk) -> tuple[set[tuple[str, str, bool]], Counter[tuple[str | None, int]], list[str | None]]:
    with desk.read() as reading:
        alarms = {(a.episode, a.decision, a.active) for a in reading.alarms(limit=None)}
        found = reading.orders(state=None, limit=1_000_000)
    return (
        alarms,
        Counter((order.fault_key, order.opened_at) for order in found),
        [order.fault_key for order in found if order.open],
    )


WRONG = (
    "lost", "doubled", "not as accepted", "wrong values",
    "alarms missing", "alarms too many", "orders missing", "orders doubled",
)  # fmt: skip


def main() -> None:
    """Print what happened; exit 1 when anything was lost, doubled or wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--devices", type=int, default=20, help="of 50 registers, read five times a second")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true", help="leave the folder when something is wrong")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-kill-"))
    began, wrong = time.monotonic(), True
    try:
        with influxdb(folder) as influxd:
            found = soak(folder, influxd, options.devices, options.kills, random.Random(options.seed))
        wrong = any(found[each] for each in WRONG)
        print(f"seed {options.seed}, {time.monotonic() - began:.0f} s")
        for what, count in found.items():
            print(f"{count:12,} {what}")
    finally:
        if wrong and options.keep:
            print(f"left in {folder}")
        else:
            shutil.rmtree(folder)
    sys.exit(wrong)


if __name__ == "__main__":
    main()
