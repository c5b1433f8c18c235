"""The tracker's position in studies: what it still has to tell MLflow, and the runs it made there.

The tracker is the process that copies results to MLflow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, and_, delete, func, or_, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.study_tables import Study, Trial
from service.storage.tables import ExperimentRun, Tracking
from service.storage.tracking_tables import NestedRun, StudyTracking, TrialTracking


@dataclass(frozen=True)
class TrialToTell:
    """A trial that has begun or ended since MLflow was last told of it."""

    trial: Trial
    #: The number of the trial's runs.
    seeds: int
    #: None if MLflow does not know the trial yet.
    position: TrialTracking | None


@dataclass(frozen=True)
class Nesting:
    """A run that MLflow is to show below its trial, or below the study if it is the only run."""

    run_id: UUID
    mlflow_run_id: str
    mlflow_parent_id: str
    study_id: UUID
    #: The number of the trial.
    number: int


async def studies_to_tell(session: AsyncSession) -> Sequence[UUID]:
    """The studies with changes that MLflow has not been told of, the oldest first."""
    query = (
        select(Study.id)
        .outerjoin(StudyTracking, StudyTracking.study_id == Study.id)
        .where(
            or_(
                StudyTracking.study_id.is_(None),
                StudyTracking.state.is_distinct_from(Study.state),
                StudyTracking.finished_at.is_distinct_from(Study.finished_at),
                select(Trial.number)
                .outerjoin(TrialTracking, _is_its_position())
                .where(Trial.study_id == Study.id, _is_new())
                .exists(),
            )
        )
        .order_by(Study.created_at)
    )
    return (await session.scalars(query)).all()


async def trials_to_tell(
    session: AsyncSession, study_id: UUID, limit: int
) -> Sequence[TrialToTell]:
    """The next trials of a study whose present states MLflow does not know, by number."""
    seeds = (
        select(func.count())
        .where(ExperimentRun.experiment_id == Trial.experiment_id)
        .scalar_subquery()
    )
    rows = await session.execute(
        select(Trial, seeds, TrialTracking)
        .outerjoin(TrialTracking, _is_its_position())
        .where(Trial.study_id == study_id, _is_new())
        .order_by(Trial.number)
        .limit(limit)
    )
    return [TrialToTell(trial, count, position) for trial, count, position in rows]


async def ended_trials_of_running(session: AsyncSession) -> dict[UUID, int]:
    """How many trials have ended of each study in MLflow that has not ended itself."""
    rows = await session.execute(
        select(Study.id, func.count(Trial.finished_at).label("ended"))
        .join(StudyTracking, StudyTracking.study_id == Study.id)
        .join(Trial, Trial.study_id == Study.id)
        .where(Study.finished_at.is_(None))
        .group_by(Study.id)
    )
    return {row.id: row.ended for row in rows}


def _is_its_position() -> ColumnElement[bool]:
    return and_(TrialTracking.study_id == Trial.study_id, TrialTracking.number == Trial.number)


def _is_new() -> ColumnElement[bool]:
    return TrialTracking.state.is_distinct_from(Trial.state)


async def mlflow_run_of_study(session: AsyncSession, study_id: UUID) -> StudyTracking | None:
    """The MLflow run that stands for a study, and its MLflow experiment; None before it exists."""
    return await session.get(StudyTracking, study_id)


async def mlflow_runs_of_trials(session: AsyncSession, study_id: UUID) -> dict[int, str]:
    """The MLflow run that stands for each trial, by the trial's number.

    For a trial with one seed, that is the MLflow run of this seed. Trials and seeds that MLflow
    has not been told of yet are missing.
    """
    rows = await session.execute(
        select(
            TrialTracking.number,
            func.coalesce(TrialTracking.mlflow_run_id, func.min(Tracking.mlflow_run_id)),
        )
        .join(Trial, _is_its_position())
        .join(ExperimentRun, ExperimentRun.experiment_id == Trial.experiment_id)
        .outerjoin(Tracking, Tracking.run_id == ExperimentRun.run_id)
        .where(TrialTracking.study_id == study_id)
        .group_by(TrialTracking.study_id, TrialTracking.number)
    )
    return {number: run_id for number, run_id in rows if run_id is not None}


async def begin_study(
    session: AsyncSession, study_id: UUID, *, mlflow_experiment_id: str, mlflow_run_id: str
) -> StudyTracking:
    """Note the MLflow run that stands for this study from now on."""
    position = StudyTracking(
        study_id=study_id, mlflow_experiment_id=mlflow_experiment_id, mlflow_run_id=mlflow_run_id
    )
    session.add(position)
    await session.flush()
    return position


async def begin_trial(
    session: AsyncSession, trial: Trial, mlflow_run_id: str | None
) -> TrialTracking:
    """Note the MLflow run that stands for this trial; None if the run of its only seed does."""
    position = TrialTracking(
        study_id=trial.study_id, number=trial.number, mlflow_run_id=mlflow_run_id
    )
    session.add(position)
    await session.flush()
    return position


async def advance_trials(session: AsyncSession, trials: Sequence[Trial]) -> None:
    """Note that MLflow has confirmed the present states of these trials."""
    for trial in trials:
        position = await session.get_one(TrialTracking, (trial.study_id, trial.number))
        position.state = trial.state
    await session.flush()


async def advance(session: AsyncSession, study: Study) -> None:
    """Note that MLflow has confirmed the present state of a study, and what is said of it.

    If somebody has described the study anew since it was read, it is to be told again.
    """
    position = await session.get_one(StudyTracking, study.id)
    position.state, position.finished_at = study.state, study.finished_at
    await session.flush()  # waits for whoever describes it
    described_at = await session.scalar(select(Study.described_at).where(Study.id == study.id))
    if described_at != study.described_at:
        position.state = None
    await session.flush()


async def runs_to_nest(session: AsyncSession) -> dict[UUID, Nesting]:
    """The trials' runs that MLflow knows and does not show below a trial or study yet, by id.

    A run that several trials share belongs for good to the oldest of them.
    """
    oldest = (
        select(Tracking.run_id, Tracking.mlflow_run_id, Trial.study_id, Trial.number)
        .join(ExperimentRun, ExperimentRun.run_id == Tracking.run_id)
        .join(Trial, Trial.experiment_id == ExperimentRun.experiment_id)
        .outerjoin(NestedRun, NestedRun.run_id == Tracking.run_id)
        .where(NestedRun.run_id.is_(None))
        .ext(distinct_on(Tracking.run_id))
        .order_by(Tracking.run_id, Trial.created_at, Trial.study_id, Trial.number)
        .subquery()
    )
    rows = await session.execute(
        select(
            oldest.c.run_id,
            oldest.c.mlflow_run_id,
            func.coalesce(TrialTracking.mlflow_run_id, StudyTracking.mlflow_run_id),
            oldest.c.study_id,
            oldest.c.number,
        )
        .join(StudyTracking, StudyTracking.study_id == oldest.c.study_id)
        .join(
            TrialTracking,
            and_(
                TrialTracking.study_id == oldest.c.study_id,
                TrialTracking.number == oldest.c.number,
            ),
        )
    )
    return {row.run_id: Nesting(*row) for row in rows}


async def nest_again(session: AsyncSession, run_id: UUID) -> None:
    """Have MLflow told once more which trial or study it shows a run below, and its name there."""
    await session.execute(delete(NestedRun).where(NestedRun.run_id == run_id))


async def nest_all_again(session: AsyncSession, study_id: UUID) -> None:
    """The same for all runs of a study, whose name is in theirs."""
    await session.execute(delete(NestedRun).where(NestedRun.study_id == study_id))


async def nest(session: AsyncSession, nesting: Nesting) -> None:
    """Note that MLflow has confirmed which trial or study it shows a run below."""
    session.add(NestedRun(run_id=nesting.run_id, study_id=nesting.study_id, number=nesting.number))
    await session.flush()
