"""Who may ask the API for what.

Revision: 0017. Created 2026-11-28.
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table; the owner's token, which needs none, makes the first tokens."""
    op.execute("set local lock_timeout = '5s'")
    op.create_table(
        "tokens",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("made_by", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_tokens_digest")),
        sa.ForeignKeyConstraint(
            ["made_by"], ["app.tokens.id"], name=op.f("fk_tokens_made_by_tokens")
        ),
        sa.CheckConstraint("kind in ('bearer', 'link', 'cookie')", name=op.f("ck_tokens_kind")),
        sa.CheckConstraint(
            "scope in ('read', 'submit', 'steer', 'admin')", name=op.f("ck_tokens_scope")
        ),
        schema="app",
    )
    op.create_index(
        op.f("ix_tokens_name"),
        "tokens",
        ["name"],
        unique=True,
        schema="app",
        postgresql_where=sa.text("revoked_at is null"),
    )


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.drop_table("tokens", schema="app")
