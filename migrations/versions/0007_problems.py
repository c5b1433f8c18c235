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
    """Add the column; it stays empty for the runs that are there, also for unfinished ones.

    Finished runs have no terms to compare. Those that are queued or running now will have terms,
    and are not compared all the same: a migration must not depend on the code that computes the
    address, which changes.
    """
    op.execute("set local lock_timeout = '5s'")
    op.add_column("runs", sa.Column("problem", sa.Text(), nullable=True), schema="app")
    op.create_index(op.f("ix_runs_problem"), "runs", ["problem"], unique=False, schema="app")


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.drop_index(op.f("ix_runs_problem"), table_name="runs", schema="app")
    op.drop_column("runs", "problem", schema="app")
