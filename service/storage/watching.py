"""The present standing of runs, for those who watch them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Subquery, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.states import RunState
from service.storage.tables import Run
from service.storage.turns import QUEUE_ORDER


@dataclass(frozen=True)
class Standing:
    """The standing of a run at this moment."""

    run_id: UUID
    state: RunState
    reason: str | None
    message: str | None
    attempt: int
    #: The last `Progress` event of the run.
    progress: Mapping[str, Any] | None
    #: How many waiting runs of the same queue will begin before this run; None unless it waits.
    queue_position: int | None


async def standings(session: AsyncSession, run_ids: Sequence[UUID]) -> dict[UUID, Standing]:
    waiting = _waiting()
    rows = await session.execute(
        select(
            Run.id,
            Run.state,
            Run.status_reason,
            Run.status_message,
            Run.attempt,
            Run.progress,
            waiting.c.position,
        )
        .outerjoin(waiting, waiting.c.id == Run.id)
        .where(Run.id.in_(run_ids))
    )
    return {row.id: Standing(*row) for row in rows}


def place_in_queue(run_id: UUID) -> ColumnElement[int | None]:
    """How many waiting runs begin before this one, in a query of `Run`; null unless it waits."""
    waiting = _waiting()
    place = select(waiting.c.position).where(waiting.c.id == run_id).scalar_subquery()
    return case((Run.state == RunState.QUEUED, place))  # others are not counted in vain


def _waiting() -> Subquery:
    before_it = func.row_number().over(partition_by=Run.queue, order_by=QUEUE_ORDER) - 1
    of_run = select(Run.id, before_it.label("position"))
    return of_run.where(Run.state == RunState.QUEUED).subquery()
