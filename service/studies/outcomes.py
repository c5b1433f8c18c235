"""The outcomes of the trials whose runs have all ended."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import Evaluation
from polar.spec import StudySpec
from service.storage import studies
from service.storage.evaluations import evaluations_of
from service.storage.states import TrialState
from service.storage.study_tables import Study, Trial
from service.studies.certifying import spared
from service.studies.judging import TrialOutcome, collapse_of, judge


async def outcomes_of(
    session: AsyncSession, study: Study, spec: StudySpec, trials: Sequence[Trial]
) -> list[tuple[Trial, TrialOutcome]]:
    """The trials in flight whose runs have all ended, each with its outcome.

    Args:
        session: The caller's transaction.
        study: The study.
        spec: The spec of the study.
        trials: All trials of the study.
    """
    in_flight = {
        trial.experiment_id: trial for trial in trials if trial.state is TrialState.RUNNING
    }
    runs_by_experiment = await studies.runs_of(session, list(in_flight))
    ended = {
        in_flight[experiment_id]: runs
        for experiment_id, runs in runs_by_experiment.items()
        if all(run.state.is_final for run in runs)
    }
    seen = {
        run.id: [
            Evaluation.model_validate(stored) for stored in await evaluations_of(session, run.id)
        ]
        for runs in ended.values()
        for run in runs
    }
    collapses = {
        run.id: collapse
        for runs in ended.values()
        for run in runs
        if (collapse := collapse_of(spec, run, seen[run.id]))
    }
    collapsed = {
        trial.number for trial, runs in ended.items() if any(run.id in collapses for run in runs)
    }
    spared_numbers = await spared(session, study, spec, trials, collapsed)
    return [
        (trial, judge(spec, runs, seen, {} if trial.number in spared_numbers else collapses))
        for trial, runs in ended.items()
    ]
