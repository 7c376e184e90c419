"""Knowledge: articles, their versions and words, and where they were offered."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from ticketing.migrations.triggers import keep_for_ever

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "article",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("asset_class", sa.String(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("failure_mode", sa.String(), nullable=False),
        sa.Column("mechanism", sa.String(), nullable=True),
        sa.Column("remedy", sa.String(), nullable=True),
        sa.Column("title_zh", sa.String(), nullable=False),
        sa.Column("title_en", sa.String(), nullable=False),
        sa.Column("body_zh", sa.Text(), nullable=False),
        sa.Column("body_en", sa.Text(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.CheckConstraint("status IN ('draft', 'published', 'retired')", name=op.f("ck_article_status")),
        sa.PrimaryKeyConstraint("site", "id", name=op.f("pk_article")),
        sa.UniqueConstraint("site", "source", name=op.f("uq_article_site_source")),
    )
    op.create_index("article_by_subject", "article", ["site", "status", "failure_mode"], unique=False)

    op.create_table(
        "article_version",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("author", sa.String(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site", "id"], ["article.site", "article.id"], name=op.f("fk_article_version_article")
        ),
        sa.PrimaryKeyConstraint("site", "id", "version", name=op.f("pk_article_version")),
    )
    op.create_table(
        "article_word",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("word", sa.String(), nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["site", "id"], ["article.site", "article.id"], name=op.f("fk_article_word_article")
        ),
        sa.PrimaryKeyConstraint("site", "word", "id", name=op.f("pk_article_word")),
    )
    op.create_index("article_word_by_article", "article_word", ["site", "id"], unique=False)

    op.create_table(
        "kb_use",
        sa.Column("site", sa.String(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("article", sa.String(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("reasons", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=True),
        sa.CheckConstraint("outcome IN ('helped', 'not_helped')", name=op.f("ck_kb_use_outcome")),
        sa.ForeignKeyConstraint(
            ["site", "article"], ["article.site", "article.id"], name=op.f("fk_kb_use_article")
        ),
        sa.ForeignKeyConstraint(
            ["site", "number"], ["work_order.site", "work_order.number"], name=op.f("fk_kb_use_work_order")
        ),
        sa.PrimaryKeyConstraint("site", "number", "article", name=op.f("pk_kb_use")),
    )
    op.create_index("kb_use_by_article", "kb_use", ["site", "article"], unique=False)
    keep_for_ever("article_version")
