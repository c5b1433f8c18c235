"""Studies and their trials: what was submitted, how far it has come, and how it ended."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.trials import Measured
from polar.spec import StudySpec
from polar.spec.experiment import MOST_SEEDS
from polar.spec.study import SEED, Point
from service.storage import forms
from service.storage.errors import Conflict, NotFound
from service.storage.states import StudyState, TrialState, may_become
from service.storage.study_tables import Study, Trial
from service.storage.tables import ExperimentRun, Run

UNFINISHED = (StudyState.RUNNING, StudyState.PAUSED)
#: Reason of a study that failed because the broker could not advance it, and of its trials.
BROKER_FAILS = "broker_fails"


async def create(session: AsyncSession, spec: StudySpec, dataset_digest: str) -> Study:
    """Store a study, which the broker will begin."""
    study = Study(
        name=spec.name,
        spec=spec.model_dump(mode="json"),
        dataset_digest=dataset_digest,
        trials_wanted=spec.trials,
        steps_wanted=spec.budget.steps,
        seeds_wanted=list(spec.base.seeds),
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


async def page(
    session: AsyncSession, *, size: int, after: tuple[datetime, UUID] | None
) -> Sequence[Study]:
    """Up to `size` studies, newest first, that follow this creation time and id."""
    query = select(Study).order_by(Study.created_at.desc(), Study.id.desc())
    if after is not None:
        query = query.where(tuple_(Study.created_at, Study.id) < after)
    return (await session.scalars(query.limit(size))).all()


async def unfinished(session: AsyncSession) -> Sequence[UUID]:
    """The studies that the broker still has to work on, the oldest first.

    They include cancelled studies whose last trial has not ended yet.
    """
    in_flight = select(Trial.study_id).where(Trial.state == TrialState.RUNNING)
    query = select(Study.id).where(Study.state.in_(UNFINISHED) | Study.id.in_(in_flight))
    return (await session.scalars(query.order_by(Study.created_at))).all()


async def trials_of(session: AsyncSession, study_id: UUID, *states: TrialState) -> Sequence[Trial]:
    """The trials of a study by number: those in these states, or all if no state is named."""
    query = select(Trial).where(Trial.study_id == study_id).order_by(Trial.number)
    if states:
        query = query.where(Trial.state.in_(states))
    return (await session.scalars(query)).all()


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
    """Set a completed trial aside, because a trial of the same point has more seeds."""
    assert may_become(trial.state, TrialState.SUPERSEDED), f"trial {trial.number} {trial.state}"
    trial.state, trial.status_reason = TrialState.SUPERSEDED, "more_seeds"
    trial.status_message = f"trial {by.number} tried the same point with more seeds"
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

    The trials fail with the study, because nobody would ever judge them.

    Raises:
        NotFound: no study has this id.
    """
    study = await locked(session, study_id)
    in_flight = await trials_of(session, study_id, TrialState.RUNNING)
    for trial in in_flight:
        await end_trial(session, trial, TrialState.FAILED, reason=BROKER_FAILS, message=message)
    if study.state in UNFINISHED:
        await end(session, study, StudyState.FAILED, BROKER_FAILS, message)
    return [trial.experiment_id for trial in in_flight]


async def go_on(session: AsyncSession, study: Study) -> None:
    """Let a study go on that was paused or has ended."""
    study.state, study.status_reason, study.status_message = StudyState.RUNNING, None, None
    study.finished_at = None
    await session.flush()


async def _let_go_on(session: AsyncSession, study: Study) -> None:
    """Count failures and hours anew, and let the study go on unless it is paused."""
    study.went_on_at = await session.scalar(select(func.now()))
    if study.state is not StudyState.PAUSED:
        await go_on(session, study)


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


async def extend(
    session: AsyncSession, study_id: UUID, *, trials: int = 0, seeds: Sequence[int] = ()
) -> Study:
    """Ask a study for more completed trials, and for more seeds in every trial.

    Points that were completed or are in flight with fewer seeds are tried again in new trials,
    which share the runs that go on or have succeeded. The trainings of a range study have one seed
    each; its new trials may have the new seeds.

    Raises:
        NotFound: no study has this id.
        Conflict: the study was cancelled, already has one of these seeds, would have too many, or
            gets seeds for a range without trials that could have them.
        EarlierVersion: the study has a budget of steps, and a spec of an earlier version.
    """
    study = await locked(session, study_id)
    if study.state is StudyState.CANCELLED:
        raise Conflict(f"study {study_id} was cancelled and cannot be extended")
    if len(study.seeds_wanted) + len(seeds) > MOST_SEEDS:
        have = len(study.seeds_wanted)
        raise Conflict(f"study {study_id} has {have} seeds; allowed: at most {MOST_SEEDS}")
    known = sorted(set(seeds) & set(study.seeds_wanted))
    if known:
        raise Conflict(f"study {study_id} has these seeds already: {known}")
    is_range = study.spec.get("sampler") == "range"
    if seeds and is_range and not trials:
        raise Conflict(
            f"study {study_id} searches a range with one seed in each trial, and more seeds alone "
            "would change nothing; allowed: more trials, or more trials and seeds"
        )
    study.trials_wanted += trials
    study.seeds_wanted = [*study.seeds_wanted, *dict.fromkeys(seeds)]
    if study.steps_wanted is not None:
        spec = forms.study_spec(study.spec).with_seeds(study.seeds_wanted)
        study.steps_wanted += trials * spec.steps_of_a_trial
    if seeds and not is_range:
        fewer = await trials_of(session, study_id, TrialState.COMPLETED, TrialState.RUNNING)
        study.to_repeat = _each_once([*study.to_repeat, *(trial.point for trial in fewer)])
    await _let_go_on(session, study)
    return study


async def retry_failed(session: AsyncSession, study_id: UUID) -> Study:
    """Try the points of all failed trials again in new trials, and repeat nothing else.

    Raises:
        NotFound: no study has this id.
        Conflict: the study was cancelled, or none of its trials has failed.
    """
    study = await locked(session, study_id)
    if study.state is StudyState.CANCELLED:
        raise Conflict(f"study {study_id} was cancelled; its trials are not tried again")
    trials = await trials_of(session, study_id)
    settled = [
        trial.point
        for trial in trials
        if trial.state is not TrialState.FAILED and not _lacks_seeds(study, trial)
    ]
    points = [
        trial.point
        for trial in trials
        if trial.state is TrialState.FAILED and trial.point not in [*settled, *study.to_repeat]
    ]
    if not points:
        raise Conflict(f"study {study_id} has no failed trial that was not tried again")
    study.to_repeat = [*study.to_repeat, *_each_once(points)]
    await _let_go_on(session, study)
    return study


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


def seeds_of(trial: Trial) -> int:
    """The number of seeds that a trial was completed with; 0 for other trials."""
    return len(trial.measured.of_seeds) if isinstance(trial.measured, Measured) else 0


def _each_once(points: Sequence[Point]) -> list[Point]:
    return [point for place, point in enumerate(points) if point not in points[:place]]


def _lacks_seeds(study: Study, trial: Trial) -> bool:
    wanted = 1 if SEED in trial.point else len(study.seeds_wanted)
    return trial.state is TrialState.COMPLETED and seeds_of(trial) < wanted


def _refuse_ended(study: Study, what: str) -> None:
    if study.state not in UNFINISHED:
        raise Conflict(f"study {study.id} has already ended: it is {study.state}, not {what}")
