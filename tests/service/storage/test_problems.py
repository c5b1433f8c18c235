"""Problems: which finished runs can be compared, whoever asked for them."""

from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import update

from polar.records.certificates import LossTerms, Trained
from polar.records.latents import Regime, Verdict
from polar.spec import ExperimentSpec
from service.storage import runs
from service.storage.database import Database
from service.storage.experiments import problem_address
from service.storage.problems import Solution, solutions_of
from service.storage.states import RunState
from service.storage.tables import Run

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Submitter, Worker

DIGEST = "d" * 64
TERMS = LossTerms(
    images=1437,
    reconstruction_nats=430.0,
    penalty=1.2,
    floor_nats=333.7,
    mean_image_nats=463.7,
    collapsed_penalty=0.0,
    nats_per_penalty=1.0,
    gain_variance=0.25,
    penalty_variance=1e-4,
    covariance=1e-3,
)
VERDICT = Verdict.model_validate(
    {
        **dict.fromkeys(Verdict.model_fields, 0),
        "regime": "clean",
        "paper_regime": "polarised",
        "flaws": [],
        "explains_nothing": False,
        "settled": True,
    }
)


class Solver:
    """Submits runs and ends them with the result of a training, as an agent does."""

    def __init__(self, database: Database, submit: "Submitter", worker: "Worker") -> None:
        self._database = database
        self._submit = submit
        self._worker = worker

    async def __call__(
        self,
        spec: ExperimentSpec,
        *,
        digest: str = DIGEST,
        state: RunState = RunState.SUCCEEDED,
        terms: Any = TERMS.model_dump(mode="json"),  # noqa: ANN401, B008 (never changed)
        force: bool = False,
    ) -> UUID:
        (run,) = (await self._submit(spec, digest, force=force)).runs
        await self._worker.claim(run.id)
        result = {
            "steps": spec.training.steps,
            "final": {
                "verdict": VERDICT.model_dump(mode="json"),
                "reconstruction_nats": 431.5,
                "latents": [{"kl_nats": 0.75}, {"kl_nats": None}, {"kl_nats": 0.5}],
            },
            "loss_terms": terms,
        }
        async with self._database.transaction() as session:
            await session.execute(update(Run).where(Run.id == run.id).values(result=result))
        await self._worker.finish(run.id, state)
        return run.id

    async def solutions(self, spec: ExperimentSpec, digest: str = DIGEST) -> list[Solution]:
        async with self._database.transaction() as session:
            return list(await solutions_of(session, problem_address(spec, digest)))

    async def trained(self, spec: ExperimentSpec, digest: str = DIGEST) -> list[Trained]:
        return [solution.trained for solution in await self.solutions(spec, digest)]


@pytest.fixture
def solve(database: Database, submit: "Submitter", worker: "Worker") -> Solver:
    return Solver(database, submit, worker)


async def test_a_finished_run_says_where_it_was_trained_what_it_pays_and_its_verdict(
    solve: Solver, spec_of: "SpecMaker"
) -> None:
    spec = spec_of(model={"beta": 18.0}, seeds=[3], training={"steps": 500})
    run_id = await solve(spec)

    (solution,) = await solve.solutions(spec)

    assert solution.trained == Trained(weight=18.0, seed=3, steps=500, run_id=run_id)
    assert solution.terms == TERMS
    assert solution.verdict == VERDICT
    assert (solution.measures.reconstruction, solution.measures.kl) == (431.5, 1.25)
    assert solution.verdict.regime is Regime.CLEAN


async def test_runs_of_other_weights_seeds_and_trainings_solve_the_same_problem(
    solve: Solver, spec_of: "SpecMaker"
) -> None:
    await solve(spec_of(model={"beta": 22.0}))
    await solve(spec_of(model={"beta": 18.0}, seeds=[1]))
    await solve(spec_of(model={"beta": 18.0}, seeds=[0]))
    await solve(spec_of(model={"beta": 18.0}, training={"steps": 9, "learning_rate": 0.01}))

    trained = await solve.trained(spec_of())

    assert [(of.weight, of.seed, of.steps) for of in trained] == [
        (18.0, 0, 9),
        (18.0, 0, 3000),
        (18.0, 1, 3000),
        (22.0, 0, 3000),
    ]


async def test_a_training_that_went_on_from_another_weight_says_so(
    solve: Solver, spec_of: "SpecMaker"
) -> None:
    held = {"warm_start": [{"weight": 15.0, "steps": 100}, {"weight": 18.0, "steps": 100}]}
    await solve(spec_of(model={"beta": 22.0}, training=held))
    await solve(spec_of(model={"beta": 22.0}))

    trained = await solve.trained(spec_of())

    assert sorted(of.warm_start for of in trained) == [(), (15.0, 18.0)]


async def test_other_data_another_network_or_another_split_is_another_problem(
    solve: Solver, spec_of: "SpecMaker"
) -> None:
    await solve(spec_of(), digest="e" * 64)
    await solve(spec_of(model={"latent_dim": 3}))
    await solve(spec_of(training={"held_out": 0.5}))

    assert await solve.trained(spec_of()) == []
    assert len(await solve.trained(spec_of(), "e" * 64)) == 1


@pytest.mark.parametrize("state", [RunState.PRUNED, RunState.FAILED, RunState.CANCELLED])
async def test_a_run_that_did_not_succeed_solves_nothing(
    state: RunState, solve: Solver, spec_of: "SpecMaker"
) -> None:
    await solve(spec_of(), state=state)

    assert await solve.trained(spec_of()) == []


async def test_a_run_that_goes_on_solves_nothing_yet(
    solve: Solver, submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    await submit(spec_of())

    assert await solve.trained(spec_of()) == []


async def test_a_weight_whose_name_in_python_differs_is_read(
    solve: Solver, spec_of: "SpecMaker"
) -> None:
    spec = spec_of(model={"name": "lv_ae", "lambda": 0.0102})
    await solve(spec)

    assert [of.weight for of in await solve.trained(spec)] == [0.0102]


@pytest.mark.parametrize("terms", [None, {"images": 1437}, "nothing", []])
async def test_a_run_without_terms_that_this_version_reads_is_left_out(
    terms: object, solve: Solver, spec_of: "SpecMaker"
) -> None:
    await solve(spec_of(model={"beta": 2.0}))
    await solve(spec_of(model={"beta": 3.0}), terms=terms)

    assert [of.weight for of in await solve.trained(spec_of())] == [2.0]


async def test_a_run_that_was_forced_has_the_problem_too(
    solve: Solver, spec_of: "SpecMaker", database: Database
) -> None:
    run_id = await solve(spec_of(), force=True)

    async with database.transaction() as session:
        run = await runs.get(session, run_id)

    assert (run.key, run.problem) == (None, problem_address(spec_of(), DIGEST))
