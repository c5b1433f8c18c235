"""Runs and studies that MLflow could not be told of, noted so that users can see it.

Only the tracker, the process that copies results to MLflow, writes here.
"""

from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.tracking_tables import TrackingFailure


async def note(session: AsyncSession, id: UUID, why: str) -> None:
    """Note why MLflow cannot be told of this run or study."""
    statement = insert(TrackingFailure).values(id=id, why=why)
    await session.execute(
        statement.on_conflict_do_update(index_elements=[TrackingFailure.id], set_={"why": why})
    )


async def forget(session: AsyncSession, id: UUID) -> None:
    """Remove the note on a run or study that MLflow could be told of after all."""
    await session.execute(delete(TrackingFailure).where(TrackingFailure.id == id))


async def forget_all(session: AsyncSession) -> None:
    """Remove all notes, because a tracker that starts tries everything anew."""
    await session.execute(delete(TrackingFailure))


async def why(session: AsyncSession, id: UUID) -> str | None:
    """Why MLflow could not be told of this run or study; None if nothing stands in the way."""
    query = select(TrackingFailure.why).where(TrackingFailure.id == id)
    return await session.scalar(query)
