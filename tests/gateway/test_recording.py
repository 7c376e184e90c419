"""A stretch of live traffic is kept and judged again: to the same alarms and orders as it was live."""

from __future__ import annotations

import gzip
import json
import math
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway import recording
from gateway.commands import app
from gateway.config import load_site
from gateway.recording import RecordingError
from gateway.replaying import replay
from gateway.site import Site
from gateway.spool import Entry
from gateway.spool_log import SpoolLog
from tests.gateway.running import Running
from tests.gateway.test_heartbeat import pulses, together
from tests.gateway.test_pipeline import FILES, T0, outcome, run, trace
from ticketing import Desk

HEAD = '{"watchkeeper": 1, "site": "works"}'
RULE = """
[rule.high]
failure_mode = "VIB"
scope = { class = "pump" }
signal = "vib_rms"
above = 0.1
severity = 4
"""
STORY = [2.0] * 20 + [5.2] * 8 + [2.0] * 30 + [math.nan] * 15 + [5.2] * 10


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """The pump's site, whose log keeps what it sent."""
    for name, text in FILES.items():
        kept = text.replace('interval = "5ms"', 'interval = "5ms"\n        retain_sent = "1d"')
        (tmp_path / name).write_text(textwrap.dedent(kept))
    return load_site(tmp_path)


def spooled(site: Site) -> list[Entry]:
    """All that the site's log holds."""
    log = SpoolLog(site.state / "spool", (), max_bytes=1 << 40, file_bytes=1 << 30, ballast_bytes=0)
    log.open()
    try:
        return log.read(0, 10_000)
    finally:
        log.abandon()


def said_live(site: Site) -> list[tuple[str, int, int | None]]:
    desk = Desk.open(site.core, site=site.site.id)
    with desk.read() as read:
        found = read.alarms(limit=None)
    desk.close()
    return sorted((a.episode, a.raised_at, a.cleared_at) for a in found)


def test_judged_again_a_recording_says_what_was_said_live(site: Site, tmp_path: Path) -> None:
    run(site, together(trace(STORY), pulses(0, len(STORY), 0)))
    live, file = said_live(site), tmp_path / "r.jsonl.gz"
    assert len(live) == 3
    assert recording.write(file, "works", recording.lines(spooled(site), {})) == len(STORY) * 4
    raised: dict[str, int] = {}
    cleared: dict[str, int] = {}
    opened: list[str | None] = []
    for moment in replay(site, recording.read(file, "works")):
        raised |= {t.episode: t.time // 1_000_000 for t in moment.transitions if t.kind == "raised"}
        cleared |= {t.episode: t.time // 1_000_000 for t in moment.transitions if t.kind == "cleared"}
        opened += [decision.number for decision in moment.decisions if decision.kind == "opened"]
    assert sorted((e, at, cleared.get(e)) for e, at in raised.items()) == live
    assert sorted(opened) == sorted(order.number for order in outcome(site)[0])


def test_values_come_back_bit_for_bit(site: Site, tmp_path: Path) -> None:
    batches = trace([0.1 + 0.2, math.nan, 1e-300, -0.0])
    entry = Entry(7, tuple(batches), 12, 0, T0)
    file = tmp_path / "r.jsonl.gz"
    recording.write(file, "works", recording.lines([entry, entry], {}))
    for number, back in enumerate(recording.read(file, "works"), 1):
        assert (back.id, back.samples, back.seq, back.time) == (number, 12, 12 * (number - 1), T0)
        for one, other in zip(batches, back.batches, strict=True):
            assert one.signals is other.signals
            assert (one.time, one.arrival) == (other.time, other.arrival)
            np.testing.assert_array_equal(one.values, other.values)
            np.testing.assert_array_equal(one.quality, other.quality)


def test_a_recorder_that_was_killed_leaves_what_it_wrote(site: Site, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.gz", tmp_path / "cut.gz"
    entries = [
        Entry(n, (batch,), 3, 0, batch.time)
        for n, batch in enumerate(trace(np.random.default_rng(1).normal(size=4000)))
    ]
    recording.write(whole, "works", recording.lines(entries, {}))
    cut.write_bytes(whole.read_bytes()[:-20_000])
    assert 100 < sum(1 for _ in recording.read(cut, "works")) < 4000


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (["nonsense"], "is no recording"),
        (['{"watchkeeper": 9, "site": "works"}'], "is no recording that this version reads"),
        (['{"watchkeeper": 1, "site": "other"}'], "was recorded at the site other, this one is works"),
        (
            ['{"watchkeeper": 1, "site": "works"}', '{"time": 1, "batches": [[0, 1, 1, [1.0], null]]}'],
            "is no recording",
        ),
        (['{"watchkeeper": 1, "site": "works"}', "[1, 2]"], "is no recording"),
    ],
)
def test_what_is_no_recording_is_said_in_one_line(tmp_path: Path, lines: list[str], says: str) -> None:
    file = tmp_path / "r.gz"
    with gzip.open(file, "wt") as out:
        out.write("\n".join(lines) + "\n")
    with pytest.raises(RecordingError, match=says):
        list(recording.read(file, "works"))


def test_at_double_speed_it_takes_half_the_time(site: Site) -> None:
    entries = [Entry(n, (batch,), 3, 0, batch.time) for n, batch in enumerate(trace([1.0] * 11))]
    slept: list[float] = []
    list(replay(site, entries, speed=2.0, sleep=slept.append))
    assert slept == [0.5] * 10


def watchkeeper(*words: Any) -> Result:
    return CliRunner().invoke(app, list(map(str, words)))


def test_record_from_a_running_gateway_and_replay(tmp_path: Path) -> None:
    gateway = Running(tmp_path / "site")
    try:
        gateway.write("rules.toml", RULE)
        gateway.start()
        file = tmp_path / "live.jsonl.gz"
        said = gateway.command("record", str(gateway.folder), str(file), "--for", "2s")
        assert said.returncode == 0, said.stderr
        assert "samples in" in said.stdout
    finally:
        gateway.close()
    told = watchkeeper("replay", gateway.folder, file, "--json")
    assert told.exit_code == 0, told.output
    first, *rest = [json.loads(line) for line in told.stdout.splitlines()]
    assert (first["what"], first["rule"], first["asset"]) == ("raised", "high", "pump-1")
    assert [row["what"] for row in rest if row["what"] == "opened"] == ["opened"]
    away = watchkeeper("record", gateway.folder, tmp_path / "x.gz", "--for", "1s")
    assert (away.exit_code, "is the gateway running" in away.output) == (1, True)
