"""The tracker's position: how far MLflow has been told of each run. A row, not memory."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.tables import Metric, Run, Tracking


async def runs_to_tell(session: AsyncSession, limit: int) -> Sequence[Run]:
    """Runs that have begun and are not wholly told, the oldest first.

    A run that was cancelled before it began has nothing to tell.
    """
    query = (
        select(Run)
        .outerjoin(Tracking, Tracking.run_id == Run.id)
        .where(Run.attempt > 0, or_(Tracking.run_id.is_(None), ~Tracking.complete))
        .order_by(Run.created_at)
        .limit(limit)
    )
    return (await session.scalars(query)).all()


async def position_of(session: AsyncSession, run_id: UUID) -> Tracking | None:
    """How far MLflow has been told of this run; None when it knows nothing of it."""
    return await session.get(Tracking, run_id)


async def begin(
    session: AsyncSession, run_id: UUID, *, mlflow_experiment_id: str, mlflow_run_id: str
) -> Tracking:
    """Note the MLflow run that stands for this run from now on."""
    position = Tracking(
        run_id=run_id, mlflow_experiment_id=mlflow_experiment_id, mlflow_run_id=mlflow_run_id
    )
    session.add(position)
    await session.flush()
    return position


async def metrics_after(
    session: AsyncSession, run_id: UUID, sequence: int, limit: int
) -> Sequence[Metric]:
    """The next metrics of this run that MLflow does not have, in the order of writing."""
    query = select(Metric).where(Metric.run_id == run_id, Metric.sequence > sequence)
    return (await session.scalars(query.order_by(Metric.sequence).limit(limit))).all()


async def advance(session: AsyncSession, run_id: UUID, **told: object) -> None:
    """Move the position, after MLflow has confirmed: `metric_sequence`, `state`, `complete`..."""
    await session.execute(update(Tracking).where(Tracking.run_id == run_id).values(**told))
