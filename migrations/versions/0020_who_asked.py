"""Whose idempotency key it is, and which token of the owner let a browser in.

Revision: 0020. Created 2026-11-28.
"""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; keys of before are forgotten, and browsers have to be let in again."""
    op.execute("set local lock_timeout = '5s'")
    op.execute("delete from app.idempotency_keys")
    op.drop_constraint(op.f("pk_idempotency_keys"), "idempotency_keys", schema="app")
    op.add_column(
        "idempotency_keys", sa.Column("principal", sa.Text(), nullable=False), schema="app"
    )
    op.create_primary_key(
        op.f("pk_idempotency_keys"), "idempotency_keys", ["principal", "key"], schema="app"
    )
    op.add_column("tokens", sa.Column("owners_digest", sa.Text(), nullable=True), schema="app")
    op.execute(
        "update app.tokens set revoked_at = now() where kind <> 'bearer' and revoked_at is null"
    )


def downgrade() -> None:
    """Take the columns back; keys are forgotten, and browsers have to be let in again."""
    op.execute("set local lock_timeout = '5s'")
    op.execute(
        "update app.tokens set revoked_at = now() where kind <> 'bearer' and revoked_at is null"
    )
    op.drop_column("tokens", "owners_digest", schema="app")
    op.execute("delete from app.idempotency_keys")
    op.drop_constraint(op.f("pk_idempotency_keys"), "idempotency_keys", schema="app")
    op.drop_column("idempotency_keys", "principal", schema="app")
    op.create_primary_key(op.f("pk_idempotency_keys"), "idempotency_keys", ["key"], schema="app")
