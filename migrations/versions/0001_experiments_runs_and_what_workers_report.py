"""Experiments, runs, and what workers report about them.

Revision: 0001. Created 2026-11-22.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.create_table(
        "agents",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("queues", sa.Text(), nullable=False),
        sa.Column("datasets", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_agents")),
        schema="app",
    )
    op.create_table(
        "experiments",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("spec_hash", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_experiments")),
        schema="app",
    )
    op.create_index(
        op.f("ix_experiments_created_at_id"),
        "experiments",
        ["created_at", "id"],
        unique=False,
        schema="app",
    )
    op.create_table(
        "runs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("spec", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("dataset_digest", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("status_message", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("owner", sa.Text(), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.Column("started", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("progress", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("checkpoint", sa.Text(), nullable=True),
        sa.Column("checkpoint_step", sa.Integer(), nullable=True),
        sa.Column("result", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'running') = (lease_until is not null and owner is not null)",
            name=op.f("ck_runs_a_running_run_has_a_lease"),
        ),
        sa.CheckConstraint(
            "(state in ('queued', 'running')) = (finished_at is null)",
            name=op.f("ck_runs_a_final_run_has_an_end"),
        ),
        sa.CheckConstraint(
            "state in ('queued', 'running', 'succeeded', 'pruned', 'failed', 'cancelled')",
            name=op.f("ck_runs_state"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_runs")),
        schema="app",
    )
    op.create_index(op.f("ix_runs_job_id"), "runs", ["job_id"], unique=False, schema="app")
    op.create_index(
        "ix_runs_unfinished",
        "runs",
        ["created_at"],
        unique=False,
        schema="app",
        postgresql_where=sa.text("finished_at is null"),
    )
    op.create_index(
        "uq_runs_key_of_reusable",
        "runs",
        ["key"],
        unique=True,
        schema="app",
        postgresql_where=sa.text(
            "state in ('queued', 'running', 'succeeded') and not cancel_requested"
        ),
    )
    op.create_table(
        "artifacts",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["app.runs.id"], name=op.f("fk_artifacts_run_id_runs")
        ),
        sa.PrimaryKeyConstraint("run_id", "name", name=op.f("pk_artifacts")),
        schema="app",
    )
    op.create_table(
        "evaluations",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("evaluation", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["app.runs.id"], name=op.f("fk_evaluations_run_id_runs")
        ),
        sa.PrimaryKeyConstraint("run_id", "step", name=op.f("pk_evaluations")),
        schema="app",
    )
    op.create_table(
        "experiment_runs",
        sa.Column("experiment_id", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["app.experiments.id"],
            name=op.f("fk_experiment_runs_experiment_id_experiments"),
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["app.runs.id"], name=op.f("fk_experiment_runs_run_id_runs")
        ),
        sa.PrimaryKeyConstraint("experiment_id", "position", name=op.f("pk_experiment_runs")),
        schema="app",
    )
    op.create_index(
        op.f("ix_experiment_runs_run_id"),
        "experiment_runs",
        ["run_id"],
        unique=False,
        schema="app",
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("experiment_id", sa.Uuid(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(
            ["experiment_id"],
            ["app.experiments.id"],
            name=op.f("fk_idempotency_keys_experiment_id_experiments"),
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency_keys")),
        schema="app",
    )
    op.create_table(
        "metrics",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column("sequence", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["app.runs.id"], name=op.f("fk_metrics_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", "key", "step", name=op.f("pk_metrics")),
        schema="app",
    )
    op.create_index(
        op.f("ix_metrics_run_id_sequence"),
        "metrics",
        ["run_id", "sequence"],
        unique=False,
        schema="app",
    )
    op.create_table(
        "tracking",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("mlflow_experiment_id", sa.Text(), nullable=False),
        sa.Column("mlflow_run_id", sa.Text(), nullable=False),
        sa.Column("metric_sequence", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=True),
        sa.Column("complete", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["app.runs.id"], name=op.f("fk_tracking_run_id_runs")),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_tracking")),
        schema="app",
    )
    op.create_table(
        "transitions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column(
            "at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["app.runs.id"], name=op.f("fk_transitions_run_id_runs")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transitions")),
        schema="app",
    )
    op.create_index(
        op.f("ix_transitions_run_id"), "transitions", ["run_id"], unique=False, schema="app"
    )


def downgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    op.drop_index(op.f("ix_transitions_run_id"), table_name="transitions", schema="app")
    op.drop_table("transitions", schema="app")
    op.drop_table("tracking", schema="app")
    op.drop_index(op.f("ix_metrics_run_id_sequence"), table_name="metrics", schema="app")
    op.drop_table("metrics", schema="app")
    op.drop_table("idempotency_keys", schema="app")
    op.drop_index(op.f("ix_experiment_runs_run_id"), table_name="experiment_runs", schema="app")
    op.drop_table("experiment_runs", schema="app")
    op.drop_table("evaluations", schema="app")
    op.drop_table("artifacts", schema="app")
    op.drop_index(
        "uq_runs_key_of_reusable",
        table_name="runs",
        schema="app",
        postgresql_where=sa.text(
            "state in ('queued', 'running', 'succeeded') and not cancel_requested"
        ),
    )
    op.drop_index(
        "ix_runs_unfinished",
        table_name="runs",
        schema="app",
        postgresql_where=sa.text("finished_at is null"),
    )
    op.drop_index(op.f("ix_runs_job_id"), table_name="runs", schema="app")
    op.drop_table("runs", schema="app")
    op.drop_index(op.f("ix_experiments_created_at_id"), table_name="experiments", schema="app")
    op.drop_table("experiments", schema="app")
    op.drop_table("agents", schema="app")
