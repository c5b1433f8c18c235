"""What all known models of a study's problem say about its range."""

import asyncio
from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from polar.certificate import certificates_of, refutes_collapse
from polar.ranges.words import headline_of, remarks_on_certificates
from polar.records.ranges import StudyRange
from polar.spec import StudySpec
from service.storage.problems import is_of_one_problem, solutions_of_study, solutions_of_trials
from service.storage.study_tables import Study, Trial
from service.studies.due import deciding


async def certified(
    session: AsyncSession, study: Study, spec: StudySpec, found: StudyRange
) -> StudyRange:
    """The range with its certificates, and a headline that claims no edge that they refute.

    Only a study that sweeps the weight of its model has certificates, because models of other
    problems cannot be compared.
    """
    if not is_of_one_problem(spec):
        return found
    solutions = await solutions_of_study(session, study, spec)
    known = [solution.known(spec) for solution in solutions.of_problem]
    own = [model for model in known if model.run_id in solutions.own]
    # A thread keeps the event loop free; the study's row stays locked meanwhile, so that pausing
    # or cancelling it waits.
    certificates = await asyncio.to_thread(
        certificates_of, found.envelope, own, known, found.steps
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
    session: AsyncSession,
    study: Study,
    spec: StudySpec,
    trials: Sequence[Trial],
    collapsed: Collection[int],
) -> frozenset[int]:
    """The numbers of those collapsed trials whose collapse is not the optimum.

    The collapse pruner lets them train on. Only models of trials whose outcomes the proposal of
    such a trial could know say so: others may have been trained in time, or not.

    Args:
        session: The caller's transaction.
        study: The study.
        spec: Its spec.
        trials: All its trials.
        collapsed: The numbers of trials in flight that the pruner would stop for a collapse.
    """
    if not collapsed or not is_of_one_problem(spec):
        return frozenset()
    earlier = {
        trial.number: [each.number for each in deciding(spec, trials[:place])]
        for place, trial in enumerate(trials)
        if trial.number in collapsed
    }
    asked = frozenset(number for numbers in earlier.values() for number in numbers)
    solutions = await solutions_of_trials(session, study, spec, asked)
    points = {trial.number: trial.point for trial in trials}
    numbers = set()
    for number in collapsed:
        weight = spec.experiment(points[number]).model.weight
        assert weight is not None  # the study sweeps it
        models = [each.known(spec) for known in earlier[number] for each in solutions[known]]
        if refutes_collapse(weight, models):
            numbers.add(number)
    return frozenset(numbers)
