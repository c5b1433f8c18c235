"""Extending: an experiment that goes on from finished runs to more steps."""

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import update

from polar.spec import ExperimentSpec
from polar.spec.course import with_steps
from service.storage.database import Database
from service.storage.states import RunState
from service.storage.tables import Run

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Submitter, Worker

EXPERIMENTS, RUNS = "/api/v1/experiments", "/api/v1/runs"


class Finished:
    """Submits experiments and ends their runs, as an agent does."""

    def __init__(self, database: Database, submit: "Submitter", worker: "Worker") -> None:
        self._database = database
        self._submit = submit
        self._worker = worker

    async def __call__(
        self, spec: ExperimentSpec, *, made: int = 100, state: RunState = RunState.SUCCEEDED
    ) -> tuple[UUID, list[UUID]]:
        """The experiment and its runs, which have made so many steps."""
        submission = await self._submit(spec)
        for run in submission.runs:
            await self._worker.claim(run.id)
            async with self._database.transaction() as session:
                statement = update(Run).where(Run.id == run.id)
                await session.execute(statement.values(result={"steps": made}))
            await self._worker.finish(run.id, state)
        return submission.experiment.id, [run.id for run in submission.runs]


@pytest.fixture
async def finished(database: Database, submit: "Submitter", worker: "Worker") -> Finished:
    await worker.announce()
    return Finished(database, submit, worker)


@pytest.fixture
def spec(spec_of: "SpecMaker") -> ExperimentSpec:
    return spec_of(name="mine", training={"steps": 100}, seeds=[3, 4])


async def test_an_extended_experiment_is_one_of_the_same_course_with_more_steps(
    http: httpx.AsyncClient, finished: Finished, spec: ExperimentSpec
) -> None:
    experiment_id, _ = await finished(spec)

    answer = await http.post(f"{EXPERIMENTS}/{experiment_id}/extend", json={"steps": 300})

    made = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == made["links"]["self"]
    assert ExperimentSpec.model_validate(made["spec"]) == with_steps(spec, 300)
    assert (made["name"], made["state"]) == ("mine", "queued")
    assert [run["seed"] for run in made["runs"]] == [3, 4]


async def test_an_extended_run_is_an_experiment_of_its_seed(
    http: httpx.AsyncClient, finished: Finished, spec: ExperimentSpec
) -> None:
    _, (_, run_id) = await finished(spec)

    answer = await http.post(f"{RUNS}/{run_id}/extend", json={"steps": 300})

    assert answer.status_code == 202
    made = ExperimentSpec.model_validate(answer.json()["spec"])
    assert made == with_steps(spec.for_seed(4), 300)


async def test_extending_twice_shares_the_runs_and_one_key_is_one_experiment(
    http: httpx.AsyncClient, finished: Finished, spec: ExperimentSpec
) -> None:
    experiment_id, (run_id, _) = await finished(spec)
    path, body = f"{EXPERIMENTS}/{experiment_id}/extend", {"steps": 300}

    first, second = [
        (await http.post(path, json=body, headers={"Idempotency-Key": "a"})).json()
        for _ in range(2)
    ]
    other = (await http.post(f"{RUNS}/{run_id}/extend", json=body)).json()

    assert first == second
    assert other["id"] != first["id"]
    assert other["runs"][0]["id"] == first["runs"][0]["id"]


async def test_a_run_that_settled_early_goes_on_from_the_steps_that_it_made(
    http: httpx.AsyncClient, finished: Finished, spec_of: "SpecMaker"
) -> None:
    settled = spec_of(training={"steps": 1000, "until": "settled"})
    _, (run_id,) = await finished(settled, made=150)

    answer = await http.post(f"{RUNS}/{run_id}/extend", json={"steps": 400})

    assert answer.status_code == 202
    training = answer.json()["spec"]["training"]
    assert (training["steps"], training["until"]) == (400, "steps")


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        ({"steps": 100}, "an integer from 101 to 10000000"),
        ({"steps": 0}, "an integer from 1 to 10000000"),
        ({}, None),
        ({"steps": 300, "seeds": [1]}, "steps"),
    ],
)
async def test_what_are_no_more_steps_is_refused(
    body: dict[str, Any],
    allowed: str | None,
    http: httpx.AsyncClient,
    finished: Finished,
    spec: ExperimentSpec,
) -> None:
    experiment_id, (run_id, _) = await finished(spec)

    for path in (f"{EXPERIMENTS}/{experiment_id}", f"{RUNS}/{run_id}"):
        answer = await http.post(f"{path}/extend", json=body)

        assert answer.status_code == 422
        (fault,) = answer.json()["errors"]
        assert fault["pointer"] in ("/steps", "/seeds")
        assert allowed is None or allowed in fault["allowed"]


@pytest.mark.parametrize("state", [RunState.FAILED, RunState.PRUNED])
async def test_only_runs_that_have_succeeded_go_on(
    state: RunState, http: httpx.AsyncClient, finished: Finished, spec: ExperimentSpec
) -> None:
    experiment_id, (run_id, _) = await finished(spec, state=state)

    for path in (f"{EXPERIMENTS}/{experiment_id}", f"{RUNS}/{run_id}"):
        answer = await http.post(f"{path}/extend", json={"steps": 300})

        assert answer.status_code == 409
        assert f"is {state}; allowed: runs that have succeeded" in answer.json()["detail"]


@pytest.mark.parametrize(("path", "what"), [(EXPERIMENTS, "experiment"), (RUNS, "run")])
async def test_what_does_not_exist_does_not_go_on(
    path: str, what: str, http: httpx.AsyncClient
) -> None:
    answer = await http.post(f"{path}/{uuid4()}/extend", json={"steps": 300})

    assert answer.status_code == 404
    assert f"there is no {what}" in answer.json()["detail"]
