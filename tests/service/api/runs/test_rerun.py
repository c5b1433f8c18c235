"""Trying failed and cancelled runs again."""

from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest

from service.storage.states import RunState

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Submitter, Worker

RUNS = "/api/v1/runs"


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


@pytest.mark.parametrize("end", [RunState.FAILED, RunState.CANCELLED])
async def test_a_run_is_tried_again_with_its_spec_and_seed(
    end: RunState,
    http: httpx.AsyncClient,
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
) -> None:
    runs = (await submit(spec_of(name="mine", seeds=[3, 4]))).runs
    await worker.claim(runs[1].id)
    await worker.finish(runs[1].id, end)
    before = (await http.get(f"{RUNS}/{runs[1].id}")).json()

    answer = await http.post(f"{RUNS}/{runs[1].id}/rerun")

    made = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (202, made["links"]["self"])
    assert made["tags"] == {"repeats": str(runs[1].id)}
    assert made["name"] == "mine"
    assert made["spec"] == before["spec"]
    ((seed, id, state),) = [(run["seed"], run["id"], run["state"]) for run in made["runs"]]
    assert (seed, state) == (4, "queued")
    assert UUID(id) not in {run.id for run in runs}
    assert (await http.get(f"{RUNS}/{runs[1].id}")).json() == before


async def test_a_repeated_request_makes_one_experiment_and_another_shares_its_run(
    http: httpx.AsyncClient, run_id: UUID, worker: "Worker"
) -> None:
    await worker.finish(run_id, RunState.FAILED)

    first, again = [
        await http.post(f"{RUNS}/{run_id}/rerun", headers={"Idempotency-Key": "the-key"})
        for _ in range(2)
    ]
    other = await http.post(f"{RUNS}/{run_id.hex[:8]}/rerun")

    assert again.json() == first.json()
    assert other.json()["id"] != first.json()["id"]
    assert other.json()["runs"][0]["id"] == first.json()["runs"][0]["id"]


@pytest.mark.parametrize("end", [None, RunState.SUCCEEDED])
async def test_what_has_not_gone_wrong_is_not_tried_again(
    end: RunState | None,
    http: httpx.AsyncClient,
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
) -> None:
    run_id = (await submit(spec_of())).runs[0].id
    if end:
        await worker.claim(run_id)
        await worker.finish(run_id, end)

    answer = await http.post(f"{RUNS}/{run_id}/rerun")

    assert answer.status_code == 409
    assert f"is {end or 'queued'}; allowed: runs that have failed or were" in answer.text
    assert len((await http.get("/api/v1/experiments")).json()["experiments"]) == 1


async def test_reading_is_not_enough_to_try_a_run_again(
    http: httpx.AsyncClient, submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    run_id = (await submit(spec_of())).runs[0].id
    made = await http.post("/api/v1/tokens", json={"name": "reader", "scope": "read"})
    reader = {"Authorization": f"Bearer {made.json()['token']}"}

    answer = await http.post(f"{RUNS}/{run_id}/rerun", headers=reader)

    assert answer.status_code == 403
