"""The evaluations that runs have reported."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Uuid, and_, cast, func, select, tuple_
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


async def newest_steps(session: AsyncSession, run_ids: Iterable[UUID]) -> dict[UUID, int]:
    """The greatest step at which each run was evaluated; runs without evaluations are missing."""
    query = (
        select(EvaluationRow.run_id, func.max(EvaluationRow.step))
        .where(EvaluationRow.run_id.in_(run_ids))
        .group_by(EvaluationRow.run_id)
    )
    rows = await session.execute(query)
    return {row[0]: row[1] for row in rows}


async def evaluations_after(
    session: AsyncSession, steps: Mapping[UUID, int]
) -> dict[UUID, dict[int, Mapping[str, Any]]]:
    """The evaluations of each run after the step named for it, by their steps, which ascend.

    Runs without such evaluations are missing.
    """
    known = (
        func.unnest(cast(list(steps), ARRAY(Uuid)), cast(list(steps.values()), ARRAY(BigInteger)))
        .table_valued("run_id", "step")
        .render_derived()
    )
    is_later = and_(EvaluationRow.run_id == known.c.run_id, EvaluationRow.step > known.c.step)
    rows = await session.execute(
        select(EvaluationRow.run_id, EvaluationRow.step, EvaluationRow.evaluation)
        .join(known, is_later)
        .order_by(EvaluationRow.step)
    )
    evaluations: dict[UUID, dict[int, Mapping[str, Any]]] = {}
    for run_id, step, evaluation in rows:
        evaluations.setdefault(run_id, {})[step] = evaluation
    return evaluations
