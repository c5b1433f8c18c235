"""What running studies still have to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Text, and_, case, cast, func, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from polar.spec.points import SEED, STEPS
from service.storage.deletions import is_deleted
from service.storage.points import COUNTED_STATES
from service.storage.states import RunState, StudyState, TrialState
from service.storage.study_tables import Study, Trial
from service.storage.tables import Experiment, ExperimentRun, Run


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that a trial waits for."""

    state: RunState
    #: The last `Progress` event of the run.
    progress: Mapping[str, Any] | None
    steps: int


@dataclass(frozen=True)
class StudyWork:
    """A running study, and what it has in work."""

    #: Without its range and its note.
    study: Study
    unfinished: Sequence[UnfinishedRun]


@dataclass(frozen=True)
class Spent:
    """What the trials of a study have spent of its budget."""

    #: How many points are finished, as `points.count_completed` counts them.
    points: int = 0
    #: Steps that have begun, as `points.count_steps` counts them; 0 without a budget of steps.
    steps: int = 0


async def work_of(session: AsyncSession, study_ids: Sequence[UUID]) -> Sequence[StudyWork]:
    """The work of those of these studies that are running."""
    light = select(Study).options(
        defer(Study.range, raiseload=True), defer(Study.note, raiseload=True)
    )
    query = light.where(Study.id.in_(study_ids), Study.state == StudyState.RUNNING)
    running = (await session.scalars(query)).all()
    if not running:
        return []
    unfinished = await _unfinished_runs(session, [study.id for study in running])
    return [StudyWork(study, unfinished.get(study.id, [])) for study in running]


async def count_unfinished_runs(session: AsyncSession) -> int:
    """How many runs are unfinished, whoever wants them; deleted runs are wanted by nobody."""
    query = select(func.count(Run.id)).where(Run.finished_at.is_(None), ~is_deleted(Run.id))
    return await session.scalar(query) or 0


async def _unfinished_runs(
    session: AsyncSession, study_ids: Sequence[UUID]
) -> dict[UUID, list[UnfinishedRun]]:
    steps = type_coerce(Run.spec, JSONB)["training"]["steps"].as_integer()
    its = (  # two trials may share a run
        select(Trial.study_id, ExperimentRun.run_id)
        .join(ExperimentRun, ExperimentRun.experiment_id == Trial.experiment_id)
        .where(Trial.study_id.in_(study_ids), Trial.state == TrialState.RUNNING)
        .distinct()
        .subquery()
    )
    rows = await session.execute(
        select(its.c.study_id, Run.state, Run.progress, steps)
        .join(Run, Run.id == its.c.run_id)
        .where(Run.finished_at.is_(None))
    )
    of_studies: dict[UUID, list[UnfinishedRun]] = {}
    for study_id, *columns in map(tuple, rows):
        of_studies.setdefault(study_id, []).append(UnfinishedRun(*columns))
    return of_studies


async def spent_of(session: AsyncSession, study_ids: Sequence[UUID]) -> dict[UUID, Spent]:
    """What the trials of each study have spent, without reading the trials of any."""
    points = await session.execute(
        select(Trial.study_id, func.count(Trial.point.distinct()))
        .where(Trial.study_id.in_(study_ids), Trial.state.in_(COUNTED_STATES))
        .group_by(Trial.study_id)
    )
    n_points = {row[0]: row[1] for row in points}
    n_steps = await _begun_steps(session, study_ids)
    return {id: Spent(n_points.get(id, 0), n_steps.get(id, 0)) for id in study_ids}


async def _begun_steps(session: AsyncSession, study_ids: Sequence[UUID]) -> dict[UUID, int]:
    """The steps of those of these studies that have a budget of steps."""
    is_of_range = and_(
        func.jsonb_typeof(Trial.point) == "object", type_coerce(Trial.point, JSONB).has_key(SEED)
    )
    without = type_coerce(Trial.point, JSONB).op("-")(cast([SEED, STEPS], ARRAY(Text)))
    spec = type_coerce(Experiment.spec, JSONB)
    seed = func.jsonb_array_elements(spec["seeds"]).column_valued("seed", joins_implicitly=True)
    longest = (
        select(
            Trial.study_id, seed, func.max(spec["training"]["steps"].as_integer()).label("steps")
        )
        .join(Study, Study.id == Trial.study_id)
        .join(Experiment, Experiment.id == Trial.experiment_id)
        .where(
            Trial.study_id.in_(study_ids),
            Study.steps_wanted.is_not(None),
            Trial.state.not_in((TrialState.FAILED, TrialState.CANCELLED)),
        )
        .group_by(Trial.study_id, case((is_of_range, without), else_=Trial.point), seed)
        .subquery()
    )
    rows = await session.execute(
        select(longest.c.study_id, func.sum(longest.c.steps)).group_by(longest.c.study_id)
    )
    return {study_id: int(steps) for study_id, steps in rows}
