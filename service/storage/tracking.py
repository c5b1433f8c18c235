"""The tracker's position: how far MLflow has been told of each run. A row, not memory."""

import contextlib
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from service.storage.database import Database
from service.storage.errors import DatabaseAway
from service.storage.tables import Metric, Run, Tracking

#: Any number, the same in all processes: only one of them tells MLflow at a time.
TRACKER_LOCK = 7_205_303
#: What MLflow knows our saved view by: the tracker saves it, the links of the API open it.
SAVED_VIEW = "polar"


class TrackerLock:
    """Belongs to one tracker at a time, for as long as its connection lives."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self._connection: AsyncConnection | None = None

    async def take(self) -> bool:
        """Whether the lock is ours; ask before each pass, since a lost connection loses it.

        Raises:
            DatabaseAway: the database does not answer.
        """
        try:
            if self._connection is None:
                connection = await self._engine.connect()
                self._connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
            mine = await self._connection.scalar(select(func.pg_try_advisory_lock(TRACKER_LOCK)))
        except (InterfaceError, OperationalError) as error:
            await self.release()
            raise DatabaseAway(f"the database does not answer: {error.args[0]}") from error
        return bool(mine)

    async def release(self) -> None:
        """Leave the lock to another tracker."""
        if self._connection is not None:
            with contextlib.suppress(SQLAlchemyError):  # a lost connection has lost it already
                await self._connection.execute(select(func.pg_advisory_unlock_all()))
            await self._connection.close()
            self._connection = None


async def runs_to_tell(session: AsyncSession) -> Sequence[UUID]:
    """Runs that have begun and are not wholly told, the oldest first.

    A run that was cancelled before it began has nothing to tell.
    """
    query = (
        select(Run.id)
        .outerjoin(Tracking, Tracking.run_id == Run.id)
        .where(Run.attempt > 0, or_(Tracking.run_id.is_(None), ~Tracking.complete))
        .order_by(Run.created_at)
    )
    return (await session.scalars(query)).all()


async def position_of(session: AsyncSession, run_id: UUID) -> Tracking | None:
    """How far MLflow has been told of this run; None when it knows nothing of it."""
    return await session.get(Tracking, run_id)


async def positions_of(session: AsyncSession, run_ids: Sequence[UUID]) -> dict[UUID, Tracking]:
    """How far MLflow has been told of these runs, for those that it knows."""
    found = await session.scalars(select(Tracking).where(Tracking.run_id.in_(run_ids)))
    return {position.run_id: position for position in found}


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
