"""The known models of a study's problem, and what the figure of their losses shows."""

import asyncio
from collections.abc import Sequence, Set
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from polar.certificate import better_than_collapse_to, not_optimal
from polar.errors import InvalidInput
from polar.records.certificates import ComparedModel
from polar.records.phases import LossEnvelope
from polar.records.ranges import Of, StudyRange
from polar.spec import StudySpec
from service.api.studies.schemas import StudyModels
from service.storage import studies
from service.storage.experiments import problem_address
from service.storage.problems import Solution, is_of_one_problem, run_ids_of, solutions_of
from service.storage.study_tables import Study

#: The figure's axis goes so many times as far as a model is better than total collapse, and as the
#: right edge. Chosen by us, because lines are then seen to cross that of total collapse.
ROOM = 1.5
#: It goes beyond the search by at most this factor, which leaves marks at its end whole.
PADDING = 1.05


def refuse_other_fields(spec: StudySpec) -> None:
    """Refuse a study whose models are not all of one problem.

    Raises:
        InvalidInput: the study does not sweep its model's weight alone.
    """
    if not is_of_one_problem(spec):
        raise InvalidInput(
            f"the study sweeps {', '.join(spec.swept)}; allowed: its model's weight alone, "
            "because only models of the same network can be compared"
        )


async def models_of(session: AsyncSession, study: Study) -> StudyModels:
    """All known models of the study's problem, each compared with the others at its own weight.

    Raises:
        InvalidInput: the study does not sweep its model's weight alone.
        EarlierVersion: an earlier version stored the spec, and this one cannot read it.
    """
    spec = studies.spec_of(study)
    refuse_other_fields(spec)
    solutions = await solutions_of(session, problem_address(spec.base, study.dataset_digest))
    own = await run_ids_of(session, study.id)
    # Other requests need not wait for this: it takes the square of the number of models.
    return await asyncio.to_thread(_compared, study.id, solutions, own, spec.range.of)


def _compared(
    study_id: UUID, solutions: Sequence[Solution], own: Set[UUID], of: Of
) -> StudyModels:
    known = [solution.known(of) for solution in solutions]
    compared = [
        ComparedModel(
            **solution.trained.model_dump(),
            regime=solution.verdict.regime,
            flaws=solution.verdict.flaws,
            is_own=solution.trained.run_id in own,
            gain_nats=solution.terms.gain_nats,
            rise_nats=solution.terms.rise_nats,
            not_optimal=not_optimal(model, known),
        )
        for solution, model in zip(solutions, known, strict=True)
    ]
    return StudyModels(
        study_id=study_id,
        models=compared,
        better_than_collapse_to=better_than_collapse_to(known),
    )


def envelope_of(
    spec: StudySpec, study_range: StudyRange | None, compared: StudyModels
) -> LossEnvelope:
    """What the figure of a study's loss envelope shows.

    Its axis is the part of the search where the lines have something to show: somewhat farther
    than any model is better than total collapse, and than the band's right edge.

    Raises:
        InvalidInput: no model of the problem is known yet, or the study does not sweep its model's
            weight alone.
    """
    refuse_other_fields(spec)
    if not compared.models:
        raise InvalidInput("there is nothing to draw yet: no model of its problem is known")
    name = spec.base.model.weight_name
    assert name is not None  # the study sweeps it
    return LossEnvelope(
        model=spec.base.model.name,
        dataset=spec.base.dataset.name,
        weight_name=name,
        models=tuple(compared.models),
        ends=(0.0, _end(spec, study_range, compared.better_than_collapse_to)),
    )


def _end(spec: StudySpec, study_range: StudyRange | None, better_to: float | None) -> float:
    (axis,) = spec.swept.values()
    last = PADDING * max(float(weight) for weight in axis.ends)
    edge = study_range.envelope.right if study_range and study_range.envelope else None
    shown = [better_to, edge.high or edge.low] if edge else [better_to]
    return min(ROOM * max((weight for weight in shown if weight), default=last), last)
