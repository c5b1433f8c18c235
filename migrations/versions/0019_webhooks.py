"""What webhooks are to be told, and when runs ended.

Revision: 0019. Created 2026-11-28.
"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    time = sa.DateTime(timezone=True)
    op.create_table(
        "webhooks",
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("since", time, server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("url", name=op.f("pk_webhooks")),
        schema="app",
    )
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("ended_at", time, nullable=False),
        sa.Column("created_at", time, server_default=sa.func.now(), nullable=False),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("due_at", time, server_default=sa.func.now(), nullable=False),
        sa.Column("delivered_at", time, nullable=True),
        sa.Column("given_up_at", time, nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint(
            "url",
            "ended_at",
            "kind",
            "subject",
            name=op.f("uq_webhook_deliveries_url_ended_at_kind_subject"),
        ),
        sa.CheckConstraint("kind in ('run', 'study')", name=op.f("ck_webhook_deliveries_kind")),
        schema="app",
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["due_at"],
        schema="app",
        postgresql_where=sa.text("delivered_at is null and given_up_at is null"),
    )
    op.create_index("ix_runs_finished_at", "runs", ["finished_at"], schema="app")


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.drop_index("ix_runs_finished_at", "runs", schema="app")
    op.drop_table("webhook_deliveries", schema="app")
    op.drop_table("webhooks", schema="app")
