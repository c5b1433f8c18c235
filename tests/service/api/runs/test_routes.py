"""Looking at runs, and cancelling them."""

from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest

from service.storage import runs, tracking
from service.storage.database import Database
from service.storage.states import RunState

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Worker

RUNS = "/api/v1/runs"


async def look(http: httpx.AsyncClient, run_id: object) -> dict[str, Any]:
    answer = await http.get(f"{RUNS}/{run_id}")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


async def test_a_waiting_run_knows_its_place(
    http: httpx.AsyncClient, submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    waiting = (await submit(spec_of(seeds=[0, 1]))).runs[1]

    run = await look(http, waiting.id)

    assert (run["state"], run["queue_position"], run["attempt"]) == ("queued", 1, 0)
    assert (run["progress"], run["verdict"], run["result"]) == (None, None, None)
    assert (run["mlflow_run_id"], run["links"]["mlflow"]) == (None, None)


async def test_a_running_run_tells_its_progress(
    http: httpx.AsyncClient, run_id: UUID, worker: "Worker", reports: "Reports"
) -> None:
    await worker.record(run_id, reports.progress(10), reports.evaluation(10))

    run = await look(http, run_id)

    assert (run["state"], run["queue_position"], run["attempt"]) == ("running", None, 1)
    assert run["progress"] == reports.progress(10).model_dump(mode="json")
    assert run["verdict"]["regime"] == "clean"


async def test_a_finished_run_has_a_result_in_words_and_its_history(
    http: httpx.AsyncClient,
    run_id: UUID,
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
    database: Database,
) -> None:
    async with database.transaction() as session:
        await runs.release(session, run_id, 1, reason="agent_stopped", message="it stopped")
    await worker.claim(run_id)
    await worker.record(run_id, reports.result(spec_of()), attempt=2)
    await worker.finish(run_id, attempt=2)
    async with database.transaction() as session:
        await tracking.begin(session, run_id, mlflow_experiment_id="7", mlflow_run_id="abc")

    run = await look(http, run_id)

    changes = [(change["attempt"], change["state"], change["reason"]) for change in run["history"]]
    assert run["result"] == reports.result(spec_of()).model_dump(mode="json")
    assert run["result"]["explanation"] == "One latent of two is active."
    assert changes == [
        (0, "queued", None),
        (1, "running", None),
        (1, "queued", "agent_stopped"),
        (2, "running", None),
        (2, "succeeded", None),
    ]
    assert run["history"][2]["message"] == "it stopped"
    assert (run["mlflow_experiment_id"], run["mlflow_run_id"]) == ("7", "abc")
    assert run["links"]["mlflow"] == (
        "http://mlflow.test:5650/#/experiments/7/runs/abc?workflowType=machine_learning"
    )
    assert run["created_at"] <= run["started_at"] <= run["finished_at"]
    assert run["created_at"].endswith("Z")


async def test_a_waiting_run_is_cancelled_at_once(
    http: httpx.AsyncClient, submit: "Submitter", spec_of: "SpecMaker", worker: "Worker"
) -> None:
    run_id = (await submit(spec_of())).runs[0].id

    answers = [await http.post(f"{RUNS}/{run_id}/cancel") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json()["state"] for answer in answers] == ["cancelled", "cancelled"]
    assert await worker.claim(run_id) is None


async def test_a_running_run_is_asked_to_stop(http: httpx.AsyncClient, run_id: UUID) -> None:
    answer = await http.post(f"{RUNS}/{run_id}/cancel")

    assert answer.status_code == 200
    assert (answer.json()["state"], answer.json()["cancel_requested"]) == ("running", True)


@pytest.mark.parametrize("end", [RunState.SUCCEEDED, RunState.FAILED])
async def test_cancelling_a_run_that_has_ended_is_a_conflict(
    end: RunState, http: httpx.AsyncClient, run_id: UUID, worker: "Worker"
) -> None:
    await worker.finish(run_id, end)

    answer = await http.post(f"{RUNS}/{run_id}/cancel")

    assert answer.status_code == 409
    assert f"already ended as {end}" in answer.json()["detail"]
    assert (await look(http, run_id))["state"] == end


@pytest.mark.parametrize("path", ["", "/cancel", "/events", "/diagnostics", "/figures"])
async def test_an_unknown_run_is_not_found(path: str, http: httpx.AsyncClient) -> None:
    ask = http.post if path == "/cancel" else http.get

    answer = await ask(f"{RUNS}/{uuid4()}{path}")

    assert answer.status_code == 404
    assert "there is no run" in answer.json()["detail"]


async def test_a_list_tells_runs_apart_by_weight_and_steps(
    http: httpx.AsyncClient, submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    for model in ({"beta": 0.25}, {"name": "lv_ae", "lambda": 20}, {"name": "ae"}):
        await submit(spec_of(model=model, training={"steps": 1234}))

    listed = (await http.get(RUNS)).json()["runs"]

    assert [(run["weight"], run["steps"]) for run in listed] == [
        (None, 1234), ("lambda 20", 1234), ("beta 0.25", 1234),
    ]  # fmt: skip
