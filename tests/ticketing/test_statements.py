"""Statements that go to the driver as they are mean what SQLAlchemy's do, on both databases."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import bindparam, select
from sqlalchemy.exc import IntegrityError

from tests.ticketing.scene import T0, raised
from ticketing import Desk, EngineState, auto_open, merging, queries
from ticketing.statements import Once, at_most, one_of
from ticketing.tables import asset, same, site


def test_values_come_back_as_their_columns_mean(desk: Desk) -> None:
    with desk.transaction() as tx:
        tx.machine_runs("fan-1", T0, running=False)
        fan, pump = tx.asset("fan-1"), tx.asset("pump-1")
    assert (fan.running, fan.retired, pump.running) == (False, False, None)
    assert isinstance(fan.running, bool), "SQLite knows no booleans"


def test_a_value_that_the_statement_holds_itself_needs_not_be_given(desk: Desk) -> None:
    pumps = Once(
        select(asset.c.code)
        .where(same(asset), asset.c.asset_class == "pump", asset.c.code != bindparam("but"))
        .limit(at_most(5))
    )
    with desk.read() as read:
        assert [row.code for row in read.rows(pumps, {**read.of(), "but": "pump-1"})] == ["pump-2"]
        assert read.value(pumps, {**read.of(), "but": "pump-2"}) == "pump-1"


def test_what_the_driver_refuses_is_sqlalchemys_error_and_nothing_is_done(desk: Desk) -> None:
    def twice() -> None:
        with desk.transaction() as tx:
            tx.alarm_raised(raised("e1"))
            tx.add(site, head_seq=0, head_hash="", flooding=False)

    with pytest.raises(IntegrityError):
        twice()
    with desk.read() as read:
        assert read.count_orders() == 0


def test_a_row_in_the_place_of_another(desk: Desk) -> None:
    with desk.transaction() as tx:
        tx.save_state("judge", 1, b"one")
        tx.save_state("judge", 2, b"two")
    with desk.read() as read:
        assert read.load_state("judge") == EngineState(2, b"two")


def test_lists_of_values_share_few_statements() -> None:
    size, given = one_of("word", ["a", "b"])
    assert (size, given["word_1"], given["word_15"]) == (16, "b", "b")
    assert one_of("word", map(str, range(17)))[0] == 32
    assert set(one_of("word", [])[1].values()) == {None}


WAY = [
    *(queries.OF_ALARM, queries.OPEN_ORDER, queries.ACTIVE, queries.EARLIER),
    *(merging.TAKEN_IN, auto_open.RELATED),
]


def test_the_way_from_alarm_to_order_reads_no_whole_table(sqlite_template: Path) -> None:
    desk = Desk.open(sqlite_template, site="demo")
    with desk.read() as read:
        for once in WAY:
            sql = once.ready(read.connection.dialect, ()).sql
            unknown = (None,) * sql.count("?")
            for row in read.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", unknown).all():
                assert not row[3].startswith("SCAN"), row[3]
                assert "(site=?)" not in row[3] or "alarm_active" in row[3], (
                    f"nearly all of a table: {row[3]}"
                )
    desk.close()
