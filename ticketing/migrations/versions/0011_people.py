"""People, their sessions and tokens, and the book of what happened at the door."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ticketing.migrations.triggers import keep_for_ever

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.create_table(
        "person",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("roles", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("team", sa.String(), nullable=False),
        sa.Column("skills", sa.Text(), nullable=False),
        sa.Column("shift", sa.Text(), nullable=True),
        sa.Column("origin", sa.String(), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("password", sa.String(), nullable=True),
        sa.CheckConstraint("origin IN ('file', 'desk')", name=op.f("ck_person_origin")),
        sa.PrimaryKeyConstraint("site", "name", name=op.f("pk_person")),
    )
    op.create_table(
        "session",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("seen_at", sa.BigInteger(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site", "name"], ["person.site", "person.name"], name=op.f("fk_session_person")
        ),
        sa.PrimaryKeyConstraint("site", "sha256", name=op.f("pk_session")),
    )
    op.create_index("session_by_person", "session", ["site", "name"], unique=False)
    op.create_table(
        "token",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["site", "name"], ["person.site", "person.name"], name=op.f("fk_token_person")
        ),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_token")),
    )
    op.create_index("token_by_person", "token", ["site", "name"], unique=False)
    op.create_table(
        "door_event",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("site", "seq", name=op.f("pk_door_event")),
    )
    op.create_index("door_event_by_name", "door_event", ["site", "name", "type", "at"], unique=False)
    op.create_index("door_event_by_address", "door_event", ["site", "address", "type", "at"], unique=False)
    keep_for_ever("door_event")
