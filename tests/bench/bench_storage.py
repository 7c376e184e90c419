"""What keeping costs: points a CPU second and bytes a point, part by part; charts (P12); InfluxDB's share (P8).

Run ``python tests/bench/bench_storage.py [--width 100]``. Values are noise as float32 registers give it: the worst
case for every compression. InfluxDB is measured where ``influxd`` is installed.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from devices.batch import Batch, signal_set
from gateway import codec
from gateway.forwarder import Forwarder
from gateway.history import History
from gateway.influx import InfluxSettings, InfluxStore
from gateway.influx_lines import LineProtocol
from gateway.spool import Entry, Spool, SpoolSettings
from tests.gateway.conftest import Influxd

SECOND = 1_000_000_000
DAY = 86_400 * SECOND
T0 = 20_700 * DAY


def batches(width: int, sets: int, rows: int, step: int = SECOND) -> list[Batch]:
    """``rows`` readings of each of ``sets`` devices with ``width`` signals."""
    chance = np.random.default_rng(0)
    signals = [signal_set(f"plc-{i}", tuple(f"m-{i}/q{j}" for j in range(width))) for i in range(sets)]
    quality = np.zeros(width, np.uint8)
    values = chance.normal(50, 1, (rows, sets, width)).astype(np.float32).astype(np.float64)
    return [
        Batch(each, (at := T0 + row * step + i * 1000), at + 1_234_567, values[row, i], quality)
        for row in range(rows)
        for i, each in enumerate(signals)
    ]


def entries(all_: Sequence[Batch], size: int = 8192) -> list[Entry]:
    """Groups as the spool makes them when it is busy."""
    width = len(all_[0].values)
    count = max(1, size // width)
    groups = [tuple(all_[at : at + count]) for at in range(0, len(all_), count)]
    return [Entry(i + 1, group, len(group) * width, 0, group[-1].time) for i, group in enumerate(groups)]


def cost(what: str, points: int, do: Callable[[], int]) -> None:
    """Print what ``do`` (which returns the bytes it made, or 0) costs."""
    began, wall = time.process_time(), time.perf_counter()
    size = do()
    cpu, wall = time.process_time() - began, time.perf_counter() - wall
    stored = f"{size / points:6.2f} bytes a point" if size else ""
    print(f"{what:34s} {points / cpu / 1e6:6.2f} M points/CPU s  {points / wall / 1e6:6.2f} M/s  {stored}")


def spooled(all_: Sequence[Batch]) -> int:
    """Through the spool: offered in the loop, committed by its thread, on this machine's disk."""

    async def run() -> int:
        with tempfile.TemporaryDirectory() as folder:
            spool = Spool(Path(folder), SpoolSettings(), ["store"])
            spool.start()
            for i, batch in enumerate(all_):
                while not spool.offer(batch):
                    await asyncio.sleep(0.001)
                if i % 100 == 0:
                    await asyncio.sleep(0)
            await asyncio.to_thread(spool.flush)
            spool.close()
            return spool.status()["bytes"]

    return asyncio.run(run())


def in_history(groups: Sequence[Entry]) -> int:
    """Into the embedded history, minutes included."""
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder) / "history.db")
        for at in range(0, len(groups), 8):
            history.write(groups[at : at + 8])
        history.close()
        return (Path(folder) / "history.db").stat().st_size


def charts() -> None:
    """Thirty days of a signal at 0.2 Hz as a chart of 1 000 points (bar P12: under 300 ms)."""
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder) / "history.db")
        rows = 30 * 17_280
        for first in range(0, rows, 17_280):
            day = batches(20, 1, 17_280, 5 * SECOND)
            moved = [
                Batch(b.signals, b.time + first * 5 * SECOND, b.arrival, b.values, b.quality) for b in day
            ]
            for i, group in enumerate(entries(moved)):
                history.write(
                    [Entry(first * 100 + i + 1, group.batches, group.samples, 0, group.batches[-1].time)]
                )
        for days in (1, 7, 30):
            began = time.perf_counter()
            series = History.reader(Path(folder) / "history.db", history.tail).series(
                "m-0/q7", T0 + (30 - days) * DAY, T0 + 30 * DAY, 1000
            )
            print(
                f"chart of {days:2d} days, {len(series)} points {'':12s} {(time.perf_counter() - began) * 1e3:6.0f} ms"
            )
        history.close()


@contextmanager
def influxdb() -> Iterator[str | None]:
    """A real server's address, or None."""
    executable = shutil.which("influxd")
    if executable is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        server = Influxd(Path(executable), Path(folder))
        server.start()
        yield server.url
        server.kill()


@dataclass(frozen=True)
class Drained:
    """What the forwarder made of a full spool: points/s beside those of bare posts, and MiB that it took meanwhile."""

    ours: float
    bare: float
    grown: float

    @property
    def share(self) -> float:
        return self.ours / self.bare


async def forwarded(all_: Sequence[Batch], store: InfluxStore) -> tuple[float, float]:
    """Seconds that the forwarder takes for what waits in the spool, and how many MiB it takes for that at most."""
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder), SpoolSettings(), [store.name])
        spool.start()
        for batch in all_:
            while not spool.offer(batch):
                await asyncio.sleep(0.001)
        await asyncio.to_thread(spool.flush)
        before = most = rss()
        began = time.perf_counter()
        forwarding = asyncio.create_task(Forwarder(spool, store).run())
        while spool.cursor(store.name) < spool.newest_id():
            await asyncio.sleep(0.005)
            most = max(most, rss())
        taken = time.perf_counter() - began
        forwarding.cancel()
        spool.close()
        return taken, most - before


def rss() -> float:
    """MiB that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def share_of_influxdb(groups: Sequence[Entry], url: str) -> Drained:
    """Our forwarding against bare posts of the same lines, made beforehand."""
    lines = LineProtocol("bench", lambda _: "machine")
    chunks = [groups[at : at + 2] for at in range(0, len(groups), 2)]
    bodies = [lines.encode(b for group in chunk for b in group.batches) for chunk in chunks]
    points = sum(group.samples for group in groups)
    urllib.request.urlopen(f"{url}/query", data=b"q=CREATE DATABASE bare").close()

    def post(body: bytes) -> None:
        urllib.request.urlopen(f"{url}/write?db=bare&precision=ns", data=body).close()

    began = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:  # as many at once as the forwarder
        list(pool.map(post, bodies))
    bare = points / (time.perf_counter() - began)
    store = InfluxStore(InfluxSettings(url=url, database="ours"), "bench", lambda _: "machine")
    taken, grown = asyncio.run(forwarded([b for group in groups for b in group.batches], store))
    store.close()
    return Drained(points / taken, bare, grown)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=100, help="signals read at a time")
    width = parser.parse_args().width
    all_ = batches(width, 50, 40_000 // width)
    points = len(all_) * width
    groups = entries(all_)
    numbers = {batch.signals: i for i, batch in enumerate(all_[:50])}
    sets = {number: signals for signals, number in numbers.items()}
    bodies = [codec.encode(g.batches, [numbers[b.signals] for b in g.batches]) for g in groups]
    lines = LineProtocol("bench", lambda _: "machine")
    lines.encode(all_[:50])

    def encode() -> int:
        return sum(len(codec.encode(g.batches, [numbers[b.signals] for b in g.batches])) for g in groups)

    cost("spool codec, encode", points, encode)
    cost("spool codec, decode", points, lambda: 0 * sum(len(codec.decode(each, sets)) for each in bodies))
    cost("spool, offered to durable", points, lambda: spooled(all_))
    cost("embedded history", points, lambda: in_history(groups))
    cost("line protocol", points, lambda: sum(len(lines.encode(g.batches)) for g in groups))
    with influxdb() as url:
        if url is None:
            print("influxd is not installed: apt-get install influxdb")
        else:
            print(f"forwarder: {share_of_influxdb(groups, url)}")
    charts()


if __name__ == "__main__":
    main()
