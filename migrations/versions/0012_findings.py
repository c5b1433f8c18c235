"""The findings of runs, which are made after a run has succeeded.

Revision: 0012. Created 2026-11-26.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table; it stays empty for runs that have ended, because all of them is there."""
    op.execute("set local lock_timeout = '5s'")
    op.create_table(
        "findings",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "state in ('to_come', 'made', 'failed')", name=op.f("ck_findings_state")
        ),
        sa.ForeignKeyConstraint(["run_id"], ["app.runs.id"], name=op.f("fk_findings_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_findings")),
        schema="app",
    )
    op.create_index(
        "ix_findings_to_come",
        "findings",
        ["run_id"],
        schema="app",
        postgresql_where=sa.text("state = 'to_come'"),
    )


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.drop_table("findings", schema="app")
