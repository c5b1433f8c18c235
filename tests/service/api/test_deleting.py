"""Deleting experiments, runs and studies: what is gone at once, and what is refused."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import httpx
import pytest

from polar.spec import ExperimentSpec
from service import queue
from service.api.event_stream import follow
from service.api.links import PREFIX
from service.api.shared_looks import SharedLooks
from service.storage import deletions, experiments
from service.storage.database import Database
from service.storage.states import StudyState
from service.storage.tables import Run
from tests.service.api.conftest import Create

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Submitter, Trials, Worker

EXPERIMENTS, RUNS, STUDIES = (f"{PREFIX}/{name}" for name in ("experiments", "runs", "studies"))

Succeed = Callable[..., Awaitable[tuple[UUID, list[UUID]]]]


@pytest.fixture
async def succeed(submit: "Submitter", spec_of: "SpecMaker", worker: "Worker") -> Succeed:
    """Makes an experiment whose runs have succeeded; returns its id and theirs."""
    await worker.announce()

    async def make(*seeds: int) -> tuple[UUID, list[UUID]]:
        submission = await submit(spec_of(seeds=seeds))
        for run in submission.new:
            await worker.claim(run.id)
            await worker.finish(run.id)
        return submission.experiment.id, [run.id for run in submission.runs]

    return make


async def status(http: httpx.AsyncClient, path: str) -> int:
    return (await http.get(path)).status_code


async def test_an_experiment_and_its_runs_are_gone_at_once(
    http: httpx.AsyncClient, succeed: Succeed, database: Database
) -> None:
    experiment_id, run_ids = await succeed(0, 1)

    answer = await http.delete(f"{EXPERIMENTS}/{experiment_id}")
    again = await http.delete(f"{EXPERIMENTS}/{experiment_id}")

    assert (answer.status_code, answer.json()["kind"]) == (200, "experiment")
    assert again.json() == answer.json()
    for path in ("", "/events"):
        assert await status(http, f"{EXPERIMENTS}/{experiment_id}{path}") == 404
    assert (await http.get(EXPERIMENTS)).json()["experiments"] == []
    for run_id in run_ids:
        below = ("", "/events", "/diagnostics", "/figures", "/figures/a.png", "/model")
        assert {await status(http, f"{RUNS}/{run_id}{path}") for path in below} == {404}
        for order in ("cancel", "findings"):
            assert (await http.post(f"{RUNS}/{run_id}/{order}")).status_code == 404
        assert (await http.delete(f"{RUNS}/{run_id}")).json()["kind"] == "run"
    async with database.transaction() as session:
        assert set(await deletions.in_files(session)) == set(run_ids)


async def test_the_same_spec_trains_anew_even_with_the_same_key(
    http: httpx.AsyncClient, worker: "Worker", spec_of: "SpecMaker"
) -> None:
    await worker.announce()
    spec, key = spec_of.as_json(), {"Idempotency-Key": "the-key"}
    first = (await http.post(EXPERIMENTS, json=spec, headers=key)).json()
    await worker.claim(UUID(first["runs"][0]["id"]))
    await worker.finish(UUID(first["runs"][0]["id"]))
    await http.delete(first["links"]["self"])

    again = (await http.post(EXPERIMENTS, json=spec, headers=key)).json()

    assert again["id"] != first["id"]
    (run,) = again["runs"]
    assert (run["state"], run["reused"]) == ("queued", False)
    assert run["id"] != first["runs"][0]["id"]


async def test_a_run_stays_as_long_as_another_experiment_has_it(
    http: httpx.AsyncClient, succeed: Succeed
) -> None:
    first, (shared, alone) = await succeed(0, 1)
    second, (also_shared, _) = await succeed(0, 2)
    assert shared == also_shared

    refused = await http.delete(f"{RUNS}/{shared}")
    await http.delete(f"{EXPERIMENTS}/{first}")

    assert refused.status_code == 409
    assert "belongs to several experiments" in refused.json()["detail"]
    assert {str(first), str(second)} <= set(refused.json()["detail"].replace(",", " ").split())
    assert await status(http, f"{RUNS}/{alone}") == 404
    assert await status(http, f"{RUNS}/{shared}") == 200
    await http.delete(f"{EXPERIMENTS}/{second}")
    assert await status(http, f"{RUNS}/{shared}") == 404


async def test_an_experiment_loses_a_run_and_goes_with_its_last(
    http: httpx.AsyncClient, succeed: Succeed
) -> None:
    experiment_id, (first, last) = await succeed(0, 1)

    await http.delete(f"{RUNS}/{first}")
    left = (await http.get(f"{EXPERIMENTS}/{experiment_id}")).json()["runs"]
    await http.delete(f"{RUNS}/{last}")

    assert [run["id"] for run in left] == [str(last)]
    assert await status(http, f"{EXPERIMENTS}/{experiment_id}") == 404


@pytest.mark.parametrize("kind", ["experiments", "runs", "studies"])
async def test_what_never_was_is_not_there(kind: str, http: httpx.AsyncClient) -> None:
    answer = await http.delete(f"{PREFIX}/{kind}/{uuid4()}")

    assert answer.status_code == 404
    assert "there is no " in answer.json()["detail"]


async def test_an_id_of_another_kind_is_not_there_even_when_it_was_deleted(
    http: httpx.AsyncClient, succeed: Succeed
) -> None:
    experiment_id, (run_id,) = await succeed(0)
    await http.delete(f"{EXPERIMENTS}/{experiment_id}")

    for path in (f"{RUNS}/{experiment_id}", f"{EXPERIMENTS}/{run_id}", f"{STUDIES}/{run_id}"):
        assert (await http.delete(path)).status_code == 404


@pytest.mark.parametrize("is_claimed", [False, True])
async def test_what_goes_on_is_refused_until_it_was_cancelled(
    is_claimed: bool,
    http: httpx.AsyncClient,
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    database: Database,
) -> None:
    submission = await submit(spec_of())
    experiment_id, run_id = submission.experiment.id, submission.runs[0].id
    if is_claimed:
        await worker.claim(run_id)
    state = "running" if is_claimed else "queued"

    refused = [await http.delete(f"{EXPERIMENTS}/{experiment_id}")]
    refused.append(await http.delete(f"{RUNS}/{run_id}"))
    await http.post(f"{EXPERIMENTS}/{experiment_id}/cancel")
    accepted = await http.delete(f"{EXPERIMENTS}/{experiment_id}")

    assert [answer.status_code for answer in refused] == [409, 409]
    assert f"its run {run_id} is {state}; cancel it first" in refused[0].json()["detail"]
    assert f"while it is {state}; cancel it first" in refused[1].json()["detail"]
    assert accepted.status_code == 200
    assert await status(http, f"{RUNS}/{run_id}") == 404
    async with database.transaction() as session:
        removable = await deletions.in_files(session)
        run = await session.get_one(Run, run_id)
    assert run.cancel_requested
    assert list(removable) == ([] if is_claimed else [run_id])  # its agent has yet to stop it


async def test_a_run_that_others_still_train_survives_a_cancelled_experiment(
    http: httpx.AsyncClient, submit: "Submitter", spec_of: "SpecMaker", worker: "Worker"
) -> None:
    mine, theirs = await submit(spec_of()), await submit(spec_of())
    run_id = mine.runs[0].id
    await worker.claim(run_id)

    await http.post(f"{EXPERIMENTS}/{mine.experiment.id}/cancel")
    answer = await http.delete(f"{EXPERIMENTS}/{mine.experiment.id}")

    assert answer.status_code == 200
    run = (await http.get(f"{RUNS}/{run_id}")).json()
    assert run["state"] == "running"
    other = (await http.get(f"{EXPERIMENTS}/{theirs.experiment.id}")).json()
    assert [each["id"] for each in other["runs"]] == [str(run_id)]


async def test_who_watches_runs_is_not_disturbed_by_those_that_disappear(
    submit: "Submitter", spec_of: "SpecMaker", database: Database
) -> None:
    submission = await submit(spec_of(seeds=[0, 1]))
    kept, gone = [run.id for run in submission.runs]
    looks = SharedLooks(database)
    watching = follow(looks, [kept, gone])
    first = [await anext(watching) for _ in range(4)]  # the state and the place of each
    async with database.transaction() as session:
        await queue.cancel_experiment(session, submission.experiment.id)
        await deletions.delete_experiment(session, submission.experiment.id)
        await deletions.remove_rows(session, gone)

    rest = [event async for event in watching]
    await looks.close()

    assert len(first) == 4
    assert [event.event for event in rest] == ["state"]
    assert str(kept) in str(rest[0].raw_data)


async def test_a_study_goes_with_its_trials_and_without_what_others_have(
    http: httpx.AsyncClient,
    create: Create,
    trials: "Trials",
    worker: "Worker",
    database: Database,
    submit: "Submitter",
) -> None:
    await worker.announce()
    study_id = await create()
    first, second = [await trials.begin(study_id, beta=beta) for beta in (1, 2)]
    (mine,) = await worker.solve(first.experiment_id, 1.0, 1.0, "clean")
    (shared,) = await worker.solve(second.experiment_id, 1.0, 1.0, "clean")
    async with database.transaction() as session:
        experiment = await experiments.get(session, second.experiment_id)
    await submit(ExperimentSpec.model_validate(experiment.spec))
    running = await http.delete(f"{STUDIES}/{study_id}")
    for trial in (first, second):
        await trials.end(trial, 0.5)
    await trials.end_study(study_id)
    of_trial = [
        await http.delete(path)
        for path in (f"{EXPERIMENTS}/{first.experiment_id}", f"{RUNS}/{mine}")
    ]

    answer = await http.delete(f"{STUDIES}/{study_id}")

    assert running.status_code == 409
    assert f"`polar study cancel {study_id}`" in running.json()["detail"]
    assert [refused.status_code for refused in of_trial] == [409, 409]
    assert all("delete the whole study" in refused.json()["detail"] for refused in of_trial)
    assert answer.json()["kind"] == "study"
    assert (await http.delete(f"{STUDIES}/{study_id}")).json() == answer.json()
    below = ("", "/trials", "/range", "/models")
    assert {await status(http, f"{STUDIES}/{study_id}{path}") for path in below} == {404}
    assert await status(http, f"{EXPERIMENTS}/{first.experiment_id}") == 404
    assert await status(http, f"{RUNS}/{mine}") == 404
    assert await status(http, f"{RUNS}/{shared}") == 200
    async with database.transaction() as session:
        assert list(await deletions.in_optuna(session)) == [study_id]


async def test_a_cancelled_study_may_be_deleted_while_its_last_training_stops(
    http: httpx.AsyncClient, create: Create, trials: "Trials", worker: "Worker", database: Database
) -> None:
    await worker.announce()
    study_id = await create()
    trial = await trials.begin(study_id, beta=1)
    async with database.transaction() as session:
        (run,) = await experiments.runs_of(session, trial.experiment_id)
    await worker.claim(run.id)

    await http.post(f"{STUDIES}/{study_id}/cancel")
    answer = await http.delete(f"{STUDIES}/{study_id}")

    assert answer.status_code == 200
    async with database.transaction() as session:
        assert list(await deletions.in_files(session)) == []


async def test_a_study_that_has_ended_waits_for_its_last_training(
    http: httpx.AsyncClient, create: Create, trials: "Trials", worker: "Worker"
) -> None:
    await worker.announce()
    study_id = await create()
    await trials.begin(study_id, beta=1)
    await trials.end_study(study_id, StudyState.COMPLETED)

    refused = await http.delete(f"{STUDIES}/{study_id}")

    assert refused.status_code == 409
    assert "is queued; cancel it first, or wait" in refused.json()["detail"]
    assert await status(http, f"{STUDIES}/{study_id}") == 200  # nothing of it was deleted
