"""What was measured before an alarm comes after its order, whatever the store does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from gateway.lookback import NAME, Lookback, Question
from gateway.store import Series, StoreError
from tests.ticketing.scene import ASSETS, T0, raised
from ticketing import Desk, Evidence

ASKED = Question("e1", 4, "pump-1/vib_rms", T0 * 1_000_000)


class Store:
    """Answers what it is told to, once it may."""

    def __init__(self, *answers: Exception | float) -> None:
        self.may = threading.Event()
        self._answers = list(answers)

    def series(self, signal: str, start: int, end: int, points: int | None = None) -> Series:
        assert points
        self.may.wait(20)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        time = np.arange(start, end, 60 * 1_000_000_000)[-3:]
        return Series.of_samples(signal, time, np.full(3, answer), np.zeros(3, np.uint8))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk.open(tmp_path / "core.db", site="demo")
    with desk.transaction() as tx:
        tx.sync_assets(ASSETS)
    yield desk
    desk.close()


@contextmanager
def looking(store: Store) -> Iterator[Lookback]:
    lookback = Lookback(store)  # type: ignore[arg-type]
    yield lookback
    store.may.set()
    lookback.close()


def alarm(desk: Desk, lookback: Lookback) -> None:
    with desk.transaction() as tx:
        tx.alarm_raised(raised("e1", evidence={"series": {"signal": ASKED.signal}}))
        kept = lookback.keep(tx, [ASKED])
    lookback.kept(kept)


def later(desk: Desk, lookback: Lookback) -> Evidence:
    """The evidence after the next transaction."""
    with desk.transaction() as tx:
        kept = lookback.keep(tx, [])
    lookback.kept(kept)
    with desk.read() as read:
        ((found,),) = (read.evidence(order.number) for order in read.orders())
    return found


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.lookback.SETTLE", 0.0)
    monkeypatch.setattr("gateway.lookback.PAUSE", 0.01)


def test_the_order_stands_before_the_store_has_answered(desk: Desk) -> None:
    store = Store(2.5)
    with looking(store) as lookback:
        alarm(desk, lookback)
        before = later(desk, lookback)
        assert before.body == {"series": {"signal": ASKED.signal}}
        store.may.set()
        until(lambda: lookback.answered)
        after = later(desk, lookback)
    assert after.body["series"]["mean"] == [2.5] * 3
    assert after.body["series"]["signal"] == ASKED.signal
    assert after.body["statistics"]["24h"] == {"min": 2.5, "mean": 2.5, "max": 2.5}
    assert after.sha256 == before.sha256, "what was decided upon stays as it was"
    assert not lookback.answered


def test_a_store_that_is_away_is_asked_again(desk: Desk) -> None:
    store = Store(StoreError("away"), StoreError("away"), 2.5)
    store.may.set()
    with looking(store) as lookback:
        alarm(desk, lookback)
        until(lambda: lookback.answered)
        assert later(desk, lookback).body["series"]["mean"] == [2.5] * 3


def test_what_was_not_answered_is_asked_after_a_restart(desk: Desk) -> None:
    with looking(Store(2.5)) as killed:
        alarm(desk, killed)
        store = Store(3.5)
        store.may.set()
        with looking(store) as lookback:
            with desk.read() as read:
                lookback.resume(read.load_state(NAME))
            until(lambda: lookback.answered)
            assert later(desk, lookback).body["series"]["mean"] == [3.5] * 3
            with desk.read() as read:
                lookback.resume(read.load_state(NAME))
        assert not lookback.answered, "it is not asked again"


def test_an_alarm_beyond_the_most_stays_without_its_series(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.lookback.MOST", 0)
    with looking(Store(2.5)) as lookback:
        alarm(desk, lookback)
        assert later(desk, lookback).body == {"series": {"signal": ASKED.signal}}
        assert not lookback.answered


def test_an_answer_for_an_alarm_that_the_core_does_not_know_is_dropped(desk: Desk) -> None:
    with desk.transaction() as tx:
        tx.look_back("e9", 4, {"series": {}, "statistics": {}})
