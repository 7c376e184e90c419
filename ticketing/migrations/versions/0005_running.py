"""When machines ran."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "run_log",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("running", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site", "asset"], ["asset.site", "asset.code"], name=op.f("fk_run_log_asset")
        ),
        sa.PrimaryKeyConstraint("site", "asset", "at", name=op.f("pk_run_log")),
    )
