"""Where nothing arrives time passes all the same: what falls silent is an alarm, our own start is none."""

from __future__ import annotations

import asyncio
import math
import textwrap
from pathlib import Path

import pytest

from devices.batch import Batch
from gateway.config import load_site
from gateway.heartbeat import PULSE, beat, pulse, started
from gateway.site import Site
from tests.gateway.test_pipeline import FILES, T0, S, outcome, run, trace
from ticketing import Desk

SILENT = """
[rule.silent]
failure_mode = "AIR"
scope = { class = "pump" }
signals = { v = "vib_rms" }
[[rule.silent.when]]
severity = 4
expr = "stale(v, '20s')"
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    for name, text in FILES.items():
        (tmp_path / name).write_text(textwrap.dedent(text) + (SILENT if name == "rules.toml" else ""))
    return load_site(tmp_path)


def pulses(begin: int, end: int, since: int) -> list[Batch]:
    return [pulse(T0 + second * S, T0 + since * S) for second in range(begin, end)]


def together(*parts: list[Batch]) -> list[Batch]:
    return sorted((batch for part in parts for batch in part), key=lambda batch: batch.time)


def test_silence_is_an_alarm_though_no_sample_arrives(site: Site) -> None:
    run(site, together(trace([2.0] * 30), pulses(0, 60, 0)))
    (order,), (evidence,) = outcome(site)
    assert (order.asset, order.failure_mode) == ("pump-1", "AIR")
    assert evidence.body["timers"]["raised"] == (T0 + 50 * S) // 1_000_000  # 20 s and a pulse after second 29


def test_a_device_that_does_not_answer_is_one_order_and_none_on_its_machine(site: Site) -> None:
    """The cable is out: after 10 s the device's own alarm, after 20 s the pump's silence, silent by design."""
    run(site, together(trace([2.0] * 10 + [math.nan] * 40), pulses(0, 50, 0)))
    (order,), _ = outcome(site)
    assert order.asset == "plc-1"
    with Desk.open(site.core, site=site.site.id).read() as read:
        silent = read.alarms(asset="pump-1")
        assert [(alarm.kind, alarm.suppression, alarm.active) for alarm in silent] == [
            ("no_data", "by_design", True)
        ]


def test_what_a_restart_interrupts_is_judged_as_if_nothing_had_happened(site: Site) -> None:
    whole = together(trace([2.0] * 30), pulses(0, 60, 0))
    run(site, whole[:70])
    run(site, whole[70:])
    (order,), (evidence,) = outcome(site)
    assert order.occurrence_count == 1
    assert evidence.body["timers"]["raised"] == (T0 + 50 * S) // 1_000_000


def test_our_own_start_is_no_fault_of_the_machine(site: Site) -> None:
    """Away from second 10 to 40, and the pump's samples come again with second 60: nobody is told anything."""
    run(site, together(trace([2.0] * 10), pulses(0, 10, 0)))
    run(site, together(pulses(40, 90, 40), trace([2.0] * 30, 60)))
    assert outcome(site) == ([], [])


def test_what_stays_away_after_our_start_is_an_alarm_after_a_minute(site: Site) -> None:
    run(site, together(trace([2.0] * 10), pulses(0, 10, 0)))
    run(site, pulses(40, 110, 40))
    _, (evidence,) = outcome(site)
    assert evidence.body["timers"]["raised"] == (T0 + 101 * S) // 1_000_000


def test_the_pulse_says_since_when_we_listen() -> None:
    taken: list[Batch] = []

    def emit(batch: Batch, done: object = None) -> bool:
        taken.append(batch)
        return True

    async def for_a_moment() -> None:
        task = asyncio.create_task(beat(emit, lambda: T0 + len(taken) * S))
        async with asyncio.timeout(10):
            while len(taken) < 2:
                await asyncio.sleep(0.05)
        task.cancel()

    asyncio.run(for_a_moment())
    assert [(batch.signals, started(batch), batch.time) for batch in taken] == [
        (PULSE, T0, T0),
        (PULSE, T0, T0 + S),
    ]
