"""Submitting, listing, looking at and cancelling experiments."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import httpx
import pytest

from service.storage import tracking
from service.storage.artifacts import log_of
from service.storage.database import Database

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Worker

EXPERIMENTS = "/api/v1/experiments"
IN_MLFLOW = "http://mlflow.test:5650/#/experiments/7"


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


async def test_a_spec_becomes_an_experiment_with_a_run_for_each_seed(
    http: httpx.AsyncClient, spec_of: "SpecMaker"
) -> None:
    spec = spec_of(name="two seeds", seeds=[3, 1])

    answer = await http.post(EXPERIMENTS, json=spec_of.as_json(name="two seeds", seeds=[3, 1]))

    experiment = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"{EXPERIMENTS}/{experiment['id']}"
    assert experiment["spec"] == spec.model_dump(mode="json")
    assert experiment["spec_hash"] == spec.content_hash()
    assert experiment["state"] == "queued"
    assert [(run["seed"], run["reused"]) for run in experiment["runs"]] == [(3, False), (1, False)]
    assert experiment["watch"] == f"polar watch {experiment['id']}"
    assert (await http.get(answer.headers["location"])).json() == experiment


async def test_every_link_of_an_answer_leads_somewhere(
    http: httpx.AsyncClient, spec_of: "SpecMaker", worker: "Worker", tmp_path: Path
) -> None:
    experiment = (await http.post(EXPERIMENTS, json=spec_of.as_json())).json()
    run_id = UUID(experiment["runs"][0]["id"])
    await worker.claim(run_id)
    log = tmp_path / log_of(run_id, 1)
    log.parent.mkdir(parents=True)
    log.touch()
    await worker.finish(run_id)

    links = {*experiment["links"].values(), *experiment["runs"][0]["links"].values()} - {None}
    orders = ("/cancel", "/extend", "/findings", "/rerun")
    answers = {link: await http.get(link) for link in links if not link.endswith(orders)}

    assert {answer.status_code for answer in answers.values()} == {200}
    assert len(answers) == 7


async def test_a_run_that_exists_is_shared_and_said_so(
    http: httpx.AsyncClient, spec_of: "SpecMaker"
) -> None:
    first = (await http.post(EXPERIMENTS, json=spec_of.as_json(seeds=[0]))).json()

    second = (await http.post(EXPERIMENTS, json=spec_of.as_json(seeds=[1, 0]))).json()

    assert [run["reused"] for run in second["runs"]] == [False, True]
    assert second["runs"][1]["id"] == first["runs"][0]["id"]


async def test_force_shares_nothing(http: httpx.AsyncClient, spec_of: "SpecMaker") -> None:
    first = (await http.post(EXPERIMENTS, json=spec_of.as_json())).json()

    forced = await http.post(EXPERIMENTS, json=spec_of.as_json(), params={"force": True})

    assert forced.json()["runs"][0]["reused"] is False
    assert forced.json()["runs"][0]["id"] != first["runs"][0]["id"]


async def test_an_idempotency_key_makes_one_experiment_however_often_it_comes(
    http: httpx.AsyncClient, spec_of: "SpecMaker"
) -> None:
    headers = {"Idempotency-Key": "the-key"}

    answers = await asyncio.gather(
        *(http.post(EXPERIMENTS, json=spec_of.as_json(), headers=headers) for _ in range(4))
    )

    listed = (await http.get(EXPERIMENTS)).json()["experiments"]
    replayed = [answer.headers.get("idempotency-replayed") for answer in answers]
    assert {answer.status_code for answer in answers} == {202}
    assert [answer.json() for answer in answers] == [answers[0].json()] * 4
    assert sorted(map(str, replayed)) == ["None", "true", "true", "true"]
    assert {answer.headers["location"] for answer in answers} == {listed[0]["links"]["self"]}
    assert len(listed) == 1


@pytest.mark.parametrize(
    ("other", "params"), [({"model": {"beta": 2}}, {}), ({"name": "b"}, {}), ({}, {"force": True})]
)
async def test_an_idempotency_key_belongs_to_one_request(
    other: dict[str, object],
    params: dict[str, bool],
    http: httpx.AsyncClient,
    spec_of: "SpecMaker",
    rows: Callable[[], Awaitable[int]],
) -> None:
    headers = {"Idempotency-Key": "the-key"}
    await http.post(EXPERIMENTS, json=spec_of.as_json(), headers=headers)
    before = await rows()

    answer = await http.post(
        EXPERIMENTS, json=spec_of.as_json(**other), headers=headers, params=params
    )

    assert answer.status_code == 422
    assert answer.json()["type"] == "urn:polar:problem:idempotency-key-reused"
    assert await rows() == before


async def test_a_key_answers_also_when_the_dataset_is_gone(
    http: httpx.AsyncClient, spec_of: "SpecMaker", worker: "Worker"
) -> None:
    headers = {"Idempotency-Key": "the-key"}
    first = await http.post(EXPERIMENTS, json=spec_of.as_json(), headers=headers)
    await worker.announce({})

    again = await http.post(EXPERIMENTS, json=spec_of.as_json(), headers=headers)

    assert again.status_code == 202
    assert again.json() == first.json()


async def test_validating_shows_the_whole_spec_and_the_runs_that_exist_and_stores_nothing(
    http: httpx.AsyncClient, spec_of: "SpecMaker", rows: Callable[[], Awaitable[int]]
) -> None:
    there = (await http.post(EXPERIMENTS, json=spec_of.as_json(seeds=[1]))).json()["runs"][0]
    before = await rows()

    answer = await http.post(f"{EXPERIMENTS}/validate", json=spec_of.as_json(seeds=[0, 1]))

    plan = answer.json()
    assert answer.status_code == 200
    assert plan["spec"] == spec_of(seeds=[0, 1]).model_dump(mode="json")
    assert plan["spec_hash"] == spec_of(seeds=[0, 1]).content_hash()
    assert plan["runs"] == [
        {"seed": 0, "run_id": None, "state": None},
        {"seed": 1, "run_id": there["id"], "state": "queued"},
    ]
    assert await rows() == before


async def test_the_list_goes_through_all_experiments_once_newest_first(
    http: httpx.AsyncClient, spec_of: "SpecMaker"
) -> None:
    made = [(await http.post(EXPERIMENTS, json=spec_of.as_json())).json() for _ in range(5)]

    listed, token = [], None
    for _ in range(3):
        params = {"page_size": 2} | ({"page_token": token} if token else {})
        page = (await http.get(EXPERIMENTS, params=params)).json()
        listed += page["experiments"]
        token = page["next_page_token"]

    assert [each["id"] for each in listed] == [each["id"] for each in reversed(made)]
    assert token is None
    assert listed[0]["runs"] == {"queued": 1}


async def test_an_experiment_shows_how_far_its_runs_are(
    http: httpx.AsyncClient,
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
    database: Database,
) -> None:
    experiment = (await http.post(EXPERIMENTS, json=spec_of.as_json(seeds=[0, 1]))).json()
    run_id = experiment["runs"][0]["id"]
    await worker.claim(run_id)
    await worker.record(run_id, reports.evaluation(0), reports.progress(10), reports.evaluation(9))
    async with database.transaction() as session:
        await tracking.begin(session, run_id, mlflow_experiment_id="7", mlflow_run_id="abc")

    found = (await http.get(experiment["links"]["self"])).json()

    first, second = found["runs"]
    assert found["state"] == "running"
    view = "workflowType=machine_learning&viewStateShareKey=polar"
    assert found["links"]["mlflow"] == f"{IN_MLFLOW}/runs/abc?workflowType=machine_learning"
    assert found["links"]["mlflow_all"] == f"{IN_MLFLOW}/runs?{view}"
    assert first["state"] == "running"
    assert first["progress"]["eta_s"] == 90.0
    assert first["verdict"] == reports.evaluation(9).verdict.model_dump(mode="json")
    assert first["links"]["mlflow"] == f"{IN_MLFLOW}/runs/abc?workflowType=machine_learning"
    assert (second["state"], second["progress"], second["verdict"]) == ("queued", None, None)


async def test_an_experiment_leads_to_its_runs_in_mlflow_and_to_no_others(
    http: httpx.AsyncClient, spec_of: "SpecMaker", database: Database
) -> None:
    experiment = (await http.post(EXPERIMENTS, json=spec_of.as_json(seeds=[0, 1]))).json()
    async with database.transaction() as session:
        for run, id in zip(experiment["runs"], ("abc", "def"), strict=True):
            told = {"mlflow_experiment_id": "7", "mlflow_run_id": id}
            await tracking.begin(session, UUID(run["id"]), **told)

    found = (await http.get(experiment["links"]["self"])).json()

    assert experiment["links"]["mlflow"] is None
    assert found["links"]["mlflow"] == (
        f"{IN_MLFLOW}/runs?workflowType=machine_learning"
        "&searchFilter=attributes.run_id%20IN%20%28%27abc%27%2C%20%27def%27%29"
        "&orderByKey=attributes.start_time&orderByAsc=false&compareRunsMode=CHART"
    )


async def test_cancelling_an_experiment_cancels_the_runs_that_nobody_else_wants(
    http: httpx.AsyncClient, spec_of: "SpecMaker"
) -> None:
    first = (await http.post(EXPERIMENTS, json=spec_of.as_json(seeds=[0, 1]))).json()
    second = (await http.post(EXPERIMENTS, json=spec_of.as_json(seeds=[1]))).json()

    answer = await http.post(first["links"]["cancel"])

    assert answer.status_code == 200
    assert answer.json()["state"] == "cancelled"
    assert [run["state"] for run in answer.json()["runs"]] == ["cancelled", "queued"]
    assert (await http.get(second["links"]["self"])).json()["state"] == "queued"


async def test_an_experiment_that_has_ended_is_a_conflict(
    http: httpx.AsyncClient, spec_of: "SpecMaker", worker: "Worker"
) -> None:
    experiment = (await http.post(EXPERIMENTS, json=spec_of.as_json())).json()
    await worker.claim(experiment["runs"][0]["id"])
    await worker.finish(experiment["runs"][0]["id"])

    answer = await http.post(experiment["links"]["cancel"])

    assert answer.status_code == 409
    assert "already ended" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["", "/cancel", "/events"])
async def test_an_unknown_experiment_is_not_found(path: str, http: httpx.AsyncClient) -> None:
    ask = http.post if path == "/cancel" else http.get

    answer = await ask(f"{EXPERIMENTS}/{uuid4()}{path}")

    assert answer.status_code == 404
    assert "there is no experiment" in answer.json()["detail"]
