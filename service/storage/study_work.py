"""What running studies still have to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from service.storage.points import COUNTED_STATES, count_steps
from service.storage.states import RunState, StudyState, TrialState
from service.storage.study_tables import Study, Trial
from service.storage.tables import ExperimentRun, Run


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that a trial waits for."""

    state: RunState
    #: The last `Progress` event of the run.
    progress: Mapping[str, Any] | None
    steps: int


@dataclass(frozen=True)
class StudyWork:
    """What a running study has in work, and what it has finished."""

    #: Without its range and its note.
    study: Study
    unfinished: Sequence[UnfinishedRun]
    #: Trials in flight.
    n_in_flight: int
    #: How many points are finished, as `points.count_completed` counts them.
    n_finished: int
    #: Steps that the budget may still begin; None without a budget of steps.
    steps_left: int | None


async def work_of(session: AsyncSession, study_ids: Sequence[UUID]) -> Sequence[StudyWork]:
    """The work of those of these studies that are running."""
    light = select(Study).options(
        defer(Study.range, raiseload=True), defer(Study.note, raiseload=True)
    )
    query = light.where(Study.id.in_(study_ids), Study.state == StudyState.RUNNING)
    running = (await session.scalars(query)).all()
    ids = [study.id for study in running]
    if not ids:
        return []
    unfinished = await _unfinished_runs(session, ids)
    counts = await _counts(session, ids)
    return [
        StudyWork(
            study,
            unfinished.get(study.id, []),
            *counts.get(study.id, (0, 0)),
            steps_left=None
            if study.steps_wanted is None
            else max(study.steps_wanted - await _begun_steps(session, study.id), 0),
        )
        for study in running
    ]


async def count_unfinished_runs(session: AsyncSession) -> int:
    """How many runs are unfinished, whoever wants them."""
    query = select(func.count()).select_from(Run).where(Run.finished_at.is_(None))
    return await session.scalar(query) or 0


async def _unfinished_runs(
    session: AsyncSession, study_ids: Sequence[UUID]
) -> dict[UUID, list[UnfinishedRun]]:
    steps = type_coerce(Run.spec, JSONB)["training"]["steps"].as_integer()
    rows = await session.execute(
        select(Trial.study_id, Run.state, Run.progress, steps)
        .join(ExperimentRun, ExperimentRun.experiment_id == Trial.experiment_id)
        .join(Run, Run.id == ExperimentRun.run_id)
        .where(
            Trial.study_id.in_(study_ids),
            Trial.state == TrialState.RUNNING,
            Run.finished_at.is_(None),
        )
    )
    of_studies: dict[UUID, list[UnfinishedRun]] = {}
    for study_id, *columns in map(tuple, rows):
        of_studies.setdefault(study_id, []).append(UnfinishedRun(*columns))
    return of_studies


async def _counts(session: AsyncSession, study_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """How many trials of each study are in flight, and how many points are finished."""
    rows = await session.execute(
        select(
            Trial.study_id,
            func.count().filter(Trial.state == TrialState.RUNNING),
            func.count(Trial.point.distinct()).filter(Trial.state.in_(COUNTED_STATES)),
        )
        .where(Trial.study_id.in_(study_ids))
        .group_by(Trial.study_id)
    )
    return {row[0]: (row[1], row[2]) for row in rows}


async def _begun_steps(session: AsyncSession, study_id: UUID) -> int:
    light = select(Trial).options(defer(Trial.measured, raiseload=True))
    return count_steps((await session.scalars(light.where(Trial.study_id == study_id))).all())
