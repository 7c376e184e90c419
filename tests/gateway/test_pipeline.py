"""From committed batches to one work order, and again after a kill at the worst moments."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from devices.batch import GOOD, Batch, Reason, bad, signal_set
from gateway import failpoints
from gateway.building import build_panel, build_rules, build_sensors, maintained
from gateway.config import load_site
from gateway.dispatch import Dispatch
from gateway.evidence import Witness
from gateway.history import History
from gateway.intake import Intake
from gateway.pipeline import Pipeline
from gateway.site import Site
from gateway.spool import Spool
from gateway.tree import standing_above
from ticketing import Desk, Evidence, Order, StorageError, Tx

S = 1_000_000_000
T0 = 1_800_000_000 * S
PLC = signal_set("plc-1", ("pump-1/vib_rms", "pump-1/speed", "plc-1/online"))
FILES = {
    "site.toml": """
        [site]
        id = "works"
        name = "Works"
        [spool]
        interval = "5ms"
    """,
    "assets.toml": """
        [class.pump.signals]
        vib_rms = { unit = "mm/s", range = [0, 50], name_zh = "振动速度有效值", name_en = "vibration velocity" }
        speed = { unit = "rpm", name_zh = "转速", name_en = "speed" }
        [asset.pump-1]
        class = "pump"
        name_zh = "一号泵"
        name_en = "Pump one"
        criticality = "A"
    """,
    "devices.toml": """
        [line.plc]
        kind = "modbus-tcp"
        host = "127.0.0.1"
        [device.plc-1]
        line = "plc"
        [device.plc-1.points]
        "pump-1/vib_rms" = { address = 0, table = "input", type = "f32" }
        "pump-1/speed" = { address = 2, table = "input", type = "f32" }
    """,
    "rules.toml": """
        [rule.vibration]
        title_zh = "振动过大"
        title_en = "Vibration high"
        failure_mode = "VIB"
        scope = { class = "pump" }
        signals = { v = "vib_rms", n = "speed" }
        params = { high = 4.5 }
        clear = { deadband = 0.3, off_delay = "5s" }
        work_order = { min_active = { 3 = "0s" } }
        [[rule.vibration.when]]
        severity = 3
        expr = "v > high and n > 300"
        on_delay = "5s"
        [rule.offline]
        failure_mode = "COM"
        scope = { class = "device" }
        signals = { on = "online" }
        work_order = { min_active = { 3 = "0s" } }
        [[rule.offline.when]]
        severity = 3
        expr = "on < 0.5"
        on_delay = "10s"
    """,
}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    for name, text in FILES.items():
        (tmp_path / name).write_text(textwrap.dedent(text))
    return load_site(tmp_path)


def trace(vibration: Iterable[float], start: int = 0) -> list[Batch]:
    """One batch a second; NaN is a cable that is out."""
    found = []
    for second, value in enumerate(vibration, start):
        time, lost = T0 + second * S, np.isnan(value)
        quality = [bad(Reason.COMM_LOST)] * 2 + [GOOD] if lost else [GOOD] * 3
        values = np.array([value, np.nan if lost else 1480.0, 0.0 if lost else 1.0])
        found.append(Batch(PLC, time, time, values, np.array(quality, np.uint8)))
    return found


async def live(site: Site, batches: Iterable[Batch]) -> None:
    """A gateway without wires: takes the batches, judges them all, and ends."""
    desk = Desk.open(site.core, site=site.site.id)
    with desk.transaction() as tx:
        tx.sync_assets(maintained(site))
    store = History(site.state / "history.db", site.store)
    now = [T0]
    spool = Spool(site.state / "spool", site.spool, followers=("judge",), clock=lambda: now[0])
    spool.start()
    sensors = build_sensors(site)
    dispatch = Dispatch(desk, build_rules(site), Witness(site, sensors), standing_above(site))
    intake = Intake(spool, site.judge.ns)
    pipeline = Pipeline(spool, build_panel(site), sensors, dispatch, intake, lateness=site.judge.ns)
    judge = asyncio.create_task(pipeline.run())
    for batch in batches:
        now[0] = max(now[0], batch.arrival)
        intake(batch)
        await asyncio.to_thread(spool.flush)
    async with asyncio.timeout(20):
        await asyncio.to_thread(spool.flush)
        while pipeline.progress.cursor < spool.newest_id():
            await asyncio.sleep(0.01)
            if judge.done():
                judge.result()
    judge.cancel()
    await asyncio.wait([judge])
    spool.close()
    store.close()
    desk.close()


def run(site: Site, batches: Iterable[Batch]) -> None:
    site.state.mkdir(exist_ok=True)
    asyncio.run(live(site, batches))


def outcome(site: Site) -> tuple[list[Order], list[Evidence]]:
    desk = Desk.open(site.core, site=site.site.id)
    try:
        with desk.read() as reading:
            orders = reading.orders()
            return orders, [item for order in orders for item in reading.evidence(order.number)]
    finally:
        desk.close()


def test_a_fault_opens_one_order_with_its_sentence_in_both_languages(site: Site) -> None:
    run(site, trace([2.0] * 60 + [5.2] * 30))
    (order,), (evidence,) = outcome(site)
    assert (order.asset, order.failure_mode, order.title_zh, order.priority) == (
        "pump-1",
        "VIB",
        "振动过大",
        1,
    )
    body = evidence.body
    assert body["sentence"]["en"] == (
        "Pump one (pump-1): vibration velocity 5.2 mm/s is above the limit 4.5 mm/s (by 0.7), for 5 s. "
        "At the time: speed 1480 r/min."
    )
    assert "一号泵 (pump-1)" in body["sentence"]["zh"]
    assert "5.2 mm/s" in body["sentence"]["zh"]
    assert "above" not in body["sentence"]["zh"]
    assert "5.3 mm/s" in body["counterfactual"]["en"]
    assert body["condition"]["margin"] == pytest.approx(0.7)


def test_every_automatic_order_has_evidence_whose_rule_version_is_kept(site: Site) -> None:
    run(site, trace([2.0] * 20 + [5.2] * 10 + [np.nan] * 30))
    desk = Desk.open(site.core, site=site.site.id)
    with desk.read() as reading:
        orders = reading.orders()
        assert sorted(order.asset or "" for order in orders) == ["plc-1", "pump-1"]
        for order in orders:
            for evidence in reading.evidence(order.number):
                rule = evidence.body["rule"]
                assert rule["hash"] in {version.sha256 for version in reading.rule_versions(rule["id"])}
                assert len(json.dumps(evidence.body)) <= 64 * 1024
    desk.close()


RISING = """
    [rule.rising]
    failure_mode = "VIB"
    scope = { class = "pump" }
    signals = { v = "vib_rms" }
    work_order = { min_active = { 2 = "0s" } }
    [[rule.rising.when]]
    severity = 2
    expr = "rate(v, '30s') > 0.01"
    on_delay = "2s"
"""


def test_a_function_of_a_signal_is_told_as_what_it_is(site: Site, tmp_path: Path) -> None:
    with (tmp_path / "rules.toml").open("a") as rules:
        rules.write(textwrap.dedent(RISING))
    run(load_site(tmp_path), trace([1.0 + 0.02 * i for i in range(60)]))
    ((evidence,),) = outcome(site)[1:]
    sentence = evidence.body["sentence"]
    assert sentence["en"].startswith(
        "Pump one (pump-1): rate of change of vibration velocity over 30 s 0.02 mm/s/s is above the limit 0.01 mm/s/s"
    )
    assert "振动速度有效值在30 秒内的变化率" in sentence["zh"]


def test_while_the_ticket_core_is_away_judging_waits_and_the_order_comes_once(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in: SQLite in a file is never away; what PostgreSQL says then is in the tests of the ticket core."""
    monkeypatch.setattr("gateway.pipeline._RETRY", 0.01)
    tries, whole = [0], Desk.transaction

    @contextmanager
    def away_at_first(desk: Desk) -> Iterator[Tx]:
        tries[0] += 1
        if 3 <= tries[0] <= 12:
            raise StorageError("the ticket core does not answer")
        with whole(desk) as tx:
            yield tx

    monkeypatch.setattr(Desk, "transaction", away_at_first)
    run(site, trace([2.0] * 60 + [5.2] * 30))
    monkeypatch.undo()
    assert tries[0] > 12
    (order,), _ = outcome(site)
    assert (order.asset, order.occurrence_count) == ("pump-1", 1)


def test_running_well_opens_nothing(site: Site) -> None:
    run(site, trace([2.0 + 0.1 * (i % 7) for i in range(600)]))
    assert outcome(site) == ([], [])


def test_a_cut_cable_opens_one_order_on_the_device_and_none_on_the_machine(site: Site) -> None:
    run(site, trace([5.2] * 3 + [np.nan] * 30))
    (order,), (evidence,) = outcome(site)
    assert (order.asset, order.failure_mode) == ("plc-1", "COM")
    assert evidence.body["sentence"]["en"] == "plc-1 has not answered for 10 s."


def test_a_restart_in_the_middle_changes_nothing(site: Site, tmp_path: Path) -> None:
    run(site, trace([2.0] * 20 + [5.2] * 3))
    run(site, trace([5.2] * 1, 23))
    run(site, trace([5.2] * 4 + [2.0] * 30 + [5.2] * 10, 24))
    (order,), evidence = outcome(site)
    assert order.occurrence_count == 2
    assert len(evidence) == 2
    assert evidence[0].body["timers"]["raised"] == (T0 + 25 * S) // 1_000_000


# The 26th second raises the alarm; the judge saves about each 5 s, and then.
MOMENTS = [("spool.before_commit", n) for n in (1, 26)] + [("spool.after_commit", n) for n in (20, 26)]
MOMENTS += [(f"judge.{when}_commit", n) for when in ("before", "after") for n in (1, 6)]


CHILDREN = get_context("forkserver")  # one process imports it all, and each child is a copy of that
CHILDREN.set_forkserver_preload([__name__])


def run_armed(folder: Path, failpoint: str) -> None:
    with failpoints.armed(failpoint):
        run(load_site(folder), trace([2.0] * 20 + [5.2] * 15))


@pytest.mark.parametrize(("point", "count"), MOMENTS)
def test_killed_at_the_worst_moment_the_orders_are_those_of_an_uninterrupted_run(
    site: Site, point: str, count: int
) -> None:
    """The child is killed there; the same input then goes on after the newest sample that was made durable."""
    child = CHILDREN.Process(target=run_armed, args=(site.folder, f"{point}:{count}:kill"))
    child.start()
    child.join(60)
    assert child.exitcode == -9
    run(site, after_the_last_stored(site))
    (order,), (evidence,) = outcome(site)
    assert order.occurrence_count == 1
    assert evidence.body["timers"]["raised"] == (T0 + 25 * S) // 1_000_000


def after_the_last_stored(site: Site) -> list[Batch]:
    async def newest() -> int:
        spool = Spool(site.state / "spool", site.spool, followers=("judge",), clock=lambda: T0)
        spool.start()
        last = spool.last_time(PLC)
        spool.close()
        return last

    last = asyncio.run(newest())
    return [batch for batch in trace([2.0] * 20 + [5.2] * 15) if batch.time > last]
