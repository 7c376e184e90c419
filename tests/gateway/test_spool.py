"""The spool: durable in groups, followed by cursors, bounded, and honest about what it lost."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from devices.batch import Batch, SignalSet, signal_set
from gateway import failpoints
from gateway.spool import Entry, Spool, SpoolFailed, SpoolSettings

FAST = {"interval": 0.005, "ballast_bytes": 0}
PUMP = signal_set("pump", ("pump-1/a", "pump-1/b"))


def batch(time: int, width: int = 2, signals: SignalSet = PUMP) -> Batch:
    if width != 2:
        signals = signal_set("wide", tuple(f"w/{i}" for i in range(width)))
    values = np.random.default_rng(time).normal(size=width)
    return Batch(signals, time, time + 5, values, np.zeros(width, np.uint8))


def settings(**changes: object) -> SpoolSettings:
    return SpoolSettings.model_validate(FAST | changes)


def times(entries: list[Entry]) -> list[int]:
    return [each.time for entry in entries for each in entry.batches]


async def settle(spool: Spool) -> None:
    await asyncio.to_thread(spool.flush)
    await asyncio.sleep(0)


def everything(spool: Spool, after: int = 0) -> list[Entry]:
    entries: list[Entry] = []
    while more := spool.read(after, 16):
        entries += more
        after = more[-1].id
    return entries


def run(coroutine: Callable[[], object]) -> None:
    asyncio.run(coroutine())  # type: ignore[arg-type]


def test_done_is_called_after_the_commit_and_the_batch_is_on_disk(tmp_path: Path) -> None:
    async def story() -> None:
        spool = Spool(tmp_path, settings(), ["judge"])
        spool.start()
        on_disk: list[int] = []

        def done() -> None:
            with sqlite3.connect(tmp_path / "spool-000001.db") as other:
                on_disk.append(other.execute("SELECT sum(n) FROM entry").fetchone()[0])

        assert spool.offer(batch(1), done)
        assert not on_disk
        await settle(spool)
        assert on_disk == [2]
        spool.close()

    run(story)


def test_batches_come_back_in_order_over_restarts_with_rising_ids(tmp_path: Path) -> None:
    async def write(first: int, last: int) -> list[int]:
        spool = Spool(tmp_path, settings(), ["judge"])
        spool.start()
        for time in range(first, last):
            assert spool.offer(batch(time))
            if time % 10 == 0:
                await settle(spool)
        spool.close()
        spool = Spool(tmp_path, settings(), ["judge"])
        spool.start()
        entries = everything(spool)
        assert times(entries) == list(range(1, last))
        assert spool.last_time(PUMP) == spool.newest_time() == last - 1
        assert [e.seq for e in entries] == np.cumsum([0, *[e.samples for e in entries]])[:-1].tolist()
        spool.close()
        return [entry.id for entry in entries]

    before = asyncio.run(write(1, 50))
    after = asyncio.run(write(50, 100))
    assert after[: len(before)] == before
    assert after == sorted(set(after))


def test_recent_entries_are_read_from_memory(tmp_path: Path) -> None:
    async def story() -> None:
        spool = Spool(tmp_path, settings(), ["judge"])
        spool.start()
        with failpoints.armed("spool.read:1-:error"):
            for time in range(1, 20):
                spool.offer(batch(time))
                await settle(spool)
            assert times(everything(spool, spool.read(0, 1)[0].id)) == list(range(2, 20))
        spool.close()

    run(story)


def test_old_entries_are_read_from_disk_when_the_cache_is_small(tmp_path: Path) -> None:
    async def story() -> None:
        spool = Spool(tmp_path, settings(cache_bytes=2000), ["judge"])
        spool.start()
        for time in range(1, 40):
            spool.offer(batch(time))
            await settle(spool)
        assert times(everything(spool)) == list(range(1, 40))
        assert spool.status()["backlog"] == {"judge": 78}
        spool.advance("judge", spool.read(0, 10)[-1].id)
        assert spool.status()["backlog"] == {"judge": 58}
        spool.close()

    run(story)


def test_a_follower_waits_for_the_next_entry(tmp_path: Path) -> None:
    async def story() -> None:
        spool = Spool(tmp_path, settings(), ["judge"])
        spool.start()
        waiting = asyncio.create_task(spool.after(spool.newest_id()))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        spool.offer(batch(1))
        assert times(await asyncio.wait_for(waiting, 5)) == [1]
        spool.close()

    run(story)


def test_a_full_ring_refuses_and_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        spool = Spool(tmp_path, settings(ring_bytes=5 * 418), ["judge"])
        spool.start()
        taken = [spool.offer(batch(time)) for time in range(1, 9)]
        assert taken == [True] * 5 + [False] * 3
        assert spool.status()["refused"] == 6
        await settle(spool)
        assert spool.offer(batch(9))
        await settle(spool)
        assert times(everything(spool)) == [1, 2, 3, 4, 5, 9]
        spool.close()

    run(story)


def test_cursors_survive_and_files_that_all_passed_go(tmp_path: Path) -> None:
    async def story() -> None:
        small = settings(file_bytes=65536, max_bytes=1 << 30)
        spool = Spool(tmp_path, small, ["judge", "store"])
        spool.start()
        for time in range(1, 200):
            spool.offer(batch(time, 1000))
            await settle(spool)
        files = spool.status()["files"]
        assert files > 10
        middle = everything(spool)[100].id
        spool.advance("judge", spool.newest_id())
        spool.offer(batch(200, 1000))
        await settle(spool)
        assert spool.status()["files"] == files
        spool.advance("store", middle)
        spool.offer(batch(201, 1000))
        await settle(spool)
        assert spool.status()["files"] < files - 3
        assert times(everything(spool, middle)) == list(range(102, 202))
        spool.close()
        again = Spool(tmp_path, small, ["judge", "store", "new"])
        again.start()
        assert again.cursor("store") == middle
        assert again.cursor("new") == 0
        assert not again.ledger()
        again.close()

    run(story)


def test_beyond_the_quota_the_oldest_are_shed_and_counted_exactly(tmp_path: Path) -> None:
    async def story() -> None:
        spool = Spool(tmp_path, settings(max_bytes=1 << 20, cache_bytes=1), ["judge", "store"])
        spool.start()
        for time in range(1, 400):
            spool.offer(batch(time, 1000))
            await settle(spool)
            spool.advance("judge", spool.newest_id())
        status = spool.status()
        kept = times(everything(spool))
        assert kept == list(range(kept[0], 400))
        assert status["bytes"] <= 1.5 * (1 << 20)
        assert status["shed"] == 1000 * (kept[0] - 1) > 0
        assert sum(gap.n for gap in spool.ledger()) == status["shed"]
        assert spool.ledger()[0].start == 1
        assert spool.ledger()[-1].end == kept[0] - 1
        assert {gap.reason for gap in spool.ledger()} == {"quota"}
        spool.close()
        again = Spool(tmp_path, settings(max_bytes=1 << 20), ["judge", "store"])
        again.start()
        assert sum(gap.n for gap in again.ledger()) == status["shed"]
        again.close()

    run(story)


def test_a_failed_commit_is_written_again_to_a_new_file(tmp_path: Path) -> None:
    async def story() -> None:
        spool = Spool(tmp_path, settings(), ["judge"])
        spool.start()
        spool.offer(batch(1))
        await settle(spool)
        with failpoints.armed("spool.before_commit:1-2:error"):
            spool.offer(batch(2))
            await settle(spool)
        spool.offer(batch(3))
        await settle(spool)
        assert times(everything(spool)) == [1, 2, 3]
        assert spool.status()["accepted"] == 6
        spool.close()
        again = Spool(tmp_path, settings(), ["judge"])
        again.start()
        assert times(everything(again)) == [1, 2, 3]
        again.close()

    run(story)


def test_three_failures_end_it(tmp_path: Path) -> None:
    async def story() -> None:
        spool = Spool(tmp_path, settings(), ["judge"])
        spool.start()
        done: list[int] = []
        with failpoints.armed("spool.before_commit:1-:error"):
            spool.offer(batch(1), lambda: done.append(1))
            with pytest.raises(SpoolFailed, match="3 commits failed"):
                await asyncio.wait_for(spool.watch(), 5)
        assert not done
        spool.close()

    run(story)


CHILD = """
import asyncio, itertools, sys
import numpy as np
from pathlib import Path
from devices.batch import Batch, signal_set
from gateway.spool import Spool, SpoolSettings

async def main():
    settings = SpoolSettings.model_validate({"interval": 0.002, "ballast_bytes": 0, "file_bytes": 65536})
    spool = Spool(Path(sys.argv[1]), settings, ["judge"])
    spool.start()
    signals = signal_set("pump", ("pump-1/a", "pump-1/b"))
    for time in itertools.count(spool.last_time(signals) + 1):
        offered = Batch(signals, time, time, np.full(2, float(time)), np.zeros(2, np.uint8))
        while not spool.offer(offered, lambda time=time: print(time, flush=True)):
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.0003)

asyncio.run(main())
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    rounds = int(os.environ.get("WATCHKEEPER_KILLS", "20"))
    generator = np.random.default_rng(7)
    acknowledged = 0
    points = ("spool.before_commit", "spool.after_commit", "spool.create_file", "spool.rotate")
    for turn in range(rounds):
        arm = {}
        if turn % 2:
            arm = {failpoints.VARIABLE: f"{points[turn // 2 % 4]}:{generator.integers(1, 60)}:kill"}
        with subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)],
            stdout=subprocess.PIPE,
            env=os.environ | arm,
            cwd=Path(__file__).parents[2],
        ) as child:
            assert child.stdout
            deadline = generator.uniform(0.02, 0.15)
            first = child.stdout.readline()
            try:
                child.wait(deadline if first else 10)
            except subprocess.TimeoutExpired:
                child.send_signal(signal.SIGKILL)
            lines = (first + child.stdout.read()).split(b"\n")[:-1]
        assert child.returncode == -signal.SIGKILL
        acknowledged = max([acknowledged, *map(int, lines)])

    async def check() -> None:
        spool = Spool(tmp_path, settings(), ["judge"])
        spool.start()
        entries = everything(spool)
        kept = times(entries)
        assert kept == list(range(1, len(kept) + 1))
        assert len(kept) >= acknowledged > 20
        assert all((each.values == each.time).all() for entry in entries for each in entry.batches)
        assert not spool.ledger()
        spool.close()

    run(check)
