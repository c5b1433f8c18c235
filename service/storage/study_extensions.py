"""Extends studies, even after their end, by trials, seeds or steps; tries failed trials again."""

import math
from collections.abc import Iterable, Sequence
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession

from polar.errors import InvalidInput
from polar.spec import StudySpec
from polar.spec.experiment import MOST_SEEDS
from polar.spec.extending import with_longer_trainings
from polar.spec.points import SEED, STEPS, Point
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
    budget_steps: int = 0,
    seeds: Sequence[int] = (),
    training_steps: int = 0,
) -> Study:
    """Ask a study for more trials or steps, more seeds in every trial, or longer trainings.

    Points that were completed or are in flight with fewer seeds or shorter trainings are tried
    again in new trials, which share the runs that go on or have succeeded; longer runs go on from
    the last states of shorter ones. Each trial of a range study is one training: a new trial may
    have a new seed, or take an earlier training on, whichever tells most. A budget of steps grows
    by what all this takes, so that what was left of it is left.

    Args:
        session: The caller's transaction.
        study_id: Id of the study.
        trials: How many more completed trials; a budget of steps grows by their steps.
        budget_steps: How many more steps for the study's budget of steps; without `trials`, its
            number of trials grows by as many as have so many steps.
        seeds: Further seeds.
        training_steps: Number of steps at the end of a training, those of before included. Without
            `trials`, the trials of a range study grow by the number of its trainings.

    Raises:
        NotFound: no study has this id.
        Conflict: the study was cancelled, was answered by an earlier version, cannot have these
            seeds, has no budget of steps that could grow, or cannot have trainings of so many
            steps.
        EarlierVersion: seeds or steps have to be added, and the spec is of an earlier version.
    """
    study = await studies.locked(session, study_id)
    if study.state is StudyState.CANCELLED:
        raise Conflict(f"study {study_id} was cancelled and cannot be extended")
    if budget_steps and study.steps_wanted is None:
        raise Conflict(
            f"budget_steps is {budget_steps}, but study {study_id} has a budget of "
            f"{study.trials_wanted} trials and none of steps; allowed: trials"
        )
    made = await studies.trials_of(session, study_id)
    _refuse_former_rules(study, made)
    _check_seeds(study, seeds, trials)
    if seeds or training_steps:
        _add_seeds_and_steps(study, made, seeds, training_steps, trials)
    _raise_budget(study, trials, budget_steps)
    await _let_go_on(session, study)
    return study


def _check_seeds(study: Study, seeds: Sequence[int], trials: int) -> None:
    if len(study.seeds_wanted) + len(seeds) > MOST_SEEDS:
        raise Conflict(
            f"study {study.id} has {len(study.seeds_wanted)} seeds, and {len(seeds)} more were "
            f"asked for; allowed: at most {MOST_SEEDS} seeds together"
        )
    known = sorted(set(seeds) & set(study.seeds_wanted))
    if known:
        raise Conflict(f"study {study.id} has these seeds already: {known}; allowed: other seeds")
    if seeds and _is_range(study) and not trials:
        raise Conflict(
            f"study {study.id} searches a range with one seed in each trial, and seeds alone "
            "would change nothing; allowed: trials, or trials and seeds"
        )


def _add_seeds_and_steps(
    study: Study,
    made: Sequence[Trial],
    seeds: Sequence[int],
    training_steps: int,
    trials: int,
) -> None:
    """Add seeds, or steps to trainings, and raise a budget of steps by what these trials need."""
    before = studies.spec_of(study)
    if training_steps:
        try:
            with_longer_trainings(before, training_steps)
        except InvalidInput as error:
            raise Conflict(f"study {study.id} cannot train longer: {error}") from error
        study.training_steps_wanted = training_steps
    study.seeds_wanted = [*study.seeds_wanted, *dict.fromkeys(seeds)]
    if _is_range(study):
        lengths = points.steps_of_trainings(made) if training_steps else ()
        more = sum(max(training_steps - steps, 0) for steps in lengths)
        study.trials_wanted += 0 if trials else len(lengths)
    else:
        repeated = _each_once(
            trial.point
            for trial in made
            if trial.state in (TrialState.COMPLETED, TrialState.RUNNING)
        )
        after = studies.spec_of(study)
        more = sum(_steps_at(after, point) - _steps_at(before, point) for point in repeated)
        study.to_repeat = _each_once([*study.to_repeat, *repeated])
    if study.steps_wanted is not None:
        study.steps_wanted += more


def _steps_at(spec: StudySpec, point: Point) -> int:
    """The training steps of a trial at a point of a study that searches no range."""
    return int(point.get(STEPS, spec.steps)) * len(spec.base.seeds)


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
        Conflict: the study was cancelled or was answered by an earlier version, or none of its
            trials has failed.
    """
    study = await studies.locked(session, study_id)
    if study.state is StudyState.CANCELLED:
        raise Conflict(f"study {study_id} was cancelled; its trials are not tried again")
    trials = await studies.trials_of(session, study_id)
    _refuse_former_rules(study, trials)
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


def _refuse_former_rules(study: Study, trials: Sequence[Trial]) -> None:
    if _is_range(study) and studies.is_answered_by_former_rules(study, trials):
        raise Conflict(
            f"study {study.id} was answered by the rules of an earlier version, and new trainings "
            "would follow other rules; allowed: a new study of the same spec"
        )


def _is_range(study: Study) -> bool:
    return study.spec.get("sampler") == "range"


def _each_once(tried: Iterable[Point]) -> list[Point]:
    once: list[Point] = []
    for point in tried:
        if point not in once:
            once.append(point)
    return once


def _falls_short(study: Study, trial: Trial) -> bool:
    """Whether a completed trial has fewer seeds or steps than the study has come to want."""
    if trial.state is not TrialState.COMPLETED or SEED in trial.point:
        return False
    return len(trial.seeds) < len(study.seeds_wanted) or (
        trial.steps < (study.training_steps_wanted or 0)
    )
