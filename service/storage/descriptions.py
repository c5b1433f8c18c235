"""Names, tags and notes of experiments, runs and studies, which people change at any time."""

from collections.abc import Mapping
from typing import TypeVar
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from service.descriptions import MOST_TAGS
from service.storage.deletions import is_deleted
from service.storage.errors import Conflict, NotFound
from service.storage.study_tables import Study
from service.storage.tables import Experiment, Run
from service.storage.telling import tell_again

D = TypeVar("D", bound=Experiment | Run | Study)


async def describe(
    session: AsyncSession,
    kind: type[D],
    id: UUID,
    *,
    name: str | None = None,
    tags: Mapping[str, str | None] | None = None,
    note: str | None = None,
) -> D:
    """Change what is said of an experiment, a run or a study; what is None stays as it is.

    Args:
        session: The caller's transaction.
        kind: The table.
        id: Id of the row.
        name: A new name.
        tags: Tags to set, and with None tags to remove; others stay.
        note: A new note.

    Raises:
        NotFound: there is no such row.
        Conflict: there would be too many tags.
    """
    query = select(kind).where(kind.id == id, ~is_deleted(kind.id))
    query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    row = await session.scalar(query)
    what = kind.__name__.lower()
    if row is None:
        raise NotFound(what, id)
    merged = {
        key: value for key, value in {**row.tags, **(tags or {})}.items() if value is not None
    }
    if len(merged) > MOST_TAGS:
        raise Conflict(
            f"{what} {id} would have {len(merged)} tags, of which it has {len(row.tags)} already; "
            f"allowed: at most {MOST_TAGS}"
        )
    before = (row.name, row.tags, row.note)
    row.name = row.name if name is None else name
    row.tags = merged
    row.note = row.note if note is None else note
    if (row.name, row.tags, row.note) != before:
        # by the clock, not by the start of the transaction, so that later changes have later times
        row.described_at = await session.scalar(select(func.clock_timestamp()))
        await session.flush()
        await tell_again(session, row)
    return row
