"""The course of each run, by which a run goes on from the last state of a finished run.

Revision: 0008. Created 2026-11-26.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; it stays empty for the runs that are there, also for unfinished ones.

    Finished runs have kept no last state. Those that are queued or running now will keep one, from
    which no other run goes on: a migration must not depend on the code that computes the address,
    which changes.
    """
    op.execute("set local lock_timeout = '5s'")
    op.add_column("runs", sa.Column("course", sa.Text(), nullable=True), schema="app")
    op.create_index(op.f("ix_runs_course"), "runs", ["course"], unique=False, schema="app")


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.drop_index(op.f("ix_runs_course"), table_name="runs", schema="app")
    op.drop_column("runs", "course", schema="app")
