"""From the spool to a store that fails in every way a store can."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from devices.batch import Batch, signal_set
from gateway import failpoints
from gateway.dead_letters import DeadLetters
from gateway.forwarder import Forwarder
from gateway.history import History
from gateway.spool import Entry, Spool, SpoolSettings
from gateway.store import (
    Sample,
    Series,
    StoreDeniedError,
    StoreError,
    StoreRefusedError,
    StoreTooLargeError,
    StoreUnavailableError,
)

SETS = [signal_set(f"d{i}", (f"pump-{i}/a", f"pump-{i}/b")) for i in range(4)]


def batch(time: int, of: int = 0) -> Batch:
    return Batch(SETS[of], time, time, np.array([time, -time], float), np.zeros(2, np.uint8))


class Shelf:
    """A store in memory; ``answers`` are raised one after the other before it takes anything."""

    name = "shelf"
    in_order = False

    def __init__(self) -> None:
        self.points: dict[tuple[str, int], float] = {}
        self.writes: list[int] = []
        self.order: list[int] = []
        self.answers: list[StoreError] = []
        self.away = ""
        self.hates: set[tuple[str, int]] = set()  # (source, time); 0: all of the source
        self.most = 10**9
        self.forgets = False

    def write(self, entries: Sequence[Entry]) -> int:
        if self.answers:
            raise self.answers.pop(0)
        if self.away:
            raise StoreUnavailableError(self.away)
        batches = [each for entry in entries for each in entry.batches]
        if len(batches) > self.most:
            raise StoreTooLargeError("413")
        self.writes.append(len(batches))
        hated = [b for b in batches if {(b.signals.source, 0), (b.signals.source, b.time)} & self.hates]
        for each in batches:  # as InfluxDB: what is good of a refused write stays
            if not any(each is h for h in hated) and not self.forgets:
                self.order.append(each.time)
                for name, value in zip(each.signals.names, each.values.tolist(), strict=True):
                    self.points[name, each.time] = value
        if hated:
            raise StoreRefusedError(f"partial write: {hated[0].signals.source}")
        return entries[-1].id

    def series(self, signal: str, start: int, end: int, points: int | None = None) -> Series:
        found = sorted((t, v) for (name, t), v in self.points.items() if name == signal and start <= t < end)
        time, values = np.array([f[0] for f in found], np.int64), np.array([f[1] for f in found])
        return Series.of_samples(signal, time, values, np.zeros(len(found), np.uint8))

    def tail(self, signal: str, start: int) -> Series:
        return Series.empty(signal)

    def latest(self, signals: Sequence[str]) -> dict[str, Sample]:
        raise NotImplementedError

    def frame(self, signals: Sequence[str], start: int, end: int) -> None:  # type: ignore[override]
        raise NotImplementedError

    def close(self) -> None:
        pass


class Bench:
    """A spool, a shelf and a forwarder whose sleeps are noted and take no time."""

    def __init__(self, folder: Path, store: Shelf | History | None = None) -> None:
        self.folder = folder
        self.shelf = store if isinstance(store, Shelf) else Shelf()
        self.store = store or self.shelf
        self.slept: list[float] = []

    async def __aenter__(self) -> "Bench":
        settings = SpoolSettings.model_validate({"interval": 0.002, "ballast_bytes": 0})
        self.now = 10**18
        self.spool = Spool(self.folder, settings, [self.store.name], clock=self.clock)
        self.spool.start()
        self.forwarder = Forwarder(self.spool, self.store, sleep=self.sleep, chance=lambda: 0.5)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        self.spool.close()

    def clock(self) -> int:
        """A tenth of a second more each time."""
        self.now += 100_000_000
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)

    def start(self) -> None:
        self.task = asyncio.create_task(self.forwarder.run())

    def stop(self) -> None:
        if hasattr(self, "task"):
            self.task.cancel()

    async def offer(self, *batches: Batch) -> None:
        for each in batches:
            assert self.spool.offer(each)
        await asyncio.to_thread(self.spool.flush)

    async def drained(self) -> None:
        async with asyncio.timeout(20):
            while self.spool.cursor(self.store.name) < self.spool.newest_id():
                await asyncio.sleep(0.002)


def test_all_samples_arrive_and_the_cursor_follows(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path) as bench:
            bench.start()
            for time in range(1, 50):
                await bench.offer(batch(time))
            await bench.drained()
            assert {time for _, time in bench.shelf.points} == set(range(1, 50))
            status = bench.forwarder.status()
            assert (status["connected"], status["sent"], status["lag"]) == (True, 98, 0.0)

    asyncio.run(story())


def test_an_outage_is_two_lines_in_the_log_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def story() -> None:
        async with Bench(tmp_path) as bench:
            bench.shelf.away = "connection refused"
            bench.start()
            for time in range(1, 200):
                await bench.offer(batch(time))
            status = bench.forwarder.status()
            assert not status["connected"]
            assert status["detail"] == "connection refused"
            assert status["lag"] > 0
            bench.shelf.away = ""
            await bench.drained()
            assert {time for _, time in bench.shelf.points} == set(range(1, 200))
            assert max(bench.slept) <= 30
            assert bench.forwarder.status()["connected"]

    asyncio.run(story())
    lines = [record.getMessage() for record in caplog.records if record.name == "gateway.forwarder"]
    assert len(lines) == 2
    assert "stopped taking samples: connection refused" in lines[0]
    assert "is back after" in lines[1]


def test_after_an_outage_the_newest_go_first(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path) as bench:
            for time in range(1, 400):
                await bench.offer(batch(time))
            await bench.forwarder._step()
            assert bench.forwarder.status()["draining"]
            await bench.offer(batch(1000))
            bench.start()
            await bench.drained()
            assert {time for _, time in bench.shelf.points} == {*range(1, 400), 1000}
            assert bench.shelf.order.index(1000) < bench.shelf.order.index(399)

    asyncio.run(story())


def test_a_lane_that_was_cut_is_sent_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path) as bench:
            for time in range(1, 300):
                await bench.offer(batch(time))
            await bench.forwarder._step()
            assert bench.forwarder.status()["draining"]
            await bench.offer(batch(1000))
            bench.shelf.answers = [StoreUnavailableError("gone")]
            bench.start()
            await bench.offer(batch(1001))
            await bench.drained()
            assert {time for _, time in bench.shelf.points} == {*range(1, 300), 1000, 1001}

    asyncio.run(story())


def test_the_cursor_survives_a_restart(tmp_path: Path) -> None:
    shelf = Shelf()

    async def story(times: range) -> None:
        async with Bench(tmp_path, shelf) as bench:
            bench.start()
            await bench.offer(*map(batch, times))
            await bench.drained()

    asyncio.run(story(range(1, 5)))
    asyncio.run(story(range(5, 9)))
    assert shelf.order == list(range(1, 9))


def test_one_bad_batch_becomes_a_dead_letter_and_the_rest_is_stored(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path) as bench:
            bench.shelf.hates = {("d1", 13)}
            await bench.offer(*(batch(time, time % 4) for time in range(1, 41)))
            bench.start()
            await bench.drained()
            assert {time for _, time in bench.shelf.points} == set(range(1, 41)) - {13}
            assert DeadLetters(bench.spool.folder / "dead-letters.db").count() == 1
            assert bench.forwarder.status()["refused"] == 2
            assert bench.forwarder.status()["connected"]
            assert len(bench.shelf.writes) < 20

    asyncio.run(story())


def test_a_signal_set_that_is_refused_throughout_costs_few_questions(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path) as bench:
            bench.shelf.hates = {("d2", 0)}
            await bench.offer(*(batch(time, time % 4) for time in range(1, 401)))
            bench.start()
            await bench.drained()
            assert {time for _, time in bench.shelf.points} == {t for t in range(1, 401) if t % 4 != 2}
            assert DeadLetters(bench.spool.folder / "dead-letters.db").count() == 100
            assert len(bench.shelf.writes) < 30

    asyncio.run(story())


def test_too_large_is_halved_until_it_fits(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path) as bench:
            bench.shelf.most = 3
            await bench.offer(*map(batch, range(1, 50)))
            bench.start()
            await bench.drained()
            assert {time for _, time in bench.shelf.points} == set(range(1, 50))
            assert max(bench.shelf.writes) <= 3

    asyncio.run(story())


def test_a_batch_that_is_too_large_alone_does_not_stop_the_rest(tmp_path: Path) -> None:
    async def story() -> None:
        async with Bench(tmp_path) as bench:
            bench.shelf.most = 0
            await bench.offer(batch(1))
            bench.start()
            await bench.drained()
            bench.shelf.most = 5
            await bench.offer(batch(2))
            await bench.drained()
            assert {time for _, time in bench.shelf.points} == {2}
            assert DeadLetters(bench.spool.folder / "dead-letters.db").count() == 1

    asyncio.run(story())


@pytest.mark.parametrize(
    ("answer", "least", "most"),
    [
        (StoreUnavailableError("429", retry_after=7), 7, 8),
        (StoreUnavailableError("503", retry_after=0), 1, 2),
        (StoreUnavailableError("503", retry_after=86400), 300, 301),
        (StoreDeniedError("401 unauthorized"), 15, 30),
        (StoreUnavailableError("timeout"), 0.1, 2),
    ],
)
def test_the_wait_is_what_the_answer_asks_for(
    tmp_path: Path, answer: StoreError, least: float, most: float
) -> None:
    async def story() -> None:
        async with Bench(tmp_path) as bench:
            bench.shelf.answers = [answer]
            await bench.offer(batch(1))
            bench.start()
            await bench.drained()
            assert len(bench.slept) == 1
            assert least <= bench.slept[0] <= most

    asyncio.run(story())


def test_a_store_that_keeps_nothing_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.forwarder._PROBE_EVERY", 0)

    async def story() -> None:
        async with Bench(tmp_path) as bench:
            bench.shelf.forgets = True
            bench.start()
            await bench.offer(batch(1))
            await bench.drained()
            await asyncio.sleep(0.01)
            assert "does not keep" in bench.forwarder.status()["detail"]
            bench.shelf.forgets = False
            await bench.offer(batch(2))
            await bench.drained()
            await asyncio.sleep(0.01)
            assert bench.forwarder.status()["detail"] == ""

    asyncio.run(story())


def test_into_the_history_exactly_once_over_crashes(tmp_path: Path) -> None:
    """The history's place moves behind what is in its file; what is forwarded again is there once."""

    async def story(times: range, crash: bool) -> list[float]:
        history = History(tmp_path / "history.db")
        async with Bench(tmp_path / "spool", history) as bench:
            bench.start()
            for time in times:
                assert bench.spool.offer(batch(time * 1_000_000_000))
            await asyncio.to_thread(bench.spool.flush)
            async with asyncio.timeout(20):
                while bench.forwarder._position < bench.spool.newest_id():
                    await asyncio.sleep(0.002)
            found = history.series("pump-0/a", 0, 2**62).mean.tolist()
            if not crash:
                history.close()
        return [each / 1e9 for each in found]

    assert asyncio.run(story(range(1, 900), crash=True)) == list(range(1, 900))
    assert asyncio.run(story(range(900, 2000), crash=True)) == list(range(1, 2000))
    assert asyncio.run(story(range(2000, 2001), crash=False)) == list(range(1, 2001))


CHILD = """
import asyncio, itertools, sys
import numpy as np
from pathlib import Path
from devices.batch import Batch, signal_set
from gateway.forwarder import Forwarder
from gateway.history import History, HistorySettings
from gateway.spool import Spool, SpoolSettings

DAY = 86_400_000_000_000

async def main():
    folder = Path(sys.argv[1])
    history = History(folder / "history.db", HistorySettings.model_validate({"open_bytes": 3000}))
    settings = SpoolSettings.model_validate({"interval": 0.002, "ballast_bytes": 0, "file_bytes": 65536})
    spool = Spool(folder / "spool", settings, ["history"], clock=itertools.count(DAY, DAY // 40).__next__)
    spool.start()
    forwarding = asyncio.create_task(Forwarder(spool, history).run())
    signals = [signal_set(f"d{i}", (f"pump-{i}/a", f"pump-{i}/b")) for i in range(3)]
    for time in itertools.count(spool.newest_time() // 10**9 + 1):
        offered = Batch(signals[time % 3], time * 10**9, 0, np.full(2, float(time)), np.zeros(2, np.uint8))
        while not spool.offer(offered, lambda time=time: print(time, flush=True)):
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.0003)
        if forwarding.done():
            forwarding.result()

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "point",
    [
        "history.before_commit:7:kill",
        "history.after_commit:7:kill",
        "history.compact:3:kill",
        "forwarder.before_write:40:kill",
        "forwarder.after_write:40:kill",
        "spool.before_delete:2:kill",
    ],
)
def test_kill_9_anywhere_on_the_way_to_the_history_leaves_each_sample_there_once(
    tmp_path: Path, point: str
) -> None:
    acknowledged = 0
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(tmp_path)],
            env=os.environ | {failpoints.VARIABLE: point},
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            check=False,
            timeout=60,
        )
        assert done.returncode == -signal.SIGKILL
        acknowledged = max([acknowledged, *map(int, done.stdout.split(b"\n")[:-1])])
    assert acknowledged > 10

    async def check() -> None:
        async with Bench(tmp_path / "spool", History(tmp_path / "history.db")) as bench:
            bench.start()
            async with asyncio.timeout(20):
                while bench.forwarder._position < bench.spool.newest_id():
                    await asyncio.sleep(0.002)
            found: list[float] = []
            minutes = 0
            for i in range(3):
                found += bench.store.series(f"pump-{i}/b", 0, 2**62).mean.tolist()
                minutes += int(bench.store.series(f"pump-{i}/b", 0, 10**15, points=10).count.sum())
            assert sorted(found) == list(range(1, len(found) + 1))
            assert len(found) == minutes >= acknowledged
            assert not bench.spool.ledger()
            bench.store.close()

    asyncio.run(check())


def test_memory_is_flat_while_the_store_is_away(tmp_path: Path) -> None:
    """Ten minutes at 1 000 samples/s wait on disk, not in memory."""

    def resident() -> float:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20

    async def story() -> tuple[float, float]:
        async with Bench(tmp_path) as bench:
            bench.shelf.away = "away"
            bench.start()
            wide = [signal_set(f"w{i}", tuple(f"fan-{i}/q{j}" for j in range(10))) for i in range(100)]
            good = np.zeros(10, np.uint8)
            held = []
            for second in range(600):
                for signals in wide:
                    assert bench.spool.offer(Batch(signals, second, second, np.full(10, second, float), good))
                await asyncio.to_thread(bench.spool.flush)
                if second % 50 == 49:
                    held.append(resident())
            assert bench.spool.status()["backlog"] == {"shelf": 600_000}
            return held[3], max(held[4:])

    before, most = asyncio.run(story())
    assert most - before < 8
