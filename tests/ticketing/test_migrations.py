"""A database of any age comes up to date, all or nothing, and keeps its promises on the way."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from tests.ticketing.scene import ASSETS, BOTH, T0, raised
from ticketing import Desk, database

FIRST = "0001"
ASSET = {"site": "demo", "code": "pump-1", "asset_class": "pump", "name_zh": "", "name_en": "", "model": ""}
ORDER = {
    "site": "demo",
    "number": "WO-2025-000001",
    "version": 5,
    "state": "closed",
    "type": "condition",
    "origin": "alarm",
    "source": "alarm:old:1",
    "asset": "pump-1",
    "failure_mode": "VIB",
    "fault_key": "key",
    "title_zh": "旧",
    "title_en": "old",
    "description": "",
    "priority": 2,
    "severity_max": 3,
    "opened_at": 1,
    "first_seen_at": 1,
    "due_ack_at": 2,
    "due_resolve_at": 3,
    "closed_at": 4,
    "level": 0,
    "reopen_count": 0,
    "occurrence_count": 1,
    "chronic": False,
    "self_clear": False,
    "verify_ms": 0,
}
ROWS = {
    "site": {"site": "demo", "head_seq": 0, "head_hash": "0" * 64, "flooding": False},
    "asset": {**ASSET, "criticality": "B", "serial": "", "retired": False},
    "work_order": ORDER,
}


@pytest.fixture(params=BOTH)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table."""
    if request.param == "sqlite":
        return str(tmp_path / "empty.db")
    prefix = request.getfixturevalue("postgresql")
    name = f"empty_{request.node.name.partition('[')[0][-40:]}"
    with psycopg.connect(prefix % "postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return prefix % name


def upgrade(url: str, revision: str) -> Engine:
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    engine = database.connect(url)
    with engine.execution_options(writing=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    return engine


def revision(url: str) -> str | None:
    engine = database.connect(url)
    with engine.connect() as connection:
        found = database._revision(connection)
    engine.dispose()
    return found


def test_an_order_of_the_first_schema_lives_on(empty: str) -> None:
    engine = upgrade(empty, FIRST)
    with engine.execution_options(writing=True).begin() as connection:
        for table, row in ROWS.items():
            values = ", ".join(f":{name}" for name in row)
            connection.execute(text(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})"), row)
    engine.dispose()

    desk = Desk.open(empty, site="demo")
    with desk.read() as read:
        order = read.order("WO-2025-000001")
        assert (order.title_zh, order.policy, order.est_cost_fen) == ("旧", None, 0)
        assert read.policy_of(order) == desk.policy
    with pytest.raises(DBAPIError, match="a closed order never changes"), desk.transaction() as tx:
        tx.connection.execute(text("UPDATE work_order SET stars = 5"))
    with desk.transaction() as tx:
        tx.sync_assets(ASSETS)
        assert tx.alarm_raised(raised("new", T0)).kind == "opened"
    desk.close()


def test_an_upgrade_that_breaks_off_leaves_the_old_schema(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade(empty, FIRST).dispose()

    def break_off(*_tables: str) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ticketing.migrations.triggers.keep_for_ever", break_off)  # a later step calls it
        with pytest.raises(KeyboardInterrupt):
            Desk.open(empty, site="demo")
    assert revision(empty) == FIRST
    Desk.open(empty, site="demo").close()
    assert revision(empty) == database.REVISION
