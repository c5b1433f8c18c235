"""What a watcher of runs reads: where they stand, and the evaluations that it has not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.tables import EvaluationRow, Run, RunState
from service.storage.turns import QUEUE_ORDER


@dataclass(frozen=True)
class Standing:
    """Where a run stands at this moment."""

    run_id: UUID
    state: RunState
    reason: str | None
    message: str | None
    attempt: int
    #: The last `Progress` of the run, as it came.
    progress: Mapping[str, Any] | None
    #: How many waiting runs of its queue are begun before this one; None when it does not wait.
    queue_position: int | None


async def standings(session: AsyncSession, run_ids: Sequence[UUID]) -> dict[UUID, Standing]:
    """Where these runs stand."""
    before_it = func.row_number().over(partition_by=Run.queue, order_by=QUEUE_ORDER) - 1
    waiting = (
        select(Run.id, before_it.label("position")).where(Run.state == RunState.QUEUED).subquery()
    )
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


async def latest_evaluations(
    session: AsyncSession, run_ids: Sequence[UUID]
) -> dict[UUID, Mapping[str, Any]]:
    """The evaluation with the greatest step of each run that has any."""
    newest = (
        select(EvaluationRow.run_id, func.max(EvaluationRow.step))
        .where(EvaluationRow.run_id.in_(run_ids))
        .group_by(EvaluationRow.run_id)
    )
    rows = await session.execute(
        select(EvaluationRow.run_id, EvaluationRow.evaluation).where(
            tuple_(EvaluationRow.run_id, EvaluationRow.step).in_(newest)
        )
    )
    return {row.run_id: row.evaluation for row in rows}


async def evaluations_after(
    session: AsyncSession, steps: Mapping[UUID, int]
) -> dict[UUID, list[Mapping[str, Any]]]:
    """The evaluations of these runs after the step of each, by step; only runs that have any."""
    later = [
        and_(EvaluationRow.run_id == run_id, EvaluationRow.step > step)
        for run_id, step in steps.items()
    ]
    rows = await session.execute(
        select(EvaluationRow.run_id, EvaluationRow.evaluation)
        .where(or_(False, *later))
        .order_by(EvaluationRow.step)
    )
    evaluations: dict[UUID, list[Mapping[str, Any]]] = {}
    for run_id, evaluation in rows:
        evaluations.setdefault(run_id, []).append(evaluation)
    return evaluations
