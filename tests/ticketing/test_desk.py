"""Opening, closing and reading the desk, on both databases."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from tests.ticketing.scene import ASSETS, LEAD, T0, raised
from ticketing import Asset, Desk, FieldError, NotFoundError, SchemaError, StorageError, database
from ticketing.tables import metadata


def test_the_migrations_make_exactly_the_tables_that_the_code_knows(url: str) -> None:
    engine = database.connect(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"render_as_batch": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_any_path_will_do(tmp_path: Path) -> None:
    path = tmp_path / "50% of #1? 工单.db"
    Desk.open(path, site="demo").close()
    assert path.exists()


def test_the_newest_migration_is_the_one_the_code_expects() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    assert ScriptDirectory.from_config(config).get_current_head() == database.REVISION


def test_a_database_of_a_newer_version_is_refused_in_one_line(url: str) -> None:
    engine = database.connect(url)
    with engine.execution_options(writing=True).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    with pytest.raises(SchemaError, match=r"schema 9999.*install the newer Watchkeeper") as refusal:
        Desk.open(url, site="demo")
    assert "\n" not in str(refusal.value)


def test_sqlite_is_set_to_lose_nothing(tmp_path: Path) -> None:
    engine = database.connect(tmp_path / "core.db")
    with engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    engine.dispose()
    assert found == {
        "journal_mode": database.JOURNAL.lower(),
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 10000,
    }


def test_what_was_committed_is_there_after_opening_again(url: str, desk: Desk) -> None:
    with desk.transaction() as tx:
        decision = tx.alarm_raised(raised("e1"))
        tx.save_state("judge", 41, b"old")
        tx.save_state("judge", 42, b"\x00state")
    desk.close()
    again = Desk.open(url, site="demo")
    with again.read() as read:
        assert [order.number for order in read.orders()] == [decision.number] == ["WO-2026-000001"]
        state = read.load_state("judge")
        assert state is not None
        assert (state.cursor, state.blob) == (42, b"\x00state")
        assert read.load_state("nobody") is None
    again.close()


def test_an_error_inside_a_transaction_leaves_nothing_half_done(desk: Desk) -> None:
    def fail() -> None:
        with desk.transaction() as tx:
            tx.alarm_raised(raised("e1"))
            tx.save_state("judge", 1, b"x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with desk.read() as read:
        assert read.orders() == []
        assert read.alarms() == []
        assert read.load_state("judge") is None
        assert read.verify().length == 0


def test_a_reader_cannot_write(desk: Desk) -> None:
    with desk.read() as read, pytest.raises(DBAPIError, match=r"read-?only"):
        read.connection.execute(text("UPDATE site SET flooding = flooding"))
    with desk.transaction() as tx:
        tx.alarm_raised(raised("e1"))


def test_a_reader_sees_one_moment(desk: Desk) -> None:
    with desk.read() as read:
        assert read.orders() == []
        with desk.transaction() as tx:
            tx.alarm_raised(raised("e1"))
        assert read.orders() == []
    with desk.read() as read:
        assert len(read.orders()) == 1


def test_two_sites_share_a_database_and_see_only_their_own(url: str, desk: Desk) -> None:
    other = Desk.open(url, site="other")
    with other.transaction() as tx:
        tx.sync_assets(ASSETS)
        tx.alarm_raised(raised("e1"))
    with desk.transaction() as tx:
        tx.alarm_raised(raised("e1"))
    for each in (desk, other):
        with each.read() as read:
            assert [order.number for order in read.orders()] == ["WO-2026-000001"]
            assert read.verify().broken is None
    other.close()


def test_numbers_count_from_one_in_each_year(desk: Desk) -> None:
    year = 366 * 86_400_000
    numbers = []
    with desk.transaction() as tx:
        for n, at in enumerate((T0, T0 + 1, T0 + year)):
            order = tx.open_order(LEAD, at=at, asset="pump-1", title=f"report {n}")
            numbers.append(order.number)
    assert numbers == ["WO-2026-000001", "WO-2026-000002", "WO-2027-000001"]


def test_an_asset_that_left_the_site_file_is_retired_and_may_come_back(desk: Desk) -> None:
    with desk.transaction() as tx:
        tx.alarm_raised(raised("e1", asset="fan-1"))
        tx.sync_assets(a for a in ASSETS if a.code != "fan-1")
        assert [a.code for a in tx.assets()] == ["line-1", "pump-1", "pump-2"]
        assert tx.asset("fan-1").retired
        assert len(tx.asset_history("fan-1")) == 1
        tx.sync_assets([*ASSETS[:3], Asset("fan-1", "fan", "新风机", "New fan")])
        assert tx.asset("fan-1") == Asset("fan-1", "fan", "新风机", "New fan")


def test_what_is_not_there_is_said_by_name(desk: Desk) -> None:
    with desk.read() as read:
        with pytest.raises(NotFoundError, match="WO-2026-000009"):
            read.order("WO-2026-000009")
        with pytest.raises(NotFoundError, match="no-such-alarm"):
            read.alarm("no-such-alarm")
    with desk.transaction() as tx, pytest.raises(NotFoundError, match="pump-9"):
        tx.alarm_raised(raised("e1", asset="pump-9"))


def test_evidence_has_a_limit_and_no_nan(desk: Desk) -> None:
    with pytest.raises(FieldError, match="64 KiB"), desk.transaction() as tx:
        tx.alarm_raised(raised("e1", evidence={"series": "x" * 66_000}))
    with pytest.raises(ValueError, match="JSON"), desk.transaction() as tx:
        tx.alarm_raised(raised("e1", evidence={"value": float("nan")}))


def test_orders_are_found_by_state_asset_priority_person_and_words(desk: Desk) -> None:
    with desk.transaction() as tx:
        first = tx.open_order(LEAD, at=T0, asset="pump-1", title="密封漏油", priority=3)
        second = tx.open_order(LEAD, at=T0 + 1, asset="fan-1", title="100% noisy", priority=1)
        third = tx.open_order(LEAD, at=T0 + 2, asset="fan-1", title="belt", priority=3)
        tx.move(third.number, "cancel", LEAD, 1, T0 + 3, cancel_reason="not_needed")
    with desk.read() as read:

        def found(**query: object) -> list[str]:
            return [order.number for order in read.orders(**query)]  # type: ignore[arg-type]

        one, two, three = first.number, second.number, third.number
        assert found() == [two, three, one]
        assert found(state="open") == [two, one]
        assert found(state="cancelled") == found(state=["closed", "cancelled"]) == [three]
        assert found(asset="fan-1", priority=3) == [three]
        assert found(text="漏油") == [one]
        assert found(text="0% N") == [two]
        assert found(text="%") == [two]
        assert found(limit=1, offset=1) == [three]
        assert read.count_orders(state="open") == 2
        assert {state: n for state, n in read.count_by_state().items() if n} == {"new": 2, "cancelled": 1}


def test_an_alarm_is_acknowledged_once(desk: Desk) -> None:
    with desk.transaction() as tx:
        tx.alarm_raised(raised("e1"))
        tx.ack("e1", LEAD, T0 + 5, "seen")
        second = tx.ack("e1", LEAD, T0 + 9, "again")
    assert (second.acked_by, second.acked_at, second.ack_note) == ("wang", T0 + 5, "seen")
    with desk.read() as read:
        assert [alarm.episode for alarm in read.alarms(active=True)] == ["e1"]
        assert read.alarms(active=False) == []


@pytest.mark.needs("postgresql")
def test_a_database_that_went_away_is_said_in_one_line_and_comes_back(
    postgresql: str, tmp_path: Path
) -> None:
    name = f"away_{tmp_path.name.rpartition('_')[2]}"
    with psycopg.connect(postgresql % "postgres", autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name} TEMPLATE template_desk")
        desk = Desk.open(postgresql % name, site="demo")
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        for attempt in (desk.transaction, desk.read):
            with pytest.raises(StorageError, match="does not answer"), attempt():
                pass
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        with desk.transaction() as tx:
            tx.sync_assets(ASSETS)
        with desk.read() as read:
            assert len(read.assets()) == len(ASSETS)
        desk.close()
