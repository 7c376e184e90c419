"""The tables of people: who they are, what they sign in with, and what happened at the door.

Of passwords, sessions and tokens only hashes are kept.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    String,
    Table,
    Text,
)

from ticketing.tables import key, metadata


def to_person() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(["site", "name"], ["person.site", "person.name"])


person = Table(
    "person",
    metadata,
    key("site"),
    key("name"),
    Column("title", String, nullable=False),
    Column("roles", String, nullable=False),
    Column("language", String),
    Column("email", String, nullable=False),
    Column("team", String, nullable=False),
    Column("skills", Text, nullable=False),
    Column("shift", Text),
    Column("origin", String, nullable=False),
    Column("active", Boolean, nullable=False),
    Column("password", String),
    CheckConstraint("origin IN ('file', 'desk')", name="origin"),
)

session = Table(
    "session",
    metadata,
    key("site"),
    key("sha256"),
    Column("name", String, nullable=False),
    Column("opened_at", BigInteger, nullable=False),
    Column("seen_at", BigInteger, nullable=False),
    Column("address", String, nullable=False),
    Column("agent", String, nullable=False),
    to_person(),
    Index("session_by_person", "site", "name"),
)

token = Table(
    "token",
    metadata,
    key("site"),
    key("id"),
    Column("sha256", String, nullable=False),
    Column("name", String, nullable=False),
    Column("purpose", String, nullable=False),
    Column("scope", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("used_at", BigInteger),
    to_person(),
    Index("token_by_person", "site", "name"),
)

# Sign-ins, failed ones too, and changes of people and tokens; each line's hash holds the one before.
door_event = Table(
    "door_event",
    metadata,
    key("site"),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("actor", String, nullable=False),
    Column("type", String, nullable=False),
    Column("name", String, nullable=False),
    Column("address", String, nullable=False),
    Column("detail", Text, nullable=False),
    Column("hash", String, nullable=False),
    Index("door_event_by_name", "site", "name", "type", "at"),
    Index("door_event_by_address", "site", "address", "type", "at"),
)
