"""Costs, their approval, tasks with a span, orders found by their fault."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "approval",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("level", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("amount_fen", sa.BigInteger(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("by", sa.String(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "decision IN ('pending', 'approved', 'rejected', 'bypassed')", name=op.f("ck_approval_decision")
        ),
        sa.ForeignKeyConstraint(
            ["site", "number"], ["work_order.site", "work_order.number"], name=op.f("fk_approval_work_order")
        ),
        sa.PrimaryKeyConstraint("site", "number", "level", name=op.f("pk_approval")),
    )
    op.create_table(
        "wo_cost",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cost_kind", sa.String(), nullable=False),
        sa.Column("cost_fen", sa.BigInteger(), nullable=False),
        sa.Column("minutes", sa.Integer(), nullable=True),
        sa.Column("part_no", sa.String(), nullable=True),
        sa.Column("comment", sa.String(), nullable=True),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.CheckConstraint("cost_kind IN ('labour', 'part', 'external')", name=op.f("ck_wo_cost_cost_kind")),
        sa.ForeignKeyConstraint(
            ["site", "number"], ["work_order.site", "work_order.number"], name=op.f("fk_wo_cost_work_order")
        ),
        sa.PrimaryKeyConstraint("site", "number", "seq", name=op.f("pk_wo_cost")),
    )
    op.add_column("wo_task", sa.Column("unit", sa.String(), server_default="", nullable=False))
    op.add_column("wo_task", sa.Column("low", sa.Float(), nullable=True))
    op.add_column("wo_task", sa.Column("high", sa.Float(), nullable=True))

    op.add_column(
        "work_order", sa.Column("est_cost_fen", sa.BigInteger(), server_default="0", nullable=False)
    )
    op.create_index(
        "work_order_by_key", "work_order", ["site", "fault_key", "state", "closed_at"], unique=False
    )
