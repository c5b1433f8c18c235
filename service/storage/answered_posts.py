"""POSTs that carry an idempotency key: a repeated POST gets the answer of the first."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from service.storage.study_tables import Study
from service.storage.tables import Base, Experiment


class AnsweredPost(Base):
    """What a POST with an idempotency key created, in case the POST is repeated."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    #: The experiment or the study that the POST created; the other id is null.
    experiment_id: Mapped[UUID | None] = mapped_column(ForeignKey(Experiment.id))
    study_id: Mapped[UUID | None] = mapped_column(ForeignKey(Study.id))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint(
            "(experiment_id is null) <> (study_id is null)", name="an_experiment_or_a_study"
        ),
    )


async def with_key(session: AsyncSession, key: str) -> AnsweredPost | None:
    """What an earlier POST with this idempotency key created; None if there was no such POST."""
    # If two POSTs with the same key come at once, the second waits here for the first to commit.
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
    return await session.get(AnsweredPost, key)


async def remember_key(
    session: AsyncSession,
    key: str,
    fingerprint: str,
    *,
    experiment_id: UUID | None = None,
    study_id: UUID | None = None,
) -> None:
    """Remember which experiment or study a POST with this idempotency key created."""
    created = {"experiment_id": experiment_id, "study_id": study_id}
    session.add(AnsweredPost(key=key, fingerprint=fingerprint, **created))
    await session.flush()
