"""Promises that the database keeps by itself, on SQLite and PostgreSQL."""

from __future__ import annotations

from alembic import op


def keep_for_ever(*tables: str) -> None:
    """These tables are only added to: the database itself refuses anything else."""
    for table in tables:
        for what in ("UPDATE", "DELETE"):
            refuse(f"{table}_{what.lower()}", what, table, f"{table} is append-only")


def refuse(name: str, what: str, table: str, message: str, when: str = "") -> None:
    condition = f"WHEN ({when})" if when else ""
    if op.get_bind().dialect.name == "sqlite":
        op.execute(
            f"CREATE TRIGGER {name} BEFORE {what} ON {table} FOR EACH ROW {condition} "
            f"BEGIN SELECT RAISE(ABORT, '{message}'); END"
        )
        return
    op.execute(
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{message}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {name} BEFORE {what} ON {table} FOR EACH ROW {condition} EXECUTE FUNCTION {name}()"
    )
