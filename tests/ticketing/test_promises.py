"""What the database promises: one open order, one chain, nothing half done, the same bytes again."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.ticketing.scene import ASSETS, LEAD, T0, TECHNICIAN, raised
from tests.ticketing.trace import play
from ticketing import Desk, database, events
from ticketing.opening import open_row
from ticketing.reading import decoded
from ticketing.tables import work_order

SPAWN = multiprocessing.get_context("spawn")


def race(url: str, racer: int, rounds: int, start: Any) -> None:
    """One gateway: for each fault, an alarm of its own as fast as it can."""
    desk = Desk.open(url, site="demo")
    start.wait(60)
    for n in range(rounds):
        with desk.transaction() as tx:
            tx.alarm_raised(raised(f"e{n}-{racer}", T0 + n * 3_600_000, failure_mode=f"M{n}"))
    desk.close()


def test_two_processes_racing_on_one_fault_open_one_order(url: str, desk: Desk) -> None:
    rounds = 20
    barrier = SPAWN.Barrier(2)
    racers = [SPAWN.Process(target=race, args=(url, n, rounds, barrier)) for n in range(2)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join(120)
        assert racer.exitcode == 0
    with desk.read() as read:
        orders = read.orders(limit=1000)
        assert len(orders) == rounds
        assert {order.occurrence_count for order in orders} == {2}
        assert sorted(order.number for order in orders) == [f"WO-2026-{n + 1:06d}" for n in range(rounds)]
        assert read.verify().broken is None


def test_the_index_itself_refuses_a_second_open_order(desk: Desk) -> None:
    def second() -> None:
        with desk.transaction() as tx:
            order = tx.order(tx.alarm_raised(raised("e1")).number or "")
            columns = {
                "type": "condition",
                "origin": "alarm",
                "asset": "pump-1",
                "title_zh": "",
                "title_en": "",
            }
            open_row(tx, at=T0, actor=LEAD, source="x", fault_key=order.fault_key, priority=1, **columns)

    with pytest.raises(IntegrityError, match=r"one_open_work_order|fault_key"):
        second()


def die_before_commit(url: str) -> None:
    desk = Desk.open(url, site="demo")
    with desk.transaction() as tx:
        tx.alarm_raised(raised("e2", T0 + 1, failure_mode="OHE"))
        tx.save_state("judge", 2, b"two")
        os.kill(os.getpid(), signal.SIGKILL)


def test_kill_inside_the_transaction_leaves_nothing_half_done(url: str, desk: Desk) -> None:
    with desk.transaction() as tx:
        tx.alarm_raised(raised("e1"))
        tx.save_state("judge", 1, b"one")
    with desk.read() as read:
        before = read.export()
    victim = SPAWN.Process(target=die_before_commit, args=(url,))
    victim.start()
    victim.join(60)
    assert victim.exitcode == -signal.SIGKILL
    with desk.read() as read:
        state = read.load_state("judge")
        assert state is not None
        assert (state.cursor, state.blob) == (1, b"one")
        assert read.export() == before
        assert [alarm.episode for alarm in read.alarms()] == ["e1"]


def a_long_story(desk: Desk, *, ticks: bool = False) -> None:
    """Alarms over two hours; with ``ticks`` the timers are looked at every minute, else only when needed."""
    with desk.transaction() as tx:
        for n in range(120):
            at = T0 + n * 60_000
            asset = ("pump-1", "pump-2", "fan-1")[n % 3]
            if n % 7 == 0:
                tx.alarm_raised(raised(f"e{n}", at, asset=asset, severity=1 + n % 4, failure_mode="VIB"))
            if n % 11 == 5 and n > 7:
                tx.alarm_cleared(f"e{n // 7 * 7}", at)
            if ticks:
                tx.tick(at)
        tx.tick(T0 + 86_400_000)


@pytest.fixture
def story(desk: Desk) -> str:
    a_long_story(desk)
    with desk.read() as read:
        return read.export()


def test_replaying_the_same_input_gives_the_same_bytes(desk: Desk, story: str) -> None:
    assert len(json.loads(story)["orders"]) >= 3
    a_long_story(desk)  # again into the same desk: everything is known
    with desk.read() as read:
        assert read.export() == story


def test_a_replay_into_an_empty_database_gives_the_same_bytes(url: str, tmp_path: Any, story: str) -> None:
    other = Desk.open(
        tmp_path / "other.db", site="demo"
    )  # SQLite also where the story was told on PostgreSQL
    with other.transaction() as tx:
        tx.sync_assets(ASSETS)
    a_long_story(other)
    with other.read() as read:
        assert read.export() == story
    other.close()


def test_how_often_timers_are_looked_at_makes_no_difference(tmp_path: Any, story: str) -> None:
    other = Desk.open(tmp_path / "other.db", site="demo")
    with other.transaction() as tx:
        tx.sync_assets(ASSETS)
    a_long_story(other, ticks=True)
    with other.read() as read:
        assert read.export() == story
    other.close()


def test_an_order_is_the_sum_of_its_history(desk: Desk) -> None:
    play(
        desk,
        """
        0s  raise a pump-1 VIB 2 min_active=0s  | opened 1
        1m  severity a 4                        | attached 1
        2m  repair 1                            | resolved
        3m  raise b pump-1 VIB 4                | recurred 1
        4m  repair 1 outcome=false_alarm        | resolved
        5m  move 1 sign_off lead stars=1 override_reason=x | closed
        6m  move 2 cancel lead cancel_reason=not_needed | cancelled
        """,
    )
    columns = {column.name for column in work_order.c} - {"site", "number"}
    with desk.read() as read:
        for order in read.orders():
            total: dict[str, Any] = dict.fromkeys(columns)
            for event in read.timeline(order.number):
                total.update(event.payload.get("set", {}))
            assert {**total, **decoded(total)} == {name: getattr(order, name) for name in columns}


def tamper(url: str, *statements: str) -> None:
    """What somebody with the database in hands could do, triggers dropped."""
    engine = database.connect(url)
    with engine.execution_options(writing=True).begin() as connection:
        for trigger in ("wo_event_update", "wo_event_delete"):
            on = " ON wo_event" if engine.dialect.name == "postgresql" else ""
            connection.execute(text(f"DROP TRIGGER {trigger}{on}"))
        for statement in statements:
            connection.execute(text(statement.replace(":", r"\:")))
    engine.dispose()


@pytest.mark.parametrize(
    ("statement", "broken"),
    [
        (
            "UPDATE wo_event SET payload = replace(payload, '\"priority\":1', '\"priority\":2') WHERE seq = 1",
            1,
        ),
        ("UPDATE wo_event SET at = at + 1 WHERE seq = 2", 2),
        ("UPDATE wo_event SET actor = 'someone' WHERE seq = 3", 3),
        ("UPDATE wo_event SET hash = substr(hash, 2) || 'x' WHERE seq = 3", 3),
        ("DELETE FROM wo_event WHERE seq = 2", 2),
        ("DELETE FROM wo_event WHERE seq = 4", 4),
        ("UPDATE site SET head_seq = 3", 5),
    ],
)
def test_one_changed_byte_in_the_history_is_found(url: str, desk: Desk, statement: str, broken: int) -> None:
    with desk.transaction() as tx:
        tx.alarm_raised(raised("e1"))
        tx.move("WO-2026-000001", "comment", LEAD, 1, T0 + 1, comment="one")
        tx.move("WO-2026-000001", "comment", LEAD, 2, T0 + 2, comment="two")
        assert tx.verify().broken is None
    tamper(url, statement)
    with desk.read() as read:
        assert read.verify().broken == broken


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE wo_event SET at = 0",
        "DELETE FROM wo_event",
        "UPDATE evidence SET body = '{}'",
        "DELETE FROM evidence",
        "UPDATE rule_version SET body = ''",
        "DELETE FROM rule_version",
        "UPDATE work_order SET stars = 1 WHERE state = 'closed'",
        "UPDATE work_order SET state = 'new' WHERE state = 'closed'",
        "DELETE FROM work_order WHERE state = 'closed'",
        "DELETE FROM work_order",
    ],
)
def test_the_database_itself_keeps_history_evidence_and_closed_orders(
    url: str, desk: Desk, statement: str
) -> None:
    play(
        desk, "0s raise a pump-1 VIB 4 | opened 1\n 1m close 1 | closed\n 1h raise b pump-1 OHE 4 | opened 2"
    )
    engine = database.connect(url)
    writing = engine.execution_options(writing=True)
    with writing.connect() as connection, pytest.raises(DBAPIError, match=r"append-only|never|deleted"):
        connection.execute(text(statement.replace(":", r"\:")))
    engine.dispose()


def test_the_hash_is_what_it_says(desk: Desk) -> None:
    with desk.transaction() as tx:
        order = tx.open_order(TECHNICIAN, at=T0, asset="pump-1", title="x")
        (event,) = tx.timeline(order.number)
        line = {
            "site": "demo",
            "seq": 1,
            "number": order.number,
            "at": T0,
            "actor": "li",
            "actor_kind": "person",
            "type": "open",
            "payload": events.canonical(event.payload),
        }
        assert event.hash == events.sha256("0" * 64 + events.canonical(line))
        assert tx.verify() == events.Chain(1, event.hash)
