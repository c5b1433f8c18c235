"""${message}

Revision: ${up_revision}; follows ${down_revision | comma,n}. Created ${create_date}.
"""

from alembic import op
import sqlalchemy as sa
${imports if imports else ""}

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}


def upgrade() -> None:
    """Additive first; whoever cannot get a lock soon gives up and blocks nobody."""
    op.execute("set local lock_timeout = '5s'")
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """The way back."""
    op.execute("set local lock_timeout = '5s'")
    ${downgrades if downgrades else "pass"}
