"""What was deleted, and what is still to be removed of it.

Revision: 0018. Created 2026-11-28.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.create_table(
        "deletions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "deleted_at",
            sa.DateTime(timezone=True),
            server_default=sa.func.now(),
            nullable=False,
        ),
        sa.Column("in_files", sa.Boolean(), nullable=False),
        sa.Column("in_rows", sa.Boolean(), nullable=False),
        sa.Column("in_mlflow", sa.Boolean(), nullable=False),
        sa.Column("in_optuna", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deletions")),
        sa.CheckConstraint(
            "kind in ('experiment', 'run', 'study')", name=op.f("ck_deletions_kind")
        ),
        schema="app",
    )
    op.create_index(
        "ix_deletions_unfinished",
        "deletions",
        ["id"],
        schema="app",
        postgresql_where=sa.text("in_files or in_rows or in_mlflow or in_optuna"),
    )


def downgrade() -> None:
    """Drop the table; runs that were deleted and not yet removed are seen again, in no list."""
    op.execute("set local lock_timeout = '5s'")
    op.drop_table("deletions", schema="app")
