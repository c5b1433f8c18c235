"""The problem of each run, by which certificates compare runs of many studies.

Revision: 0007. Created 2026-11-26.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; it stays empty for earlier runs, which have no terms to compare."""
    op.execute("set local lock_timeout = '5s'")
    op.add_column("runs", sa.Column("problem", sa.Text(), nullable=True), schema="app")
    op.create_index(op.f("ix_runs_problem"), "runs", ["problem"], unique=False, schema="app")


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.drop_index(op.f("ix_runs_problem"), table_name="runs", schema="app")
    op.drop_column("runs", "problem", schema="app")
