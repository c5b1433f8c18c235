"""What MLflow is told of names, tags and notes, and that it is told again once they change."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from uuid import UUID

from sqlalchemy import Select, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.states import LOSSES, RunState
from service.storage.study_tables import Study, Trial
from service.storage.tables import Experiment, ExperimentRun, Run, Tracking, Transition
from service.storage.tracking_tables import StudyTracking

#: Most tags that MLflow is told of a run: one request takes 100, of which some are Polar's own,
#: and what was told last has to fit into the value of one.
MOST_TOLD = 50


@dataclass(frozen=True)
class Said:
    """What people say of a run, and of the experiments that asked for it, the oldest first."""

    #: Empty until somebody names the run.
    name: str = ""
    #: The name of the oldest experiment that has one, but for those of trials.
    experiment: str = ""
    #: At most `MOST_TOLD`; the run comes first, then the older experiments.
    tags: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


async def said_of(session: AsyncSession, run_id: UUID) -> Said:
    run = (
        await session.execute(select(Run.name, Run.tags, Run.note).where(Run.id == run_id))
    ).one()
    rows = await session.execute(
        select(Experiment.name, Experiment.tags, Experiment.note)
        .join(ExperimentRun, ExperimentRun.experiment_id == Experiment.id)
        .outerjoin(Trial, Trial.experiment_id == Experiment.id)
        .where(ExperimentRun.run_id == run_id, Trial.experiment_id.is_(None))
        .order_by(Experiment.created_at, Experiment.id)
    )
    asked = rows.all()
    tags: dict[str, str] = {}
    for each in (run, *asked):
        tags = {**tags, **{key: each.tags[key] for key in sorted(each.tags.keys() - tags.keys())}}
    return Said(
        name=run.name,
        experiment=next((each.name for each in asked if each.name), ""),
        tags=dict(islice(tags.items(), MOST_TOLD)),
        notes=[each.note for each in (run, *asked) if each.note],
    )


def said_of_study(study: Study) -> Said:
    return Said(name=study.name, tags=study.tags, notes=[study.note] if study.note else [])


async def lost_attempts(session: AsyncSession, run_id: UUID) -> Sequence[tuple[int, str]]:
    """The numbers of the attempts that the run lost and that another followed, and why."""
    query = (
        select(Transition.attempt, Transition.reason)
        .where(
            Transition.run_id == run_id,
            Transition.state == RunState.QUEUED,
            Transition.reason.in_(LOSSES),
        )
        .order_by(Transition.id)
    )
    return [(attempt, reason or "") for attempt, reason in await session.execute(query)]


async def tell_again(session: AsyncSession, row: Experiment | Run | Study) -> None:
    """Have the tracker tell MLflow of a row, or of the runs of an experiment, once more."""
    match row:
        case Study():
            of_study = StudyTracking.study_id == row.id
            await session.execute(update(StudyTracking).where(of_study).values(state=None))
        case Run():
            await tell_of_runs_again(session, [row.id])
        case Experiment():
            its = select(ExperimentRun.run_id).where(ExperimentRun.experiment_id == row.id)
            await tell_of_runs_again(session, its)


async def tell_of_runs_again(
    session: AsyncSession, run_ids: Collection[UUID] | Select[UUID]
) -> None:
    """Have the tracker tell MLflow of these runs once more."""
    rows = select(Tracking.run_id).where(Tracking.run_id.in_(run_ids))
    # in one order, because two experiments may share runs
    locked = rows.order_by(Tracking.run_id).with_for_update()
    await session.execute(update(Tracking).where(Tracking.run_id.in_(locked)).values(state=None))
