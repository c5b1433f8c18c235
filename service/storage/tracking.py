"""The tracker's position: how far MLflow has been told of each run.

The tracker is the process that copies results to MLflow. It keeps its position in the database, so
that it can be restarted at any time.
"""

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, text, update
from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlalchemy.orm import InstrumentedAttribute

from service.storage.database import Database
from service.storage.deletions import is_deleted
from service.storage.errors import DatabaseAway
from service.storage.states import FindingsState, RunState
from service.storage.study_tables import Study
from service.storage.tables import FindingsRow, Metric, Run, Tracking
from service.storage.tracking_tables import StudyTracking

T = TypeVar("T")

#: Arbitrary number of the Postgres lock that lets only one tracker write to MLflow at a time.
TRACKER_LOCK = 7_205_303
#: Name of our saved view in MLflow: the tracker saves it, and links in the API's answers open it.
SAVED_VIEW = "polar"


@dataclass(frozen=True)
class InMLflow:
    """The MLflow run that stands for a run or a study."""

    #: The id of the run or of the study.
    id: UUID
    mlflow_experiment_id: str
    mlflow_run_id: str


class TrackerLock:
    """A lock that one tracker at a time can hold, for as long as its connection lives."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine
        self._connection: AsyncConnection | None = None

    async def take(self) -> bool:
        """Take the lock if it is free, and return whether it is ours.

        Call this before each pass, because the lock is lost with the connection.

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
            with contextlib.suppress(SQLAlchemyError):  # the lock went with a lost connection
                await self._connection.execute(select(func.pg_advisory_unlock_all()))
            await self._connection.close()
            self._connection = None


async def runs_to_tell(
    session: AsyncSession, *, told_lately: Collection[UUID] = ()
) -> Sequence[UUID]:
    """The runs that have begun and of which MLflow does not have everything, the oldest first.

    Those that were told lately are left out while they are running, which MLflow then knows. So
    are `runs_to_tell_anew`.

    A run that was cancelled before it began is not among them: there is nothing to tell. Nor is a
    run that MLflow knows to have succeeded while its findings are to come.
    """
    is_known_to_run = and_(
        Run.state == RunState.RUNNING,
        Tracking.state == Run.state,
        Tracking.attempt == Run.attempt,
    )
    query = _untold(Run.id).where(
        func.coalesce(~_IS_TO_BE_TOLD_ANEW, True),
        or_(Run.id.not_in(told_lately), func.coalesce(~is_known_to_run, True)),
    )
    return (await session.scalars(query.order_by(Run.created_at))).all()


async def runs_to_tell_anew(session: AsyncSession) -> Sequence[UUID]:
    """The ended runs in MLflow of which it is to be told what people say now, the oldest first.

    One tag on an experiment brings all its runs here.
    """
    query = _untold(Run.id).where(_IS_TO_BE_TOLD_ANEW).order_by(Run.created_at)
    return (await session.scalars(query)).all()


async def count_untold(session: AsyncSession) -> int:
    """How many runs MLflow has yet to be told something of."""
    return await session.scalar(_untold(func.count(Run.id))) or 0


#: MLflow knows the run, whose position has no state any more, because somebody has described it.
_IS_TO_BE_TOLD_ANEW = and_(
    Tracking.attempt > 0, Tracking.state.is_(None), Run.finished_at.is_not(None)
)


def _untold(what: ColumnElement[T] | InstrumentedAttribute[T]) -> Select[T]:
    """Selects something of the runs of which MLflow has yet to be told something."""
    waits_for_findings = and_(
        FindingsRow.state == FindingsState.TO_COME, Tracking.state == RunState.SUCCEEDED
    )
    return (
        select(what)
        .select_from(Run)
        .outerjoin(Tracking, Tracking.run_id == Run.id)
        .outerjoin(FindingsRow, FindingsRow.run_id == Run.id)
        .where(
            Run.attempt > 0,
            ~is_deleted(Run.id),
            or_(Tracking.run_id.is_(None), ~Tracking.complete, Tracking.state.is_(None)),
            func.coalesce(~waits_for_findings, True),
        )
    )


async def position_of(session: AsyncSession, run_id: UUID) -> Tracking | None:
    """How far MLflow has been told of this run; None if it does not know the run."""
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
    """Up to `limit` metrics of this run after this place in their sequence, in that order."""
    query = select(Metric).where(Metric.run_id == run_id, Metric.sequence > sequence)
    return (await session.scalars(query.order_by(Metric.sequence).limit(limit))).all()


async def advance(session: AsyncSession, run_id: UUID, **confirmed: object) -> None:
    """Set the columns of the position, such as `metric_sequence`, that MLflow has confirmed."""
    await session.execute(update(Tracking).where(Tracking.run_id == run_id).values(**confirmed))


async def newest_in_mlflow(session: AsyncSession, limit: int) -> Sequence[InMLflow]:
    """So many runs and so many studies that MLflow has, the newest of each."""
    of_runs = (
        select(Tracking.run_id, Tracking.mlflow_experiment_id, Tracking.mlflow_run_id)
        .join(Run, Run.id == Tracking.run_id)
        .where(~is_deleted(Run.id))
        .order_by(Run.created_at.desc())
    )
    of_studies = (
        select(
            StudyTracking.study_id, StudyTracking.mlflow_experiment_id, StudyTracking.mlflow_run_id
        )
        .join(Study, Study.id == StudyTracking.study_id)
        .order_by(Study.created_at.desc())
    )
    rows = [*await session.execute(of_runs.limit(limit))]
    rows += await session.execute(of_studies.limit(limit))
    return [InMLflow(*row) for row in rows]


async def writes_of_mlflow(session: AsyncSession) -> int | None:
    """How often rows of MLflow's database have been written; None if this server has none.

    Postgres counts it, up to ten seconds late.
    """
    counted = "tup_inserted + tup_updated + tup_deleted"
    query = text(f"select {counted} from pg_stat_database where datname = 'mlflow'")
    return await session.scalar(query)
