"""What all known models of a study's problem say about its range."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from polar.certificate import certificates_of, refutes_collapse
from polar.ranges.words import headline_of, remarks_on_certificates
from polar.records.ranges import StudyRange
from polar.spec import StudySpec
from service.storage import studies
from service.storage.experiments import problem_address
from service.storage.problems import is_of_one_problem, run_ids_of, solutions_of
from service.storage.states import TrialState
from service.storage.study_tables import Study, Trial
from service.studies.due import evidence


async def certified(
    session: AsyncSession, study: Study, spec: StudySpec, found: StudyRange
) -> StudyRange:
    """The range with its certificates, and a headline that claims no edge that they refute.

    Only a study that sweeps the weight of its model has certificates, because models of other
    problems cannot be compared.
    """
    if not is_of_one_problem(spec):
        return found
    solutions = await solutions_of(session, problem_address(spec.base, study.dataset_digest))
    own = await run_ids_of(session, study.id)
    of = spec.range.of
    certificates = certificates_of(
        found.envelope,
        [solution.known(of) for solution in solutions if solution.trained.run_id in own],
        [solution.known(of) for solution in solutions],
    )
    headline = headline_of(found, certificates)
    # A study that holds its band says itself how far training from inside gets.
    advice = () if spec.range.held else remarks_on_certificates(certificates)
    return found.model_copy(
        update={
            "certificates": certificates,
            "headline": headline,
            "remarks": (*found.remarks, *advice),
        }
    )


async def spared(
    session: AsyncSession, study: Study, spec: StudySpec, trials: Sequence[Trial]
) -> frozenset[int]:
    """The numbers of the trials in flight whose collapse would not be the optimum.

    The collapse pruner lets them train on. Only models of trials whose outcomes the proposal of
    such a trial could know say so: others may have been trained in time, or not.
    """
    if spec.pruner.name == "none" or not is_of_one_problem(spec):
        return frozenset()
    solutions = await solutions_of(session, problem_address(spec.base, study.dataset_digest))
    models = {solution.trained.run_id: solution.known(spec.range.of) for solution in solutions}
    by_trial = await studies.runs_of(session, [trial.experiment_id for trial in trials])
    numbers = set()
    for place, trial in enumerate(trials):
        if trial.state is TrialState.RUNNING:
            runs = [
                run
                for earlier in evidence(spec, trials[:place])
                for run in by_trial[earlier.experiment_id]
            ]
            weight = spec.experiment(trial.point).model.weight
            assert weight is not None  # the study sweeps it
            if refutes_collapse(weight, [models[run.id] for run in runs if run.id in models]):
                numbers.add(trial.number)
    return frozenset(numbers)
