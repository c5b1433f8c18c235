"""What answers show of runs, in as few statements as possible."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import ScalarSelect, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from service.storage.forms import Content
from service.storage.tables import EvaluationRow, ExperimentRun, FindingsRow, Run, Tracking
from service.storage.tracking_tables import TrackingFailure


@dataclass(frozen=True)
class RunOfAnswer:
    """A run of an experiment, without its spec, and what other tables say of it."""

    run: Run
    #: Where MLflow has it; None if it does not have it yet.
    tracked: Tracking | None
    #: The evaluation with the greatest step.
    evaluation: Mapping[str, Any] | None


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


async def runs_of(session: AsyncSession, experiment_id: UUID) -> Sequence[RunOfAnswer]:
    """The runs of an experiment, in the order of its seeds."""
    rows = await session.execute(
        select(Run, Tracking, _newest_evaluation())
        .join(ExperimentRun, ExperimentRun.run_id == Run.id)
        .outerjoin(Tracking, Tracking.run_id == Run.id)
        .where(ExperimentRun.experiment_id == experiment_id)
        .order_by(ExperimentRun.position)
        .options(defer(Run.spec, raiseload=True), defer(Run.started, raiseload=True))
    )
    return [RunOfAnswer(*row) for row in rows]


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
