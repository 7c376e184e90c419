"""Clocks: the policy that an order was opened under, and the steps it took."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "policy_version",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("site", "sha256", name=op.f("pk_policy_version")),
    )
    op.create_table(
        "escalation",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("step", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site", "number"],
            ["work_order.site", "work_order.number"],
            name=op.f("fk_escalation_work_order"),
        ),
        sa.PrimaryKeyConstraint("site", "number", "step", name=op.f("pk_escalation")),
    )
    op.add_column("work_order", sa.Column("policy", sa.String(), nullable=True))
