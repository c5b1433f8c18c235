"""What MLflow could not be told of, so that users see it; only the tracker writes here."""

from uuid import UUID

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.tracking_tables import Untold


async def note(session: AsyncSession, id: UUID, why: str) -> None:
    """Note why MLflow cannot be told of this run or study."""
    statement = insert(Untold).values(id=id, why=why)
    await session.execute(
        statement.on_conflict_do_update(index_elements=[Untold.id], set_={"why": why})
    )


async def forget(session: AsyncSession, id: UUID) -> None:
    """MLflow could be told after all."""
    await session.execute(delete(Untold).where(Untold.id == id))


async def all_ids(session: AsyncSession) -> set[UUID]:
    """The runs and studies that MLflow could not be told of."""
    return set(await session.scalars(select(Untold.id)))


async def why(session: AsyncSession, id: UUID) -> str | None:
    """Why MLflow lacks something of this run or study; None where nothing hinders."""
    return await session.scalar(select(Untold.why).where(Untold.id == id))
