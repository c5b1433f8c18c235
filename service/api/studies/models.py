"""The known models of a study's problem, and what the figure of their losses shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from polar.certificate import better_than_collapse_to, not_optimal
from polar.errors import InvalidInput
from polar.records.certificates import ComparedModel, KnownModel
from polar.records.phases import LossEnvelope
from polar.records.ranges import StudyRange
from polar.spec import OwnModelSpec, StudySpec
from service.api.paging import token_of_place
from service.api.studies.schemas import StudyModels
from service.storage import studies
from service.storage.problems import (
    Place,
    Solution,
    StudySolutions,
    is_of_one_problem,
    solutions_of_study,
)
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


@dataclass(frozen=True)
class ReadSolutions:
    """The solutions of a study's problem, read from the database but not compared yet.

    Comparing them takes the square of their number, so it is done after the transaction, in a
    thread of its own.
    """

    study_id: UUID
    spec: StudySpec
    solutions: StudySolutions

    def page(self, size: int | None = None, after: Place | None = None) -> StudyModels:
        """A page of the models after this place, at most `size`.

        Each is compared at its own weight with all that are known.
        """
        known = [solution.known(self.spec) for solution in self.solutions.of_problem]
        later = [
            (solution, model)
            for solution, model in zip(self.solutions.of_problem, known, strict=True)
            if after is None or solution.place > after
        ]
        page = later[:size]
        token = token_of_place(page[-1][0].place) if len(later) > len(page) else None
        return StudyModels(
            study_id=self.study_id,
            models=[self._compared(solution, model, known) for solution, model in page],
            better_than_collapse_to=better_than_collapse_to(known),
            next_page_token=token,
        )

    def _compared(
        self, solution: Solution, model: KnownModel, known: Sequence[KnownModel]
    ) -> ComparedModel:
        return ComparedModel(
            **solution.trained.model_dump(),
            regime=solution.verdict.regime,
            flaws=solution.verdict.flaws,
            is_own=solution.trained.run_id in self.solutions.own,
            gain_nats=solution.terms.gain_nats,
            rise_nats=solution.terms.rise_nats,
            not_optimal=not_optimal(model, known),
        )


async def read_solutions(session: AsyncSession, study: Study) -> ReadSolutions:
    """Read all solutions of the study's problem.

    Raises:
        InvalidInput: the study does not sweep its model's weight alone.
        EarlierVersion: an earlier version stored the spec, and this one cannot read it.
    """
    spec = studies.spec_of(study)
    refuse_other_fields(spec)
    return ReadSolutions(study.id, spec, await solutions_of_study(session, study, spec))


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
    if isinstance(spec.base.model, OwnModelSpec):
        raise InvalidInput(
            "there is nothing to draw: nobody knows how the penalty of an own model depends on "
            "its codes, so its loss at other weights is not known"
        )
    if not compared.models:
        raise InvalidInput("there is nothing to draw yet: no model of its problem is known")
    name = spec.base.model.weight_name
    assert name is not None  # the study sweeps it
    return LossEnvelope(
        model=spec.base.model.label,
        dataset=spec.base.dataset.label,
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
