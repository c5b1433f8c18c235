"""What answers show of runs, in as few statements as possible."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ScalarSelect, Select, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.deletions import is_deleted
from service.storage.filters import (
    EVERYTHING,
    Wanted,
    dataset_of,
    model_of,
    newest_first,
    steps_of,
    weight_name_of,
    weight_of,
)
from service.storage.forms import Content
from service.storage.states import RunState
from service.storage.study_tables import Study
from service.storage.tables import EvaluationRow, ExperimentRun, FindingsRow, Run, Tracking
from service.storage.tracking_tables import StudyTracking, TrackingFailure


@dataclass(frozen=True)
class _RunInShort:
    """What is shown of every run.

    It is no `Run`, because a thousand of those keep a process busy for a tenth of a second.
    """

    id: UUID
    name: str
    tags: Mapping[str, str]
    seed: int
    state: RunState
    reason: str | None
    message: str | None


_IN_SHORT = (
    Run.id, Run.name, Run.tags, Run.seed, Run.state, Run.status_reason, Run.status_message,
)  # fmt: skip


@dataclass(frozen=True)
class ShownRun(_RunInShort):
    """What is shown of a run of an experiment."""

    created_at: datetime
    progress: Mapping[str, Any] | None
    result: Mapping[str, Any] | None
    #: Where MLflow has it; None if it does not have it yet.
    tracked: Tracking | None
    #: The evaluation with the greatest step.
    evaluation: Mapping[str, Any] | None


@dataclass(frozen=True)
class ListedRun(_RunInShort):
    """What a list shows of a run."""

    dataset: str
    model: str
    #: What the weight of the model is called; None if it has none.
    weight_name: str | None
    weight: float | None
    #: The number of steps that the spec asks for.
    steps: int | None
    #: The regime at the end; None until the run has succeeded.
    regime: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


@dataclass(frozen=True)
class About:
    """What other tables say of a run."""

    tracked: Tracking | None
    findings: FindingsRow | None
    #: Why MLflow still lacks something of it.
    mlflow_error: str | None
    evaluation: Mapping[str, Any] | None


def _newest_evaluation() -> ScalarSelect[Content]:
    return (
        select(EvaluationRow.evaluation)
        .where(EvaluationRow.run_id == Run.id)
        .order_by(EvaluationRow.step.desc())
        .limit(1)
        .scalar_subquery()
    )


async def runs_of(session: AsyncSession, experiment_id: UUID) -> Sequence[ShownRun]:
    """The runs of an experiment, in the order of its seeds."""
    rows = await session.execute(
        select(
            *_IN_SHORT,
            Run.created_at,
            Run.progress,
            Run.result,
            Tracking,
            _newest_evaluation(),
        )
        .join(ExperimentRun, ExperimentRun.run_id == Run.id)
        .outerjoin(Tracking, Tracking.run_id == Run.id)
        .where(ExperimentRun.experiment_id == experiment_id)
        .order_by(ExperimentRun.position)
    )
    return [ShownRun(*columns) for columns in map(tuple, rows)]


async def page_of_runs(
    session: AsyncSession,
    *,
    size: int,
    after: tuple[datetime, UUID] | None,
    wanted: Wanted = EVERYTHING,
) -> Sequence[ListedRun]:
    """Up to `size` runs, newest first, after this time and id."""
    rows = await session.execute(listed_runs(size, after, wanted))
    return [ListedRun(*columns) for columns in map(tuple, rows)]


def listed_runs(
    size: int, after: tuple[datetime, UUID] | None, wanted: Wanted
) -> Select[*tuple[Any, ...]]:
    """The columns of `ListedRun` of the runs that `page_of_runs` returns."""
    rows = select(
        *_IN_SHORT,
        dataset_of(Run),
        model_of(Run),
        weight_name_of(Run),
        weight_of(Run),
        steps_of(Run),
        type_coerce(Run.result, JSONB)["final"]["verdict"]["regime"].as_string(),
        Run.created_at,
        Run.started_at,
        Run.finished_at,
    ).where(~is_deleted(Run.id))
    return newest_first(rows, Run, wanted, size, after)


async def about(session: AsyncSession, run_id: UUID) -> About:
    """What other tables say of a run that exists."""
    rows = await session.execute(
        select(Tracking, FindingsRow, TrackingFailure.why, _newest_evaluation())
        .select_from(Run)
        .outerjoin(Tracking, Tracking.run_id == Run.id)
        .outerjoin(FindingsRow, FindingsRow.run_id == Run.id)
        .outerjoin(TrackingFailure, TrackingFailure.id == Run.id)
        .where(Run.id == run_id)
    )
    return About(*rows.one())


async def in_mlflow(
    session: AsyncSession, study_id: UUID
) -> tuple[StudyTracking | None, str | None]:
    """The MLflow run that stands for a study that exists, and why MLflow still lacks something."""
    rows = await session.execute(
        select(StudyTracking, TrackingFailure.why)
        .select_from(Study)
        .outerjoin(StudyTracking, StudyTracking.study_id == Study.id)
        .outerjoin(TrackingFailure, TrackingFailure.id == Study.id)
        .where(Study.id == study_id)
    )
    tracked, why = rows.one()
    return tracked, why
