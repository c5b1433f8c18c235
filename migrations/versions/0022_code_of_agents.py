"""Which code agents run, so that `polar doctor` can compare it with the API's.

Revision: 0022. Created 2026-11-28.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; agents fill it when they announce themselves next."""
    op.execute("set local lock_timeout = '5s'")
    op.add_column("agents", sa.Column("code_version", sa.Text(), nullable=True), schema="app")


def downgrade() -> None:
    """Take the column back."""
    op.execute("set local lock_timeout = '5s'")
    op.drop_column("agents", "code_version", schema="app")
