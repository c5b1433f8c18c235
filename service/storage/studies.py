"""Studies and their trials: what was submitted, how far it has come, and how it ended."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from polar.records.ranges import StudyRange
from polar.records.trials import Measured
from polar.spec import StudySpec
from polar.spec.extending import extended
from polar.spec.points import Point
from service.descriptions import NOTHING_SAID, Description
from service.storage import forms
from service.storage.errors import Conflict, NotFound
from service.storage.filters import EVERYTHING, Wanted, newest_first
from service.storage.states import StudyState, TrialState, may_become
from service.storage.study_tables import Study, Trial
from service.storage.tables import ExperimentRun, Run

UNFINISHED = (StudyState.RUNNING, StudyState.PAUSED)
#: Reason of a study that failed because the broker could not advance it, and of its trials.
BROKER_FAILS = "broker_fails"
#: Reason of a run that a pruner stopped because it had collapsed, and of a trial that was judged
#: by such a collapse.
COLLAPSED = "collapsed"


async def create(
    session: AsyncSession,
    spec: StudySpec,
    dataset_digest: str,
    said: Description = NOTHING_SAID,
) -> Study:
    """Store a study, which the broker will begin."""
    study = Study(
        name=spec.name,
        spec=spec.model_dump(mode="json"),
        dataset_digest=dataset_digest,
        trials_wanted=spec.trials,
        steps_wanted=spec.budget.steps,
        seeds_wanted=list(spec.base.seeds),
        tags=said.tags,
        note=said.note,
    )
    session.add(study)
    await session.flush()
    return study


async def get(session: AsyncSession, study_id: UUID) -> Study:
    """The study with this id.

    Raises:
        NotFound: no study has this id.
    """
    study = await session.get(Study, study_id)
    if study is None:
        raise NotFound("study", study_id)
    return study


async def locked(session: AsyncSession, study_id: UUID) -> Study:
    """The study with this id, locked: nobody else changes it before this transaction ends.

    Raises:
        NotFound: no study has this id.
    """
    study = await session.get(Study, study_id, with_for_update=True, populate_existing=True)
    if study is None:
        raise NotFound("study", study_id)
    return study


def spec_of(study: Study) -> StudySpec:
    """The spec of a study as it was submitted, with the seeds and steps that were added later.

    Raises:
        EarlierVersion: the spec was accepted by a version that allowed more.
    """
    spec = forms.study_spec(study.spec)
    return extended(spec, study.seeds_wanted, study.training_steps_wanted)


async def page(
    session: AsyncSession,
    *,
    size: int,
    after: tuple[datetime, UUID] | None,
    wanted: Wanted = EVERYTHING,
) -> Sequence[Study]:
    """Up to `size` studies without specs, ranges and notes, newest first, after this place."""
    heavy = (Study.spec, Study.range, Study.note)
    light = select(Study).options(*(defer(column, raiseload=True) for column in heavy))
    return (await session.scalars(newest_first(light, Study, wanted, size, after))).all()


async def unfinished(session: AsyncSession) -> Sequence[UUID]:
    """The studies that the broker still has to work on, the oldest first.

    They include studies that have ended while trials are in flight, or while Optuna does not know
    how all trials ended.
    """
    query = select(Study.id).where(~Study.is_told).order_by(Study.created_at)
    return (await session.scalars(query)).all()


async def trials_of(session: AsyncSession, study_id: UUID, *states: TrialState) -> Sequence[Trial]:
    """The trials of a study by number: those in these states, or all if no state is named."""
    query = select(Trial).where(Trial.study_id == study_id).order_by(Trial.number)
    if states:
        query = query.where(Trial.state.in_(states))
    return (await session.scalars(query)).all()


async def trial_of(session: AsyncSession, study_id: UUID, number: int) -> Trial:
    return await session.get_one(Trial, (study_id, number))


async def begin_trial(
    session: AsyncSession,
    study: Study,
    *,
    number: int,
    point: Point,
    experiment_id: UUID,
    turn: int,
) -> Trial:
    """Store a new trial, in the transaction that creates its experiment."""
    trial = Trial(
        study_id=study.id, number=number, point=point, experiment_id=experiment_id, turn=turn
    )
    session.add(trial)
    await session.flush()
    return trial


async def end_trial(
    session: AsyncSession,
    trial: Trial,
    state: TrialState,
    *,
    values: list[float] | None = None,
    measured: Measured | None = None,
    reason: str | None = None,
    message: str | None = None,
) -> None:
    """Store how a trial ended."""
    assert may_become(trial.state, state), f"trial {trial.number} is {trial.state}, not {state}"
    now = await session.scalar(select(func.now()))
    trial.state, trial.finished_at = state, now
    trial.values, trial.measured = values, measured
    trial.status_reason, trial.status_message = reason, message
    await session.flush()


async def supersede(session: AsyncSession, trial: Trial, by: Trial) -> None:
    """Set a completed trial aside, because a trial of the same point has more seeds or steps."""
    assert may_become(trial.state, TrialState.SUPERSEDED), f"trial {trial.number} {trial.state}"
    more = "seeds" if len(by.seeds) > len(trial.seeds) else "steps"
    trial.state, trial.status_reason = TrialState.SUPERSEDED, f"more_{more}"
    trial.status_message = f"trial {by.number} tried the same point with more {more}"
    await session.flush()


async def end(
    session: AsyncSession, study: Study, state: StudyState, reason: str, message: str
) -> None:
    """End a study, and leave its trials in flight to the caller."""
    assert may_become(study.state, state), f"study {study.id} is {study.state}, not {state}"
    now = await session.scalar(select(func.now()))
    study.state, study.finished_at = state, now
    study.status_reason, study.status_message = reason, message
    await session.flush()


async def give_up(session: AsyncSession, study_id: UUID, message: str) -> Sequence[UUID]:
    """Fail a study that cannot be advanced, and return the experiments of its trials in flight.

    The trials fail with the study, because nobody would ever judge them. If the study has ended
    already, Optuna cannot be told how its trials ended, and the broker will not try again.

    Raises:
        NotFound: no study has this id.
    """
    study = await locked(session, study_id)
    in_flight = await trials_of(session, study_id, TrialState.RUNNING)
    for trial in in_flight:
        await end_trial(session, trial, TrialState.FAILED, reason=BROKER_FAILS, message=message)
    if study.state in UNFINISHED:
        await end(session, study, StudyState.FAILED, BROKER_FAILS, message)
    else:
        study.is_told = True
    return [trial.experiment_id for trial in in_flight]


async def go_on(session: AsyncSession, study: Study) -> None:
    """Let a study go on that was paused or has ended."""
    study.state, study.status_reason, study.status_message = StudyState.RUNNING, None, None
    study.finished_at, study.is_told = None, False
    await session.flush()


async def pause(session: AsyncSession, study_id: UUID) -> Study:
    """Begin no new trials of a study until `resume`; trials in flight go on.

    Raises:
        NotFound: no study has this id.
        Conflict: the study has ended.
    """
    study = await locked(session, study_id)
    _refuse_ended(study, "paused")
    study.state = StudyState.PAUSED
    study.status_reason, study.status_message = "user", "paused on request"
    await session.flush()
    return study


async def resume(session: AsyncSession, study_id: UUID) -> Study:
    """Let a paused study go on.

    Raises:
        NotFound: no study has this id.
        Conflict: the study has ended.
    """
    study = await locked(session, study_id)
    _refuse_ended(study, "resumed")
    await go_on(session, study)
    return study


async def cancel(session: AsyncSession, study_id: UUID) -> list[UUID]:
    """Mark a study as cancelled, and return the experiments of its trials in flight.

    Raises:
        NotFound: no study has this id.
        Conflict: the study has ended in another way.
    """
    study = await locked(session, study_id)
    if study.state is not StudyState.CANCELLED:
        _refuse_ended(study, "cancelled")
        await end(session, study, StudyState.CANCELLED, "user", "cancelled on request")
    query = select(Trial.experiment_id).where(
        Trial.study_id == study_id, Trial.state == TrialState.RUNNING
    )
    return list(await session.scalars(query))


async def runs_of(session: AsyncSession, experiment_ids: Sequence[UUID]) -> dict[UUID, list[Run]]:
    """The runs of each experiment, in the order of their seeds."""
    rows = await session.execute(
        select(ExperimentRun.experiment_id, Run)
        .join(Run, Run.id == ExperimentRun.run_id)
        .where(ExperimentRun.experiment_id.in_(experiment_ids))
        .order_by(ExperimentRun.position)
    )
    runs: dict[UUID, list[Run]] = {id: [] for id in experiment_ids}
    for experiment_id, run in rows:
        runs[experiment_id].append(run)
    return runs


async def page_of_trials(
    session: AsyncSession, study_id: UUID, *, size: int, after: int | None
) -> Sequence[Trial]:
    """Up to `size` trials of a study, in ascending order, whose numbers exceed this number."""
    query = select(Trial).where(Trial.study_id == study_id).order_by(Trial.number)
    if after is not None:
        query = query.where(Trial.number > after)
    return (await session.scalars(query.limit(size))).all()


async def states_of_trials(
    session: AsyncSession, study_ids: Sequence[UUID]
) -> dict[UUID, Counter[TrialState]]:
    """How many trials of each study are in each state."""
    rows = await session.execute(
        select(Trial.study_id, Trial.state, func.count())
        .where(Trial.study_id.in_(study_ids))
        .group_by(Trial.study_id, Trial.state)
    )
    counts: dict[UUID, Counter[TrialState]] = {id: Counter() for id in study_ids}
    for study_id, state, count in rows:
        counts[study_id][state] = count
    return counts


def is_answered_by_former_rules(study: Study, trials: Sequence[Trial]) -> bool:
    """Whether the range was computed from trials whose verdicts are stored in another form.

    An earlier version stored them so, and a range computed now would lack them.

    Args:
        study: The study.
        trials: All its trials.
    """
    return isinstance(study.range, StudyRange) and any(
        trial.state is TrialState.COMPLETED
        and not (isinstance(trial.measured, Measured) and trial.measured.observations)
        for trial in trials
    )


def _refuse_ended(study: Study, what: str) -> None:
    if study.state not in UNFINISHED:
        raise Conflict(f"study {study.id} has already ended: it is {study.state}, not {what}")
