"""What pages need to know of rows besides what the API answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import Select, Text, cast, func, literal, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.evaluations import evaluations_at, newest_steps
from service.storage.states import RunState
from service.storage.study_tables import Study, Trial
from service.storage.tables import ExperimentRun, Run


async def standing_of_runs(session: AsyncSession, runs: Select[UUID]) -> str | None:
    """A word that changes whenever the state or the progress of one of these runs changes.

    Args:
        session: Reads rows alone.
        runs: The ids of the runs that count.
    """
    of_run = func.concat_ws(" ", Run.id, Run.state, Run.attempt, cast(Run.progress, Text))
    of_runs = select(func.md5(func.string_agg(of_run, aggregate_order_by(literal("\n"), Run.id))))
    return await session.scalar(of_runs.where(Run.id.in_(runs)))


@dataclass(frozen=True)
class StudyStanding:
    """Words, each of which changes whenever what it stands for changes; None for what is not."""

    itself: str | None
    trials: str | None
    #: The runs of its trials, with their progress.
    runs: str | None


async def standing_of_study(session: AsyncSession, study_id: UUID) -> StudyStanding:
    row = cast(func.row(*Study.__table__.columns), Text)
    itself = await session.scalar(select(func.md5(row)).where(Study.id == study_id))
    of_trial = func.concat_ws(" ", Trial.number, Trial.state)
    of_trials = select(
        func.md5(func.string_agg(of_trial, aggregate_order_by(literal("\n"), Trial.number)))
    )
    trials = await session.scalar(of_trials.where(Trial.study_id == study_id))
    its_runs = (
        select(ExperimentRun.run_id)
        .join(Trial, Trial.experiment_id == ExperimentRun.experiment_id)
        .where(Trial.study_id == study_id)
    )
    return StudyStanding(itself, trials, await standing_of_runs(session, its_runs))


async def headlines(session: AsyncSession, study_ids: Sequence[UUID]) -> dict[UUID, str]:
    """What each study has found in one sentence; studies without a range are missing."""
    headline = type_coerce(Study.range, JSONB)["headline"].as_string()
    rows = await session.execute(
        select(Study.id, headline).where(Study.id.in_(study_ids), headline.is_not(None))
    )
    return {row[0]: row[1] for row in rows}


async def newest_evaluations(
    session: AsyncSession, run_ids: Sequence[UUID]
) -> dict[UUID, Mapping[str, Any]]:
    """The newest evaluation of each run; runs without evaluations are missing."""
    steps = await newest_steps(session, run_ids)
    rows = await evaluations_at(session, steps.items())
    return {row.run_id: row.evaluation for row in rows}


async def in_work(session: AsyncSession) -> Sequence[Run]:
    """The runs that are trained now, the oldest attempt first."""
    query = select(Run).where(Run.state == RunState.RUNNING).order_by(Run.started_at, Run.id)
    return (await session.scalars(query)).all()


@dataclass(frozen=True)
class TrialRun:
    """What is shown of a run of a trial; a `Run` of each of thousands would take much longer."""

    id: UUID
    seed: int
    state: RunState
    status_message: str | None
    progress: Mapping[str, Any] | None


async def runs_of_study(session: AsyncSession, study_id: UUID) -> dict[UUID, list[TrialRun]]:
    """The runs of each experiment of a study, in the order of their seeds."""
    rows = await session.execute(
        select(Trial.experiment_id, Run.id, Run.seed, Run.state, Run.status_message, Run.progress)
        .join(ExperimentRun, ExperimentRun.experiment_id == Trial.experiment_id)
        .join(Run, Run.id == ExperimentRun.run_id)
        .where(Trial.study_id == study_id)
        .order_by(Trial.number, ExperimentRun.position)
    )
    runs: dict[UUID, list[TrialRun]] = {}
    for row in rows:
        shown = TrialRun(row.id, row.seed, row.state, row.status_message, row.progress)
        runs.setdefault(row.experiment_id, []).append(shown)
    return runs
