"""The core: assets, alarms, evidence, work orders and their history."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ticketing.migrations.triggers import keep_for_ever, refuse

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "asset",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("code", sa.String(), nullable=False),
        sa.Column("asset_class", sa.String(), nullable=False),
        sa.Column("name_zh", sa.String(), nullable=False),
        sa.Column("name_en", sa.String(), nullable=False),
        sa.Column("parent", sa.String(), nullable=True),
        sa.Column("criticality", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("serial", sa.String(), nullable=False),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.Column("running", sa.Boolean(), nullable=True),
        sa.CheckConstraint("criticality IN ('A', 'B', 'C')", name=op.f("ck_asset_criticality")),
        sa.PrimaryKeyConstraint("site", "code", name=op.f("pk_asset")),
    )
    op.create_table(
        "engine_state",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("cursor", sa.BigInteger(), nullable=False),
        sa.Column("blob", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("site", "name", name=op.f("pk_engine_state")),
    )
    op.create_table(
        "number_series",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("year", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("site", "year", name=op.f("pk_number_series")),
    )
    op.create_table(
        "rule_version",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("site", "rule_id", "sha256", name=op.f("pk_rule_version")),
    )
    op.create_table(
        "site",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("head_seq", sa.BigInteger(), nullable=False),
        sa.Column("head_hash", sa.String(), nullable=False),
        sa.Column("flooding", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("site", name=op.f("pk_site")),
    )
    op.create_table(
        "timer",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("left_ms", sa.BigInteger(), nullable=True),
        sa.Column("asset", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("site", "kind", "subject", name=op.f("pk_timer")),
    )
    op.create_index("timer_by_due", "timer", ["site", "due_at"], unique=False)

    op.create_table(
        "alarm",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("episode", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("failure_mode", sa.String(), nullable=False),
        sa.Column("fault_key", sa.String(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("raised_at", sa.BigInteger(), nullable=False),
        sa.Column("cleared_at", sa.BigInteger(), nullable=True),
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("rule_hash", sa.String(), nullable=False),
        sa.Column("title_zh", sa.String(), nullable=False),
        sa.Column("title_en", sa.String(), nullable=False),
        sa.Column("mode", sa.String(), nullable=False),
        sa.Column("suppression", sa.String(), nullable=False),
        sa.Column("from_model", sa.Boolean(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.Column("ready_at", sa.BigInteger(), nullable=True),
        sa.Column("acked_at", sa.BigInteger(), nullable=True),
        sa.Column("acked_by", sa.String(), nullable=True),
        sa.Column("ack_note", sa.String(), nullable=True),
        sa.CheckConstraint("severity BETWEEN 1 AND 4", name=op.f("ck_alarm_severity")),
        sa.ForeignKeyConstraint(["site", "asset"], ["asset.site", "asset.code"], name=op.f("fk_alarm_asset")),
        sa.ForeignKeyConstraint(
            ["site", "rule_id", "rule_hash"],
            ["rule_version.site", "rule_version.rule_id", "rule_version.sha256"],
            name=op.f("fk_alarm_rule_version"),
        ),
        sa.PrimaryKeyConstraint("site", "episode", name=op.f("pk_alarm")),
    )
    op.create_index("alarm_by_decision", "alarm", ["site", "decision", "decided_at"], unique=False)
    op.create_index("alarm_by_key", "alarm", ["site", "fault_key", "raised_at"], unique=False)
    op.create_index("alarm_by_time", "alarm", ["site", "raised_at"], unique=False)

    op.create_table(
        "work_order",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=True),
        sa.Column("failure_mode", sa.String(), nullable=True),
        sa.Column("fault_key", sa.String(), nullable=True),
        sa.Column("title_zh", sa.String(), nullable=False),
        sa.Column("title_en", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("severity_max", sa.Integer(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("first_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("due_ack_at", sa.BigInteger(), nullable=False),
        sa.Column("due_resolve_at", sa.BigInteger(), nullable=False),
        sa.Column("requester", sa.String(), nullable=True),
        sa.Column("assignee", sa.String(), nullable=True),
        sa.Column("barred", sa.String(), nullable=True),
        sa.Column("accepted_at", sa.BigInteger(), nullable=True),
        sa.Column("hold_reason", sa.String(), nullable=True),
        sa.Column("resolved_at", sa.BigInteger(), nullable=True),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.Column("symptom", sa.String(), nullable=True),
        sa.Column("mechanism", sa.String(), nullable=True),
        sa.Column("cause", sa.String(), nullable=True),
        sa.Column("remedy", sa.String(), nullable=True),
        sa.Column("detection", sa.String(), nullable=True),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.Column("stop_kind", sa.String(), nullable=True),
        sa.Column("stars", sa.Integer(), nullable=True),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("reopen_count", sa.Integer(), nullable=False),
        sa.Column("occurrence_count", sa.Integer(), nullable=False),
        sa.Column("chronic", sa.Boolean(), nullable=False),
        sa.Column("self_clear", sa.Boolean(), nullable=False),
        sa.Column("verify_ms", sa.BigInteger(), nullable=False),
        sa.Column("verified_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('new', 'assigned', 'in_progress', 'on_hold', 'resolved', 'closed', 'cancelled')",
            name=op.f("ck_work_order_state"),
        ),
        sa.CheckConstraint("priority BETWEEN 1 AND 4", name=op.f("ck_work_order_priority")),
        sa.CheckConstraint("stars BETWEEN 1 AND 5", name=op.f("ck_work_order_stars")),
        sa.ForeignKeyConstraint(
            ["site", "asset"], ["asset.site", "asset.code"], name=op.f("fk_work_order_asset")
        ),
        sa.PrimaryKeyConstraint("site", "number", name=op.f("pk_work_order")),
        sa.UniqueConstraint("site", "source", name=op.f("uq_work_order_site_source")),
    )
    op.create_index(
        "one_open_work_order",
        "work_order",
        ["fault_key"],
        unique=True,
        sqlite_where=sa.text("state NOT IN ('closed', 'cancelled')"),
        postgresql_where=sa.text("state NOT IN ('closed', 'cancelled')"),
    )
    op.create_index("work_order_by_asset", "work_order", ["site", "asset", "opened_at"], unique=False)
    op.create_index("work_order_by_opening", "work_order", ["site", "opened_at"], unique=False)
    op.create_index("work_order_by_state", "work_order", ["site", "state"], unique=False)
    op.create_index(
        "work_order_by_urgency",
        "work_order",
        ["site", "priority", "opened_at", "state"],
        unique=False,
    )

    op.create_table(
        "evidence",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("episode", sa.String(), nullable=False),
        sa.Column("severity", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site", "episode"], ["alarm.site", "alarm.episode"], name=op.f("fk_evidence_alarm")
        ),
        sa.PrimaryKeyConstraint("site", "episode", "severity", name=op.f("pk_evidence")),
    )
    op.create_table(
        "mute",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("fault_key", sa.String(), nullable=False),
        sa.Column("rule_id", sa.String(), nullable=False),
        sa.Column("rule_hash", sa.String(), nullable=False),
        sa.Column("severity", sa.Integer(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site", "number"], ["work_order.site", "work_order.number"], name=op.f("fk_mute_work_order")
        ),
        sa.PrimaryKeyConstraint("site", "fault_key", "rule_id", name=op.f("pk_mute")),
    )
    op.create_table(
        "wo_alarm",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("episode", sa.String(), nullable=False),
        sa.Column("relation", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "relation IN ('trigger', 'repeat', 'correlated', 'flood', 'merged')",
            name=op.f("ck_wo_alarm_relation"),
        ),
        sa.ForeignKeyConstraint(
            ["site", "episode"], ["alarm.site", "alarm.episode"], name=op.f("fk_wo_alarm_alarm")
        ),
        sa.ForeignKeyConstraint(
            ["site", "number"], ["work_order.site", "work_order.number"], name=op.f("fk_wo_alarm_work_order")
        ),
        sa.PrimaryKeyConstraint("site", "number", "episode", name=op.f("pk_wo_alarm")),
    )
    op.create_index("wo_alarm_by_episode", "wo_alarm", ["site", "episode"], unique=False)

    op.create_table(
        "wo_event",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("actor_kind", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site", "number"], ["work_order.site", "work_order.number"], name=op.f("fk_wo_event_work_order")
        ),
        sa.PrimaryKeyConstraint("site", "seq", name=op.f("pk_wo_event")),
    )
    op.create_index("wo_event_by_order", "wo_event", ["site", "number", "seq"], unique=False)

    op.create_table(
        "wo_link",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("other", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site", "number"], ["work_order.site", "work_order.number"], name=op.f("fk_wo_link_work_order")
        ),
        sa.ForeignKeyConstraint(
            ["site", "other"], ["work_order.site", "work_order.number"], name="fk_wo_link_other"
        ),
        sa.PrimaryKeyConstraint("site", "number", "kind", "other", name=op.f("pk_wo_link")),
    )
    op.create_index("wo_link_by_other", "wo_link", ["site", "other"], unique=False)

    op.create_table(
        "wo_task",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("text_zh", sa.String(), nullable=False),
        sa.Column("text_en", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("mandatory", sa.Boolean(), nullable=False),
        sa.Column("done_at", sa.BigInteger(), nullable=True),
        sa.Column("done_by", sa.String(), nullable=True),
        sa.Column("value", sa.String(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('check', 'number', 'text', 'photo', 'meter')", name=op.f("ck_wo_task_kind")
        ),
        sa.ForeignKeyConstraint(
            ["site", "number"], ["work_order.site", "work_order.number"], name=op.f("fk_wo_task_work_order")
        ),
        sa.PrimaryKeyConstraint("site", "number", "seq", name=op.f("pk_wo_task")),
    )
    keep_for_ever("wo_event", "evidence", "rule_version")
    keep_closed_orders()


def keep_closed_orders() -> None:
    """A closed order never changes, and no order is ever deleted."""
    closed = "OLD.state = 'closed'"
    refuse("work_order_update", "UPDATE", "work_order", "a closed order never changes", closed)
    refuse("work_order_delete", "DELETE", "work_order", "orders are never deleted")
