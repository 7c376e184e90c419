"""A site's own fields, downtime, signatures by PIN, answers given again, papers to review."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("work_order", sa.Column("custom", sa.Text(), server_default="{}", nullable=False))
    op.add_column("work_order", sa.Column("downtime_start", sa.BigInteger(), nullable=True))
    op.add_column("work_order", sa.Column("downtime_end", sa.BigInteger(), nullable=True))
    op.create_table(
        "answered",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("key", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site", "actor", "key", name=op.f("pk_answered")),
    )
    op.create_index("answered_by_time", "answered", ["site", "at"], unique=False)
    op.create_table(
        "pin",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("person", sa.String(), nullable=False),
        sa.Column("salt", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("wrong_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site", "person", name=op.f("pk_pin")),
    )
    op.create_table(
        "review",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=True),
        sa.Column("decided_by", sa.String(), nullable=True),
        sa.CheckConstraint("state IN ('waiting', 'accepted', 'dismissed')", name=op.f("ck_review_state")),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_review")),
    )
