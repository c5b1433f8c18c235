"""What all known models of a study's problem say about its range."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncSession

from polar.ranges.certificate import certificates_of
from polar.ranges.words import headline_of
from polar.records.certificates import KnownModel
from polar.records.latents import Regime, Verdict
from polar.records.ranges import Of, StudyRange
from polar.spec import StudySpec
from service.storage import studies
from service.storage.experiments import problem_address
from service.storage.problems import Solution, solutions_of
from service.storage.study_tables import Study, Trial


async def certified(
    session: AsyncSession,
    study: Study,
    spec: StudySpec,
    trials: Sequence[Trial],
    found: StudyRange,
) -> StudyRange:
    """The range with its certificates, and a headline that claims no edge that they refute.

    Only a study that sweeps the weight of its model has certificates, because models of other
    problems cannot be compared.
    """
    if list(spec.swept) != [f"model.{spec.base.model.weight_name}"]:
        return found
    solutions = await solutions_of(session, problem_address(spec.base, study.dataset_digest))
    by_trial = await studies.runs_of(session, [trial.experiment_id for trial in trials])
    own = {run.id for runs in by_trial.values() for run in runs}
    of = spec.range.of
    certificates = certificates_of(
        found.envelope,
        [_known(solution, of) for solution in solutions if solution.trained.run_id in own],
        [_known(solution, of) for solution in solutions],
    )
    headline = headline_of(found, certificates)
    return found.model_copy(update={"certificates": certificates, "headline": headline})


def _known(solution: Solution, of: Of) -> KnownModel:
    return KnownModel(
        **solution.trained.model_dump(),
        is_inside=_is_inside(solution.verdict, of),
        terms=solution.terms,
    )


def _is_inside(verdict: Verdict, of: Of) -> bool:
    if of == "clean":
        return verdict.regime is Regime.CLEAN
    return verdict.paper_regime is Regime.POLARISED and not verdict.explains_nothing
