"""The order in which waiting runs begin, and the turns by which studies share the agents."""

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.states import TrialState
from service.storage.study_tables import Study, Trial
from service.storage.tables import ExperimentRun, Run

#: Order in which the runs of a queue begin: higher priority first, ties to the older job. This is
#: the order in which procrastinate hands out their jobs (`procrastinate_fetch_job_v2`).
QUEUE_ORDER = (Run.priority.desc(), Run.job_id)


def priority_of(turn: int) -> int:
    """The priority of the runs of a trial with this turn: earlier turns have higher priority."""
    return -turn


async def next_turn(session: AsyncSession, study: Study) -> int:
    """The turn of a study's next trial: studies share the agents equally, counted in trainings.

    A study's turn advances by the trainings that the study adds, so a study that has had many
    waits for studies that have had few. The turn is at least the greatest turn that has begun, so
    no study makes up for time before.

    This is start-time fair queueing (Goyal, Vin and Cheng, 1996).
    """
    has_begun = (
        select(ExperimentRun.run_id)
        .join(Run, Run.id == ExperimentRun.run_id)
        .where(ExperimentRun.experiment_id == Trial.experiment_id, Run.attempt > 0)
        .exists()
    )
    is_past = (Trial.state != TrialState.RUNNING) | has_begun
    latest = select(Trial).order_by(Trial.turn.desc(), Trial.number.desc()).limit(1)
    now = await session.scalar(latest.where(is_past))
    own = await session.scalar(latest.where(Trial.study_id == study.id))
    begun = 0 if now is None else now.turn
    return begun if own is None else max(begun, own.turn + await _trainings(session, own))


async def _trainings(session: AsyncSession, trial: Trial) -> int:
    """The number of runs that a trial added: those created in the transaction that created it."""
    query = (
        select(func.count())
        .select_from(ExperimentRun)
        .join(Run, Run.id == ExperimentRun.run_id)
        .where(
            ExperimentRun.experiment_id == trial.experiment_id,
            Run.created_at == trial.created_at,
        )
    )
    return await session.scalar(query) or 0
