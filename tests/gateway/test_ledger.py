"""The ledger adds up: against who counted otherwise, over a kill, on a full disk."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from devices.batch import GOOD, Batch, Reason, bad, signal_set, uncertain
from devices.source import DeviceStatus, SourceStatus, Tally
from gateway.building import build_reader
from gateway.ledger import FOLLOWER, Ledger, reading
from gateway.ledger_file import HOUR, Item, LedgerFile, statement, statements
from gateway.own import GATEWAY
from gateway.spool import Spool, SpoolSettings
from tests.gateway.running import Running

T0 = 500_000 * HOUR + 20 * 60_000_000_000
PLC = signal_set("plc", ("pump-1/a", "pump-1/b", "plc/online"))
LOST, SENTINEL, LATE = bad(Reason.COMM_LOST), bad(Reason.SENTINEL), uncertain(Reason.LATE)


def batch(at: int, *quality: int) -> Batch:
    qualities = np.array([*quality, GOOD] if quality else [GOOD] * 3, np.uint8)
    return Batch(PLC, at, at, np.where(qualities & 0x80, np.nan, 1.0), qualities)


@pytest.mark.parametrize(
    ("quality", "expected"),
    [
        ((GOOD, GOOD), {"good": 1, "samples": 2}),
        ((LOST, LOST), {"bad": {"comm_lost": 1}, "samples": 2, "flawed": {"bad:comm_lost": 2}}),
        ((GOOD, SENTINEL), {"good": 1, "samples": 2, "flawed": {"bad:sentinel": 1}}),
        ((LATE, SENTINEL), {"good": 1, "samples": 2, "flawed": {"uncertain:late": 1, "bad:sentinel": 1}}),
    ],
)
def test_a_reading_is_good_when_any_of_its_values_can_be_used(
    quality: tuple[int, ...], expected: dict[str, object]
) -> None:
    found = statement(Counter(dict(reading(batch(T0, *quality)))))["devices"]["plc"]
    assert found["expected"] == 1
    assert {key: found[key] for key in expected} == expected


def test_what_a_model_says_is_no_reading() -> None:
    score = signal_set("model:machine/pump-1", ("pump-1/anomaly",))
    assert reading(Batch(score, T0, T0, np.zeros(1), np.zeros(1, np.uint8))) == []


class Line:
    """A source that only counts."""

    name = "bus"

    def __init__(self) -> None:
        self.tally, self.counts = Tally(), Counter[str]()

    async def run(self, emit: object) -> None:
        """Nothing to read."""

    def status(self) -> SourceStatus:
        device = DeviceStatus("plc", "healthy", 0, "", 1.0, self.tally)
        return SourceStatus("bus", "modbus-rtu", True, "", self.counts, (device,))


class Scene:
    """A spool that is offered batches, and its ledger, ended well or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.line, self.now = folder, Line(), T0
        settings = SpoolSettings.model_validate({"interval": 0.005, "ballast_bytes": 0})
        self.spool = Spool(folder / "spool", settings, [FOLLOWER])
        self.spool.start()
        self.begin()

    def begin(self) -> None:
        self.ledger = Ledger(
            self.folder / "ledger.db", self.spool, lambda: self.now, lambda: [self.line], dict
        )
        self.task = asyncio.create_task(self.ledger.run())

    async def offer(self, *batches: Batch) -> None:
        for each in batches:
            assert self.spool.offer(each)
        await asyncio.to_thread(self.spool.flush)
        while self.ledger._cursor < self.spool.newest_id():
            await asyncio.sleep(0.005)

    async def end(self, *, well: bool = True) -> None:
        """The end of a process; a kill leaves the last counts unsaved."""
        if not well:
            self.ledger._write = lambda *_: None  # type: ignore[method-assign]
        self.task.cancel()
        await asyncio.wait([self.task])

    def plc(self) -> dict[str, object]:
        hours = statements(self.folder / "ledger.db", T0 - 24 * HOUR)
        return sum_of(hours)


def sum_of(hours: list[dict[str, object]]) -> dict[str, object]:
    assert len(hours) == 1
    return hours[0]["devices"]["plc"]  # type: ignore[index,no-any-return]


def test_readings_are_counted_once_over_a_kill_between_savings(tmp_path: Path) -> None:
    async def story() -> None:
        scene = Scene(tmp_path)
        await scene.offer(batch(T0), batch(T0 + 1))
        await scene.ledger.save()
        await scene.offer(batch(T0 + 2), batch(T0 + 3, LOST, LOST))
        await scene.end(well=False)
        scene.begin()
        await scene.offer(batch(T0 + 4))
        await scene.end()
        scene.spool.close()

    asyncio.run(story())
    hours = statements(tmp_path / "ledger.db", T0 - HOUR)
    plc = sum_of(hours)
    assert (plc["expected"], plc["good"], plc["bad"]) == (5, 4, {"comm_lost": 1})


def test_slots_without_a_reading_are_taken_from_who_counts_them(tmp_path: Path) -> None:
    async def story() -> None:
        scene = Scene(tmp_path)
        await scene.offer(batch(T0))
        scene.line.tally.skip("late", 3)
        scene.line.tally.refused = 2
        scene.line.counts["timeouts"] = 4
        await scene.ledger.save()
        await scene.ledger.save()
        scene.ledger.look()
        scene.line.tally = Tally()  # the line was replaced: it begins to count anew
        scene.ledger.forget(["plc"])
        scene.line.tally.skip("late", 3)
        await scene.end()
        scene.spool.close()

    asyncio.run(story())
    (hour,) = statements(tmp_path / "ledger.db", T0 - HOUR)
    plc = hour["devices"]["plc"]
    assert plc["skipped"] == {"late": 6, "no_room": 2}
    assert plc["expected"] == plc["good"] + 8 == 9
    assert hour["lines"] == {"bus": {"timeouts": 4}}


def test_each_reading_stands_in_the_hour_in_which_it_came(tmp_path: Path) -> None:
    async def story() -> None:
        scene = Scene(tmp_path)
        await scene.offer(batch(T0), batch(T0 + HOUR), batch(T0 + HOUR + 1))
        await scene.end()
        scene.spool.close()

    asyncio.run(story())
    found = statements(tmp_path / "ledger.db", T0 - HOUR, "plc")
    assert [(hour["start"], hour["devices"]["plc"]["good"]) for hour in found] == [
        (T0 // HOUR * HOUR, 1),
        (T0 // HOUR * HOUR + HOUR, 2),
    ]


def test_counts_wait_in_memory_while_the_file_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        scene = Scene(tmp_path)
        await scene.offer(batch(T0))
        with monkeypatch.context() as patch:
            patch.setattr(LedgerFile, "add", _full)
            await scene.ledger.save()
        await scene.offer(batch(T0 + 1))
        await scene.end()
        scene.spool.close()

    asyncio.run(story())
    assert sum_of(statements(tmp_path / "ledger.db", T0 - HOUR))["good"] == 2


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_a_damaged_ledger_is_set_aside_and_a_new_one_begins(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is no database" * 400)
    file = LedgerFile(path)
    assert file.open() == 0
    file.add({T0 // HOUR * HOUR: Counter({Item(GATEWAY, "gateway", "seconds"): 5})}, 1)
    assert file.open() == 1
    assert (tmp_path / "ledger.damaged").is_file()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    gateway = Running(tmp_path / "site", pumps=2)
    yield gateway
    gateway.close()


def test_it_equals_what_the_store_holds_after_a_kill_and_a_dead_device(running: Running) -> None:
    def hours() -> list[dict[str, Any]]:
        return statements(running.site.state / "ledger.db", 0)

    def lost() -> int:
        return sum(hour["devices"].get("plc-2", {}).get("bad", {}).get("comm_lost", 0) for hour in hours())

    running.start()
    running.until(lambda: running.ask("health")["judge"]["samples"] > 40)
    running.tell({"device": "pump-2", "behave": "dead"})
    running.until(lambda: bool(running.ask("ledger") and lost()))
    running.end(signal.SIGKILL)
    running.start()
    running.until(lambda: running.ask("health")["judge"]["samples"] > 40)
    running.end()
    reader = build_reader(running.site)
    for device in ("plc-1", "plc-2"):
        rows = [hour["devices"][device] for hour in hours()]
        stored = len(reader.series(f"{device}/online", 0, 1 << 62))
        read = sum(row["good"] + sum(row["bad"].values()) for row in rows)
        assert read == stored > 5
        assert sum(row["expected"] for row in rows) == read + sum(sum(r["skipped"].values()) for r in rows)
    assert lost()
    reader.close()
    table = running.command("ledger", str(running.folder)).stdout
    assert "comm_lost" in table
    assert "plc-1" in table
