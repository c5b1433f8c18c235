"""The solutions of one problem: the finished runs on the same images with the same network."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import Row, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.certificates import KnownModel, LossTerms, Trained
from polar.records.latents import Regime, Verdict
from polar.records.ranges import Of
from polar.spec import MODELS, StudySpec
from service.storage.states import RunState
from service.storage.study_tables import Trial
from service.storage.tables import ExperimentRun, Run


@dataclass(frozen=True)
class Solution:
    """The model that a finished run came to."""

    trained: Trained
    verdict: Verdict
    terms: LossTerms

    def known(self, of: Of) -> KnownModel:
        """The model as certificates compare it, in a search for the band of this kind."""
        return KnownModel(
            **self.trained.model_dump(),
            is_inside=_is_inside(self.verdict, of),
            has_settled=bool(self.verdict.settled),
            terms=self.terms,
        )


def is_of_one_problem(spec: StudySpec) -> bool:
    """Whether the trials of a study differ in the model's weight alone, besides seed and steps."""
    return list(spec.swept) == [f"model.{spec.base.model.weight_name}"]


async def run_ids_of(session: AsyncSession, study_id: UUID) -> set[UUID]:
    """The ids of all runs that a study's trials have asked for."""
    ids = await session.scalars(
        select(ExperimentRun.run_id)
        .join(Trial, Trial.experiment_id == ExperimentRun.experiment_id)
        .where(Trial.study_id == study_id)
    )
    return set(ids)


async def solutions_of(session: AsyncSession, problem: str) -> Sequence[Solution]:
    """The models of all finished runs of a problem, whichever study or experiment asked for them.

    Runs whose model has no weight are left out, and so are those that this version cannot read.

    Args:
        session: The caller's transaction.
        problem: The problem's address, as `experiments.problem_address` gives it.

    Returns:
        The models in ascending order of weight, seed and steps.
    """
    # only these parts, because the latents make up most of a result
    spec, result = type_coerce(Run.spec, JSONB), type_coerce(Run.result, JSONB)
    rows = await session.execute(
        select(
            Run.id,
            Run.seed,
            spec["model"].label("model"),
            spec["training"]["warm_start"].label("warm_start"),
            result["steps"].label("steps"),
            result["final"]["verdict"].label("verdict"),
            result["loss_terms"].label("terms"),
        ).where(Run.problem == problem, Run.state == RunState.SUCCEEDED)
    )
    solutions = [solution for row in rows if (solution := _solution(row)) is not None]
    return sorted(
        solutions,
        key=lambda solution: (
            solution.trained.weight,
            solution.trained.seed,
            solution.trained.steps,
        ),
    )


def _is_inside(verdict: Verdict, of: Of) -> bool:
    if of == "clean":
        return verdict.regime is Regime.CLEAN
    return verdict.paper_regime is Regime.POLARISED and not verdict.explains_nothing


def _solution(row: Row[tuple[object, ...]]) -> Solution | None:
    if row.terms is None:
        return None
    try:
        weight = MODELS[row.model["name"]].model_validate(row.model).weight
        trained = {
            "weight": weight,
            "seed": row.seed,
            "steps": row.steps,
            "warm_start": [stage["weight"] for stage in row.warm_start],
            "run_id": row.id,
        }
        return Solution(
            trained=Trained.model_validate(trained),
            verdict=Verdict.model_validate(row.verdict),
            terms=LossTerms.model_validate(row.terms),
        )
    except (KeyError, ValidationError):
        return None
