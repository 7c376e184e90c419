"""Shelved alarms and attachments."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "shelf",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["site", "asset"], ["asset.site", "asset.code"], name=op.f("fk_shelf_asset")),
        sa.PrimaryKeyConstraint("site", "asset", "rule_id", name=op.f("pk_shelf")),
    )
    op.create_table(
        "attachment",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("mime", sa.String(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site", "number"],
            ["work_order.site", "work_order.number"],
            name=op.f("fk_attachment_work_order"),
        ),
        sa.PrimaryKeyConstraint("site", "number", "sha256", name=op.f("pk_attachment")),
    )
