"""The solutions of one problem: the finished runs on the same images with the same network."""

from collections.abc import Collection, Sequence, Set
from dataclasses import dataclass
from typing import TypeAlias
from uuid import UUID

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Row, Text, cast, func, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB, JSONPATH
from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.certificates import KnownModel, LossTerms, Trained
from polar.records.latents import Regime, Verdict
from polar.records.trials import Measures
from polar.spec import MODELS, StudySpec
from service.storage.experiments import problem_address
from service.storage.states import RunState, TrialState
from service.storage.studies import COLLAPSED
from service.storage.study_tables import Study, Trial
from service.storage.tables import ExperimentRun, Run

#: Where a result has the KL divergences of the latents.
KL_NATS = cast("$.final.latents[*].kl_nats", JSONPATH)

#: The place of a solution among those of its problem: weight, seed, steps and id of the run.
Place: TypeAlias = tuple[float, int, int, str]

#: A run that a trial asked for: number of the trial, id of the run, state and reason of the trial,
#: and the regime by which the run was judged.
_Asked: TypeAlias = Row[tuple[int, UUID, TrialState, str | None, str | None]]


@dataclass(frozen=True)
class Solution:
    """The model that a finished run came to."""

    trained: Trained
    verdict: Verdict
    measures: Measures
    terms: LossTerms

    @property
    def place(self) -> Place:
        trained = self.trained
        return trained.weight, trained.seed, trained.steps, f"{trained.run_id}"

    def known(self, spec: StudySpec) -> KnownModel:
        """The model as certificates compare it, for the band that a study searches."""
        return KnownModel(
            **self.trained.model_dump(),
            is_inside=self._is_inside(spec),
            has_settled=bool(self.verdict.settled),
            terms=self.terms,
        )

    def _is_inside(self, spec: StudySpec) -> bool:
        if spec.range.of == "clean":
            inside = self.verdict.regime is Regime.CLEAN
        else:
            is_polarised = self.verdict.paper_regime is Regime.POLARISED
            inside = is_polarised and not self.verdict.explains_nothing
        values = ((bound, self.measures.value(bound.measure)) for bound in spec.constraints)
        return inside and all(
            value is not None and bound.is_kept(value) for bound, value in values
        )


@dataclass(frozen=True)
class StudySolutions:
    """The solutions of a study's problem, whichever study or experiment asked for them."""

    #: In ascending order of their places.
    of_problem: Sequence[Solution]
    #: The ids of the runs that the study's own trials asked for.
    own: Set[UUID]


def is_of_one_problem(spec: StudySpec) -> bool:
    """Whether the trials of a study differ in the model's weight alone, besides seed and steps."""
    return list(spec.swept) == [f"model.{spec.base.model.weight_name}"]


def problem_of(study: Study, spec: StudySpec) -> str:
    """The address of the problem of all trials of a study that has one.

    Fields that the study fixes to a single value are part of it.
    """
    return problem_address(spec.experiment({}), study.dataset_digest)


async def solutions_of_study(
    session: AsyncSession, study: Study, spec: StudySpec
) -> StudySolutions:
    """The solutions of the problem of a study whose trials all have the same.

    Runs of the study that its pruner judges by an early collapse are left out: whether such a run
    is stopped, or ends before that and leaves a model, is a matter of time.
    """
    asked = await _runs_asked_for(session, Trial.study_id == study.id)
    early = _judged_early(spec, asked)
    of_problem = await solutions_of(session, problem_of(study, spec), without=early)
    return StudySolutions(of_problem, {run.run_id for run in asked})


async def solutions_of_trials(
    session: AsyncSession, study: Study, spec: StudySpec, numbers: Collection[int]
) -> dict[int, list[Solution]]:
    """The solutions to which these trials of a study came, by the number of the trial.

    They lack the same runs as `solutions_of_study`.
    """
    of_trials = (Trial.study_id == study.id, Trial.number.in_(numbers))
    asked = await _runs_asked_for(session, *of_trials)
    early = _judged_early(spec, asked)
    wanted = {run.run_id for run in asked} - early
    solutions = {
        solution.trained.run_id: solution
        for solution in await _solutions(session, Run.id.in_(wanted))
    }
    by_trial: dict[int, list[Solution]] = {number: [] for number in numbers}
    for run in asked:
        if run.run_id in solutions:
            by_trial[run.number].append(solutions[run.run_id])
    return by_trial


async def solutions_of(
    session: AsyncSession, problem: str, *, without: Collection[UUID] = ()
) -> Sequence[Solution]:
    """The models of all finished runs of a problem, whichever study or experiment asked for them.

    Runs whose model has no weight are left out, and so are those that this version cannot read.

    Args:
        session: The caller's transaction.
        problem: The problem's address, as `experiments.problem_address` gives it.
        without: The ids of runs to leave out.

    Returns:
        The models in ascending order of their places.
    """
    solutions = await _solutions(session, Run.problem == problem, Run.id.not_in(without))
    return sorted(solutions, key=lambda solution: solution.place)


async def _runs_asked_for(session: AsyncSession, *trials: ColumnElement[bool]) -> Sequence[_Asked]:
    """The runs that these trials asked for, with the regime by which each was judged."""
    of_seed = cast(ExperimentRun.position, Text)
    measured = type_coerce(Trial.measured, JSONB)
    rows = await session.execute(
        select(
            Trial.number,
            ExperimentRun.run_id,
            Trial.state,
            Trial.status_reason,
            func.jsonb_extract_path_text(measured, "regimes", of_seed).label("regime"),
        )
        .join(ExperimentRun, Trial.experiment_id == ExperimentRun.experiment_id)
        .where(*trials)
    )
    return rows.all()


def _judged_early(spec: StudySpec, asked: Sequence[_Asked]) -> set[UUID]:
    """The runs that were judged by the collapse for which the study's pruner stops them."""
    if spec.pruner.name == "none":
        return set()
    return {
        run.run_id
        for run in asked
        # a superseded trial has another reason
        if run.status_reason == COLLAPSED or run.state is TrialState.SUPERSEDED
        if run.regime == Regime.COLLAPSED
    }


async def _solutions(session: AsyncSession, *runs: ColumnElement[bool]) -> list[Solution]:
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
            result["final"]["reconstruction_nats"].label("reconstruction_nats"),
            func.jsonb_path_query_array(result, KL_NATS).label("kl_nats"),
            result["loss_terms"].label("terms"),
        ).where(*runs, Run.state == RunState.SUCCEEDED)
    )
    return [solution for row in rows if (solution := _solution(row)) is not None]


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
        verdict = Verdict.model_validate(row.verdict)
        return Solution(
            trained=Trained.model_validate(trained),
            verdict=verdict,
            measures=Measures.of(verdict, row.reconstruction_nats, row.kl_nats),
            terms=LossTerms.model_validate(row.terms),
        )
    except (KeyError, ValidationError):
        return None
