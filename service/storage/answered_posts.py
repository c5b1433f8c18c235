"""POSTs that carry an idempotency key: a repetition gets the answer of the first."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from service.storage.study_tables import Study
from service.storage.tables import Base, Experiment


class AnsweredPost(Base):
    """What a POST with an idempotency key has made, in case it is repeated."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(primary_key=True)
    fingerprint: Mapped[str]
    #: What it made: an experiment or a study.
    experiment_id: Mapped[UUID | None] = mapped_column(ForeignKey(Experiment.id))
    study_id: Mapped[UUID | None] = mapped_column(ForeignKey(Study.id))
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    __table_args__ = (
        CheckConstraint(
            "(experiment_id is null) <> (study_id is null)", name="an_experiment_or_a_study"
        ),
    )


async def with_key(session: AsyncSession, key: str) -> AnsweredPost | None:
    """What a POST with this idempotency key made before, if there was one."""
    # Two POSTs with one key at once: the second waits here until the first has committed.
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
    """Remember what a POST with this idempotency key made: an experiment or a study."""
    made = {"experiment_id": experiment_id, "study_id": study_id}
    session.add(AnsweredPost(key=key, fingerprint=fingerprint, **made))
    await session.flush()
