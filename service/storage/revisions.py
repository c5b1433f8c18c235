"""Which revision of the schema this code needs and which a database has, without Alembic."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from migrations.newest import IS_THERE, STORED


async def revision_of(session: AsyncSession) -> str | None:
    """The revision of the schema that this database has; None before its first migration."""
    if not await session.scalar(text(IS_THERE)):
        return None
    return await session.scalar(text(STORED))
