"""Studies and their trials.

Revision: 0003. Created 2026-11-22.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.create_table(
        "studies",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("dataset_digest", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("status_message", sa.Text(), nullable=True),
        sa.Column("trials_wanted", sa.Integer(), nullable=False),
        sa.Column("to_repeat", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("range", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state in ('running', 'paused')) = (finished_at is null)",
            name=op.f("ck_studies_a_final_study_has_an_end"),
        ),
        sa.CheckConstraint(
            "state in ('running', 'paused', 'completed', 'failed', 'cancelled')",
            name=op.f("ck_studies_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studies")),
        schema="app",
    )
    op.create_index(
        op.f("ix_studies_created_at_id"),
        "studies",
        ["created_at", "id"],
        unique=False,
        schema="app",
    )
    op.create_table(
        "trials",
        sa.Column("study_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("point", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("experiment_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("status_message", sa.Text(), nullable=True),
        sa.Column("values", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("measured", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state <> 'completed') or (values is not null)", name=op.f("ck_trials_a_value")
        ),
        sa.CheckConstraint(
            "(state = 'running') = (finished_at is null)",
            name=op.f("ck_trials_a_final_trial_has_an_end"),
        ),
        sa.CheckConstraint(
            "state in ('running', 'completed', 'pruned', 'failed', 'cancelled')",
            name=op.f("ck_trials_state"),
        ),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["app.experiments.id"],
            name=op.f("fk_trials_experiment_id_experiments"),
        ),
        sa.ForeignKeyConstraint(
            ["study_id"], ["app.studies.id"], name=op.f("fk_trials_study_id_studies")
        ),
        sa.PrimaryKeyConstraint("study_id", "number", name=op.f("pk_trials")),
        sa.UniqueConstraint("experiment_id", name=op.f("uq_trials_experiment_id")),
        schema="app",
    )


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.drop_table("trials", schema="app")
    op.drop_index(op.f("ix_studies_created_at_id"), table_name="studies", schema="app")
    op.drop_table("studies", schema="app")
