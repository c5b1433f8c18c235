"""The number of steps to which the trainings of a study were extended.

Revision: 0010. Created 2026-11-26.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; it stays empty for studies whose trainings were not extended."""
    op.execute("set local lock_timeout = '5s'")
    op.add_column(
        "studies", sa.Column("training_steps_wanted", sa.Integer(), nullable=True), schema="app"
    )


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.drop_column("studies", "training_steps_wanted", schema="app")
