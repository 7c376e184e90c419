"""Alarms' kinds, latching, what stands above them, their journal; the life of rule versions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ticketing.migrations.triggers import keep_for_ever

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    for column in (
        sa.Column("kind", sa.String(), server_default="process", nullable=False),
        sa.Column("latch", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("inhibits", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("above", sa.Text(), server_default="[]", nullable=False),
        sa.Column("reactivations", sa.Integer(), server_default="0", nullable=False),
    ):
        op.add_column("alarm", column)
    op.create_table(
        "alarm_event",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("episode", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site", "asset"], ["asset.site", "asset.code"], name=op.f("fk_alarm_event_asset")
        ),
        sa.PrimaryKeyConstraint(
            "site", "asset", "rule_id", "episode", "at", "kind", name=op.f("pk_alarm_event")
        ),
    )
    op.create_index("alarm_event_by_time", "alarm_event", ["site", "at"], unique=False)
    op.create_table(
        "rule_step",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("stage", sa.String(), nullable=False),
        sa.Column("assets", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("expected", sa.String(), nullable=False),
        sa.Column("backtest", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "stage IN ('shadow', 'canary', 'live', 'retired')", name=op.f("ck_rule_step_stage")
        ),
        sa.ForeignKeyConstraint(
            ["site", "rule_id", "sha256"],
            ["rule_version.site", "rule_version.rule_id", "rule_version.sha256"],
            name=op.f("fk_rule_step_rule_version"),
        ),
        sa.PrimaryKeyConstraint("site", "rule_id", "seq", name=op.f("pk_rule_step")),
    )
    keep_for_ever("alarm_event", "rule_step")
