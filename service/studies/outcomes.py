"""The outcomes of the trials whose runs have all ended."""

from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import Evaluation
from polar.spec import StudySpec
from service.storage import studies
from service.storage.evaluations import evaluations_of
from service.storage.states import TrialState
from service.storage.study_tables import Trial
from service.studies.judging import TrialOutcome, judge


async def outcomes_of(
    session: AsyncSession, spec: StudySpec, trials: Sequence[Trial], spared: Collection[int]
) -> list[tuple[Trial, TrialOutcome]]:
    """The trials in flight whose runs have all ended, each with its outcome.

    Args:
        session: The caller's transaction.
        spec: The spec of the study.
        trials: All trials of the study.
        spared: The numbers of the trials that the pruner lets train on after a collapse.
    """
    in_flight = {
        trial.experiment_id: trial for trial in trials if trial.state is TrialState.RUNNING
    }
    runs_by_experiment = await studies.runs_of(session, list(in_flight))
    outcomes = []
    for experiment_id, runs in runs_by_experiment.items():
        if all(run.state.is_final for run in runs):
            trial = in_flight[experiment_id]
            seen = {
                run.id: [
                    Evaluation.model_validate(stored)
                    for stored in await evaluations_of(session, run.id)
                ]
                for run in runs
            }
            is_spared = trial.number in spared
            outcomes.append((trial, judge(spec, runs, seen, is_spared=is_spared)))
    return outcomes
