"""What keeps agents from taking runs.

Revision: 0015. Created 2026-11-28.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; it is null for agents that take runs."""
    op.execute("set local lock_timeout = '5s'")
    op.add_column("agents", sa.Column("fault", sa.Text(), nullable=True), schema="app")


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.drop_column("agents", "fault", schema="app")
