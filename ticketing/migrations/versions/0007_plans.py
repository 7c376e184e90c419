"""Plans of preventive work, the times they fell due, and counters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "counter",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site", "asset"], ["asset.site", "asset.code"], name=op.f("fk_counter_asset")
        ),
        sa.PrimaryKeyConstraint("site", "asset", "name", name=op.f("pk_counter")),
    )
    op.create_table(
        "pm_plan",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("title_zh", sa.String(), nullable=False),
        sa.Column("title_en", sa.String(), nullable=False),
        sa.Column("tasks", sa.Text(), nullable=False),
        sa.Column("every_ms", sa.BigInteger(), nullable=True),
        sa.Column("every_count", sa.BigInteger(), nullable=True),
        sa.Column("counter", sa.String(), nullable=True),
        sa.Column("basis", sa.String(), nullable=False),
        sa.Column("lead", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("skip_if_open", sa.Boolean(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("next_due", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("basis IN ('fixed', 'floating')", name=op.f("ck_pm_plan_basis")),
        sa.CheckConstraint("(every_count IS NULL) = (counter IS NULL)", name=op.f("ck_pm_plan_counter")),
        sa.CheckConstraint("(every_ms IS NULL) <> (every_count IS NULL)", name=op.f("ck_pm_plan_every")),
        sa.ForeignKeyConstraint(
            ["site", "asset"], ["asset.site", "asset.code"], name=op.f("fk_pm_plan_asset")
        ),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_pm_plan")),
    )
    op.create_index("pm_plan_by_counter", "pm_plan", ["site", "asset", "counter"], unique=False)

    op.create_table(
        "pm_due",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("plan", sa.String(), nullable=False),
        sa.Column("due", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["site", "number"], ["work_order.site", "work_order.number"], name=op.f("fk_pm_due_work_order")
        ),
        sa.ForeignKeyConstraint(
            ["site", "plan"], ["pm_plan.site", "pm_plan.id"], name=op.f("fk_pm_due_pm_plan")
        ),
        sa.PrimaryKeyConstraint("site", "plan", "due", name=op.f("pk_pm_due")),
    )
