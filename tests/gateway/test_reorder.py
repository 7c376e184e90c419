"""Samples that come out of order: judged by their own time where the site waits for them, and by nothing else."""

from __future__ import annotations

import random
import textwrap
from pathlib import Path

import numpy as np
import pytest

from devices.batch import GOOD, Batch
from gateway.config import load_site
from gateway.reorder import Reorder
from gateway.site import Site
from gateway.spool import Entry
from tests.gateway.test_heartbeat import SILENT, pulses, together
from tests.gateway.test_pipeline import FILES, PLC, T0, S, outcome, run, trace
from ticketing import Desk

LATENESS = 10  # s
STORY = [2.0] * 20 + [5.2] * 3 + [2.0] * 2 + [5.2] * 12 + [2.0] * 30 + [5.2] * 15


def site_in(folder: Path, lateness: str = f"{LATENESS}s") -> Site:
    folder.mkdir()
    for name, text in FILES.items():
        more = {"site.toml": f'[judge]\nlateness = "{lateness}"\n', "rules.toml": SILENT}.get(name, "")
        (folder / name).write_text(textwrap.dedent(text) + more)
    return load_site(folder)


def arriving(batches: list[Batch], shuffle: int | None = None) -> list[Batch]:
    """As they come in: each under way for less than the lateness, so that some overtake others."""
    chance = random.Random(shuffle)
    delay = [0 if shuffle is None else chance.randrange((LATENESS - 1) * S) for _ in batches]
    late = [batch._replace(arrival=batch.time + by) for batch, by in zip(batches, delay, strict=True)]
    rest = [each._replace(arrival=each.time) for each in pulses(0, len(batches) + 2 * LATENESS, 0)]
    return sorted(late + rest, key=lambda batch: batch.arrival)


def exported(site: Site) -> str:
    desk = Desk.open(site.core, site=site.site.id)
    with desk.read() as read:
        text = read.export()
    desk.close()
    return text


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shuffled_within_lateness_the_orders_are_the_same_to_the_byte(tmp_path: Path, seed: int) -> None:
    plain, shuffled = site_in(tmp_path / "plain"), site_in(tmp_path / "shuffled")
    run(plain, arriving(trace(STORY)))
    mixed = arriving(trace(STORY), seed)
    assert [b.time for b in mixed] != sorted(b.time for b in mixed)
    run(shuffled, mixed)
    (order,), evidence = outcome(plain)
    assert order.occurrence_count == 2
    assert len(evidence) == 2
    assert exported(shuffled) == exported(plain)


def test_stopped_in_the_middle_what_was_held_is_judged_later(tmp_path: Path) -> None:
    plain, cut = site_in(tmp_path / "plain"), site_in(tmp_path / "cut")
    mixed = arriving(trace(STORY), 4)
    run(plain, mixed)
    for part in np.array_split(np.arange(len(mixed)), 4):
        run(cut, [mixed[i] for i in part.tolist()])
    assert exported(cut) == exported(plain)


def test_without_lateness_an_older_sample_moves_nothing(tmp_path: Path) -> None:
    site = site_in(tmp_path / "site", "0s")
    story = trace([2.0] * 10 + [5.2] * 3 + [2.0] * 20)
    old = [b._replace(time=b.time - 8 * S, values=np.array([9.0, 1480.0, 1.0])) for b in story[20:30]]
    run(site, together(story, old))
    assert outcome(site) == ([], [])


def test_a_sample_from_the_future_moves_nothing_and_blocks_nobody(tmp_path: Path) -> None:
    site = site_in(tmp_path / "site", "0s")
    strange = Batch(PLC, T0 + 3600 * S, T0 + 5 * S, np.array([9.0, 1480.0, 1.0]), np.zeros(3, np.uint8))
    story = trace([2.0] * 10 + [5.2] * 10)
    run(site, [*story[:5], strange, *story[5:]])
    (order,), _ = outcome(site)
    assert order.asset == "pump-1"


def test_what_is_held_is_known_by_the_entry_it_came_with() -> None:
    def entry(id_: int, now: int, *times: int) -> Entry:
        batches = [Batch(PLC, t * S, now * S, np.zeros(3), np.full(3, GOOD, np.uint8)) for t in times]
        return Entry(id_, tuple(batches), 3 * len(batches), 0, now * S)

    order = Reorder(10 * S)
    assert [b.time // S for b in order.take(entry(1, 100, 100, 99))] == []
    assert (order.oldest(1), order.after // S) == (0, 90)
    assert [b.time // S for b in order.take(entry(2, 109, 98, 109))] == [98, 99]
    assert order.oldest(2) == 0
    assert [b.time // S for b in order.take(entry(3, 110))] == [100]
    assert order.oldest(3) == 1
    again = Reorder(10 * S, order.after)
    again.hold_again(entry(2, 109, 98, 109))
    assert [b.time // S for b in again.take(entry(4, 119))] == [109]
    assert again.oldest(4) == 4
