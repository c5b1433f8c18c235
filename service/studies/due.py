"""Decides what a study is due: another trial, or its end."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import takewhile

from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec import StudySpec
from service.storage import points, studies
from service.storage.states import StudyState, TrialState
from service.storage.study_tables import Study, Trial

#: Number of failures in a row, with no trial completed in between, that ends a study.
MOST_FAILURES = 5


def deciding(spec: StudySpec, trials: Sequence[Trial]) -> Sequence[Trial]:
    """The trials whose outcomes may decide about the next trial, by number.

    They are all but the last `concurrency - 1`, whether or not these have ended already. The next
    trial waits until all of them have ended, so that a study gives the same trials whichever
    training ends first. It also follows that at most `concurrency` trials are in flight.
    """
    return trials[: max(len(trials) + 1 - spec.concurrency, 0)]


def is_due_a_trial(study: Study, spec: StudySpec, trials: Sequence[Trial], now: datetime) -> bool:
    """Whether a study needs another trial, and all that decides about it is known.

    Args:
        study: The study.
        spec: Its spec.
        trials: All its trials.
        now: The time by the database's clock, which has set all times of trials.
    """
    running = sum(trial.state is TrialState.RUNNING for trial in trials)
    is_spent = _is_spent(study, trials, running + points.count_completed(trials))
    return (
        all(trial.state is not TrialState.RUNNING for trial in deciding(spec, trials))
        and (not is_spent or bool(study.to_repeat))
        and not _is_time_over(study, spec, trials, now)
        and len(_failed_in_a_row(study, spec, trials)) < MOST_FAILURES
    )


async def end_if_due(
    session: AsyncSession, study: Study, spec: StudySpec, trials: Sequence[Trial], now: datetime
) -> bool:
    """End a study that has all its trials, whose time is over, or whose trials only fail.

    Its arguments are those of `is_due_a_trial`, besides the session.

    Returns:
        Whether the study has ended.
    """
    if any(trial.state is TrialState.RUNNING for trial in trials):
        return False
    if _is_time_over(study, spec, trials, now):
        message = f"its {spec.budget.hours:g} hours are over"
        await studies.end(session, study, StudyState.COMPLETED, "time_over", message)
        return True
    completed = points.count_completed(trials)
    if _is_spent(study, trials, completed) and not study.to_repeat:
        message = f"{completed} trials are completed"
        if study.steps_wanted is not None:
            steps = points.count_steps(trials)
            message += f", {steps:,} of {study.steps_wanted:,} training steps are spent"
        await studies.end(session, study, StudyState.COMPLETED, "budget_spent", message)
        return True
    failures = _failed_in_a_row(study, spec, trials)
    if len(failures) >= MOST_FAILURES:
        last = failures[-1].status_message
        message = f"{len(failures)} trials in a row failed; the last: {last}"
        await studies.end(session, study, StudyState.FAILED, "trials_fail", message)
        return True
    return False


def _is_spent(study: Study, trials: Sequence[Trial], counted: int) -> bool:
    """Whether the budget of trials, of which so many count, or that of steps is spent."""
    return counted >= study.trials_wanted or (
        study.steps_wanted is not None and points.count_steps(trials) >= study.steps_wanted
    )


def _is_time_over(study: Study, spec: StudySpec, trials: Sequence[Trial], now: datetime) -> bool:
    if spec.budget.hours is None or not trials:
        return False
    began = study.went_on_at or min(trial.created_at for trial in trials)
    return now - began > timedelta(hours=spec.budget.hours)


def _failed_in_a_row(study: Study, spec: StudySpec, trials: Sequence[Trial]) -> list[Trial]:
    """The last of the deciding trials that have all failed, by number.

    Trials that ended before the study was last extended or repaired do not count.
    """
    counted = [
        trial
        for trial in deciding(spec, trials)
        if trial.finished_at and not (study.went_on_at and trial.finished_at < study.went_on_at)
    ]
    failed = takewhile(lambda trial: trial.state is TrialState.FAILED, reversed(counted))
    return list(failed)[::-1]
