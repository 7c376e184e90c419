"""What was measured before an alarm stands beside its evidence, where it is added later."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ticketing.migrations.triggers import keep_for_ever

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.create_table(
        "lookback",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("episode", sa.String(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site", "episode", "severity"],
            ["evidence.site", "evidence.episode", "evidence.severity"],
            name=op.f("fk_lookback_evidence"),
        ),
        sa.PrimaryKeyConstraint("site", "episode", "severity", name=op.f("pk_lookback")),
    )
    keep_for_ever("lookback")
