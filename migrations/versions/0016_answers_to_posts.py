"""The answers to POSTs with an idempotency key, instead of what the POSTs have made.

Revision: 0016. Created 2026-11-28.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Replace the columns; keys of before are forgotten, because their answers are not known."""
    op.execute("set local lock_timeout = '5s'")
    op.execute("delete from app.idempotency_keys")
    op.drop_constraint(
        op.f("ck_idempotency_keys_an_experiment_or_a_study"), "idempotency_keys", schema="app"
    )
    op.drop_column("idempotency_keys", "experiment_id", schema="app")
    op.drop_column("idempotency_keys", "study_id", schema="app")
    for column in (
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("location", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
    ):
        op.add_column("idempotency_keys", column, schema="app")
    op.create_index(
        op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], schema="app"
    )


def downgrade() -> None:
    """Put the columns back; all keys are forgotten."""
    op.execute("set local lock_timeout = '5s'")
    op.execute("delete from app.idempotency_keys")
    op.drop_index(
        op.f("ix_idempotency_keys_created_at"), table_name="idempotency_keys", schema="app"
    )
    for name in ("status", "location", "body"):
        op.drop_column("idempotency_keys", name, schema="app")
    for name, table in (("experiment_id", "experiments"), ("study_id", "studies")):
        op.add_column("idempotency_keys", sa.Column(name, sa.Uuid(), nullable=True), schema="app")
        op.create_foreign_key(
            op.f(f"fk_idempotency_keys_{name}_{table}"),
            "idempotency_keys", table, [name], ["id"], source_schema="app", referent_schema="app",
        )  # fmt: skip
    op.create_check_constraint(
        op.f("ck_idempotency_keys_an_experiment_or_a_study"),
        "idempotency_keys",
        "(experiment_id is null) <> (study_id is null)",
        schema="app",
    )
