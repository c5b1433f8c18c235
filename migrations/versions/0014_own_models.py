"""Which models of users agents allow.

Revision: 0014. Created 2026-11-27.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; agents fill it within seconds of their start."""
    op.execute("set local lock_timeout = '5s'")
    op.add_column(
        "agents",
        sa.Column("models", postgresql.JSONB(), nullable=False, server_default="{}"),
        schema="app",
    )


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.drop_column("agents", "models", schema="app")
