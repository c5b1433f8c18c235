"""What lets a study go on that has ended: more trials, seeds or steps, and trials tried again."""

import math
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from polar.errors import InvalidInput
from polar.spec.experiment import MOST_SEEDS
from polar.spec.longer import with_longer_trainings
from polar.spec.study import SEED, Point
from polar.spec.study_parts import MOST_TRIALS
from service.storage import points, studies
from service.storage.errors import Conflict
from service.storage.states import StudyState, TrialState
from service.storage.study_tables import Study, Trial


async def extend(
    session: AsyncSession,
    study_id: UUID,
    *,
    trials: int = 0,
    seeds: Sequence[int] = (),
    steps: int = 0,
    training_steps: int = 0,
) -> Study:
    """Ask a study for more trials or steps, more seeds in every trial, or longer trainings.

    Points that were completed or are in flight with fewer seeds or shorter trainings are tried
    again in new trials, which share the runs that go on or have succeeded; longer runs go on from
    the last states of shorter ones. Each trial of a range study is one training: new trials may
    have the new seeds, and take those of its trainings on that tell most.

    Args:
        session: The caller's transaction.
        study_id: Id of the study.
        trials: How many more completed trials; a budget of steps grows by their steps.
        seeds: Further seeds.
        steps: How many more steps for the study's budget of steps; without `trials`, its number of
            trials grows by as many as have so many steps.
        training_steps: Number of steps at the end of a training, those of before included. A
            budget of steps grows by what all trainings need for it, and without `trials`, the
            trials of a range study by the number of its trainings.

    Raises:
        NotFound: no study has this id.
        Conflict: the study was cancelled, cannot have these seeds, has no budget of steps that
            could grow, or cannot have trainings of so many steps.
        EarlierVersion: steps have to be counted, and the spec is of an earlier version.
    """
    study = await studies.locked(session, study_id)
    if study.state is StudyState.CANCELLED:
        raise Conflict(f"study {study_id} was cancelled and cannot be extended")
    if steps and study.steps_wanted is None:
        raise Conflict(
            f"study {study_id} has no budget of steps, but one of {study.trials_wanted} trials; "
            "allowed: more trials"
        )
    _check_seeds(study, seeds, trials)
    study.seeds_wanted = [*study.seeds_wanted, *dict.fromkeys(seeds)]
    if training_steps:
        await _train_longer(session, study, training_steps, trials)
    _raise_budget(study, trials, steps)
    if (seeds or training_steps) and not _is_range(study):
        less = await studies.trials_of(session, study_id, TrialState.COMPLETED, TrialState.RUNNING)
        study.to_repeat = _each_once([*study.to_repeat, *(trial.point for trial in less)])
    await _let_go_on(session, study)
    return study


def _check_seeds(study: Study, seeds: Sequence[int], trials: int) -> None:
    if len(study.seeds_wanted) + len(seeds) > MOST_SEEDS:
        have = len(study.seeds_wanted)
        raise Conflict(f"study {study.id} has {have} seeds; allowed: at most {MOST_SEEDS}")
    known = sorted(set(seeds) & set(study.seeds_wanted))
    if known:
        raise Conflict(f"study {study.id} has these seeds already: {known}")
    if seeds and _is_range(study) and not trials:
        raise Conflict(
            f"study {study.id} searches a range with one seed in each trial, and more seeds alone "
            "would change nothing; allowed: more trials, or more trials and seeds"
        )


async def _train_longer(
    session: AsyncSession, study: Study, training_steps: int, trials: int
) -> None:
    spec = studies.spec_of(study)
    try:
        with_longer_trainings(spec, training_steps)
    except InvalidInput as error:
        raise Conflict(f"study {study.id} cannot train longer: {error}") from error
    made = points.steps_of_trainings(spec, await studies.trials_of(session, study.id))
    study.training_steps_wanted = training_steps
    if study.steps_wanted is not None:
        study.steps_wanted += sum(max(training_steps - steps, 0) for steps in made)
    if _is_range(study) and not trials:
        study.trials_wanted += len(made)


def _raise_budget(study: Study, trials: int, steps: int) -> None:
    """Raise both budgets, each by its own number, or else by what the other's number comes to."""
    if study.steps_wanted is not None and trials + steps:
        of_a_trial = studies.spec_of(study).steps_of_a_trial
        study.steps_wanted += steps or trials * of_a_trial
        trials = trials or min(math.ceil(steps / of_a_trial), MOST_TRIALS)
    study.trials_wanted += trials


async def retry_failed(session: AsyncSession, study_id: UUID) -> Study:
    """Try the points of all failed trials again in new trials, and repeat nothing else.

    Raises:
        NotFound: no study has this id.
        Conflict: the study was cancelled, or none of its trials has failed.
    """
    study = await studies.locked(session, study_id)
    if study.state is StudyState.CANCELLED:
        raise Conflict(f"study {study_id} was cancelled; its trials are not tried again")
    trials = await studies.trials_of(session, study_id)
    done = [
        trial.point
        for trial in trials
        if trial.state is not TrialState.FAILED and not _falls_short(study, trial)
    ]
    failed = [
        trial.point
        for trial in trials
        if trial.state is TrialState.FAILED and trial.point not in [*done, *study.to_repeat]
    ]
    if not failed:
        raise Conflict(f"study {study_id} has no failed trial that was not tried again")
    study.to_repeat = [*study.to_repeat, *_each_once(failed)]
    await _let_go_on(session, study)
    return study


async def _let_go_on(session: AsyncSession, study: Study) -> None:
    """Count failures and hours anew, and let the study go on unless it is paused."""
    study.went_on_at = await session.scalar(select(func.now()))
    if study.state is not StudyState.PAUSED:
        await studies.go_on(session, study)


def _is_range(study: Study) -> bool:
    return study.spec.get("sampler") == "range"


def _each_once(tried: Sequence[Point]) -> list[Point]:
    return [point for place, point in enumerate(tried) if point not in tried[:place]]


def _falls_short(study: Study, trial: Trial) -> bool:
    """Whether a completed trial has fewer seeds or steps than the study has come to want."""
    if trial.state is not TrialState.COMPLETED or SEED in trial.point:
        return False
    return studies.seeds_of(trial) < len(study.seeds_wanted) or studies.steps_of(trial) < (
        study.training_steps_wanted or 0
    )
