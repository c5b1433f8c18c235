"""The queue: procrastinate's own tables, in the schema `queue`.

Revision: 0002; follows 0001. Created 2026-11-22.

The statements are those of the installed procrastinate release. pyproject.toml pins it to one
minor release, so every newer one needs a revision of its own.
"""

from typing import Any

from alembic import op
from procrastinate.schema import SchemaManager

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.execute("set local search_path = queue")
    # This calls the driver directly because SQLAlchemy would read the schema's '%' as parameters.
    driver: Any = op.get_bind().connection.driver_connection
    driver.execute(SchemaManager.get_schema())


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.execute("drop schema queue cascade")
    op.execute("create schema queue")
