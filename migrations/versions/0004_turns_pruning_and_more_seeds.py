"""Turns of studies, pruned runs, more seeds for the trials of a study, studies' idempotency keys.

Revision: 0004. Created 2026-11-23.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("set local lock_timeout = '5s'")
    for name in ("prune_reason", "prune_message"):
        op.add_column("runs", sa.Column(name, sa.Text(), nullable=True), schema="app")
    priority = sa.Column("priority", sa.Integer(), server_default="0", nullable=False)
    op.add_column("runs", priority, schema="app")
    turn = sa.Column("turn", sa.BigInteger(), server_default="0", nullable=False)
    op.add_column("trials", turn, schema="app")
    op.create_index(op.f("ix_trials_turn"), "trials", ["turn"], unique=False, schema="app")
    op.drop_constraint(op.f("ck_trials_state"), "trials", schema="app")
    op.create_check_constraint(
        op.f("ck_trials_state"),
        "trials",
        "state in ('running', 'completed', 'pruned', 'failed', 'cancelled', 'superseded')",
        schema="app",
    )
    seeds = sa.Column("seeds_wanted", postgresql.JSONB(astext_type=sa.Text()), nullable=True)
    op.add_column("studies", seeds, schema="app")
    op.execute("update app.studies set seeds_wanted = spec #> '{base,seeds}'")
    op.alter_column("studies", "seeds_wanted", nullable=False, schema="app")
    went_on_at = sa.Column("went_on_at", sa.DateTime(timezone=True), nullable=True)
    op.add_column("studies", went_on_at, schema="app")
    op.add_column(
        "idempotency_keys", sa.Column("study_id", sa.Uuid(), nullable=True), schema="app"
    )
    op.create_foreign_key(
        op.f("fk_idempotency_keys_study_id_studies"),
        "idempotency_keys",
        "studies",
        ["study_id"],
        ["id"],
        source_schema="app",
        referent_schema="app",
    )
    op.alter_column("idempotency_keys", "experiment_id", nullable=True, schema="app")
    op.create_check_constraint(
        op.f("ck_idempotency_keys_an_experiment_or_a_study"),
        "idempotency_keys",
        "(experiment_id is null) <> (study_id is null)",
        schema="app",
    )


def downgrade() -> None:
    """Remove what the upgrade added; idempotency keys of studies are lost."""
    op.execute("set local lock_timeout = '5s'")
    op.execute("delete from app.idempotency_keys where study_id is not null")
    op.drop_constraint(
        op.f("ck_idempotency_keys_an_experiment_or_a_study"), "idempotency_keys", schema="app"
    )
    op.alter_column("idempotency_keys", "experiment_id", nullable=False, schema="app")
    op.drop_column("idempotency_keys", "study_id", schema="app")
    op.drop_column("studies", "went_on_at", schema="app")
    op.drop_column("studies", "seeds_wanted", schema="app")
    op.drop_constraint(op.f("ck_trials_state"), "trials", schema="app")
    op.execute("update app.trials set state = 'completed' where state = 'superseded'")
    op.create_check_constraint(
        op.f("ck_trials_state"),
        "trials",
        "state in ('running', 'completed', 'pruned', 'failed', 'cancelled')",
        schema="app",
    )
    op.drop_index(op.f("ix_trials_turn"), table_name="trials", schema="app")
    op.drop_column("trials", "turn", schema="app")
    for name in ("priority", "prune_message", "prune_reason"):
        op.drop_column("runs", name, schema="app")
