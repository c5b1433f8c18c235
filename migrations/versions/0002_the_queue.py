"""The queue: procrastinate's own tables, in the schema `queue`.

Revision: 0002; follows 0001. Created 2026-11-22.

The statements are those of the procrastinate release that is installed; pyproject.toml keeps it
to one minor release, so that a new one comes with a revision of its own.
"""

from typing import Any

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the queue's tables, types and functions."""
    op.execute("set local lock_timeout = '5s'")
    op.execute("set local search_path = queue")
    # The driver's own execute: SQLAlchemy would read the schema's '%' as parameters.
    driver: Any = op.get_bind().connection.driver_connection
    driver.execute(SchemaManager.get_schema())


def downgrade() -> None:
    """Drop everything in the schema `queue`, and leave it empty."""
    op.execute("set local lock_timeout = '5s'")
    op.execute("drop schema queue cascade")
    op.execute("create schema queue")
