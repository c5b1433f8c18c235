"""Runs and studies that MLflow could not be told of, so that users see it.

Only the tracker writes here.
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
    """MLflow could be told after all."""
    await session.execute(delete(TrackingFailure).where(TrackingFailure.id == id))


async def forget_all(session: AsyncSession) -> None:
    """A tracker begins, and tries everything anew."""
    await session.execute(delete(TrackingFailure))


async def why(session: AsyncSession, id: UUID) -> str | None:
    """Why MLflow lacks something of this run or study; None where nothing hinders."""
    query = select(TrackingFailure.why).where(TrackingFailure.id == id)
    return await session.scalar(query)
