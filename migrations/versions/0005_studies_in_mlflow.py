"""Which studies and trials MLflow knows, how far it knows them, and which runs are nested.

Revision: 0005. Created 2026-11-23.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.create_table(
        "study_tracking",
        sa.Column("study_id", sa.Uuid(), nullable=False),
        sa.Column("mlflow_experiment_id", sa.Text(), nullable=False),
        sa.Column("mlflow_run_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["study_id"], ["app.studies.id"], name=op.f("fk_study_tracking_study_id_studies")
        ),
        sa.PrimaryKeyConstraint("study_id", name=op.f("pk_study_tracking")),
        schema="app",
    )
    op.create_table(
        "trial_tracking",
        sa.Column("study_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("mlflow_run_id", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["study_id", "number"],
            ["app.trials.study_id", "app.trials.number"],
            name=op.f("fk_trial_tracking_study_id_trials"),
        ),
        sa.ForeignKeyConstraint(
            ["study_id"],
            ["app.study_tracking.study_id"],
            name=op.f("fk_trial_tracking_study_id_study_tracking"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("study_id", "number", name=op.f("pk_trial_tracking")),
        schema="app",
    )
    op.create_table(
        "nested_runs",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("study_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["app.tracking.run_id"],
            name=op.f("fk_nested_runs_run_id_tracking"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["study_id", "number"],
            ["app.trial_tracking.study_id", "app.trial_tracking.number"],
            name=op.f("fk_nested_runs_study_id_trial_tracking"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_nested_runs")),
        schema="app",
    )


def downgrade() -> None:
    """Drop the tables; MLflow keeps its runs, and another upgrade finds them again."""
    op.execute("set local lock_timeout = '5s'")
    for name in ("nested_runs", "trial_tracking", "study_tracking"):
        op.drop_table(name, schema="app")
