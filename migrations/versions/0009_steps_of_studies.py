"""The number of training steps that ends a study.

Revision: 0009. Created 2026-11-26.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; it stays empty for earlier studies, whose budgets have no steps."""
    op.execute("set local lock_timeout = '5s'")
    op.add_column(
        "studies", sa.Column("steps_wanted", sa.BigInteger(), nullable=True), schema="app"
    )


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.drop_column("studies", "steps_wanted", schema="app")
