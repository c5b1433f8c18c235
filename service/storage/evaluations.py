"""The evaluations that runs have reported."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import and_, func, or_, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.tables import EvaluationRow


async def evaluations_of(session: AsyncSession, run_id: UUID) -> Sequence[Mapping[str, Any]]:
    """All evaluations of a run, by step."""
    query = select(EvaluationRow.evaluation).where(EvaluationRow.run_id == run_id)
    return (await session.scalars(query.order_by(EvaluationRow.step))).all()


async def evaluation_steps(
    session: AsyncSession, run_ids: Iterable[UUID]
) -> Sequence[tuple[UUID, int]]:
    """The id of the run and the step of each evaluation of these runs."""
    query = select(EvaluationRow.run_id, EvaluationRow.step)
    rows = await session.execute(query.where(EvaluationRow.run_id.in_(run_ids)))
    return [(run_id, step) for run_id, step in rows]


async def evaluations_at(
    session: AsyncSession, places: Iterable[tuple[UUID, int]]
) -> Sequence[EvaluationRow]:
    """The evaluations of these runs at these steps."""
    query = select(EvaluationRow)
    is_wanted = tuple_(EvaluationRow.run_id, EvaluationRow.step).in_(places)
    return (await session.scalars(query.where(is_wanted))).all()


async def latest_evaluations(
    session: AsyncSession, run_ids: Sequence[UUID]
) -> dict[UUID, Mapping[str, Any]]:
    """The evaluation with the greatest step of each run; runs without evaluations are missing."""
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
    """The evaluations of each run after the step named for it, in the order of their steps.

    Runs without such evaluations are missing.
    """
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
