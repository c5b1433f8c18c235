"""Whether Optuna knows how the trials of a study ended.

Revision: 0011. Created 2026-11-26.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

#: Optuna was told as soon as trials ended before, so nothing is left of studies that have ended.
KNOWN = """
update app.studies set is_told = true
where state not in ('running', 'paused')
  and id not in (select study_id from app.trials where state = 'running')
"""


def upgrade() -> None:
    """Add the column, true for studies that the broker has no more work with."""
    op.execute("set local lock_timeout = '5s'")
    op.add_column(
        "studies",
        sa.Column("is_told", sa.Boolean(), nullable=False, server_default=sa.false()),
        schema="app",
    )
    op.execute(KNOWN)


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.drop_column("studies", "is_told", schema="app")
