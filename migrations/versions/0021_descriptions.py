"""Names of runs, and tags and notes on experiments, runs and studies.

Revision: 0021. Created 2026-11-28.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.add_column(
        "runs", sa.Column("name", sa.Text(), server_default="", nullable=False), schema="app"
    )
    op.create_index("ix_runs_created_at_id", "runs", ["created_at", "id"], schema="app")
    for table in ("experiments", "runs", "studies"):
        tags = sa.Column("tags", postgresql.JSONB(), server_default="{}", nullable=False)
        note = sa.Column("note", sa.Text(), server_default="", nullable=False)
        described_at = sa.Column("described_at", sa.DateTime(timezone=True), nullable=True)
        for column in (tags, note, described_at):
            op.add_column(table, column, schema="app")
        op.create_index(f"ix_{table}_tags", table, ["tags"], schema="app", postgresql_using="gin")


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    for table in ("experiments", "runs", "studies"):
        op.drop_index(f"ix_{table}_tags", table, schema="app")
        for column in ("described_at", "note", "tags"):
            op.drop_column(table, column, schema="app")
    op.drop_index("ix_runs_created_at_id", "runs", schema="app")
    op.drop_column("runs", "name", schema="app")
