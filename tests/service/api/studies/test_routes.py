"""Submitting, listing, looking at and steering studies; no broker is there, it is pretended."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI

from polar.records.ranges import StudyRange
from polar.records.record import Record
from polar.records.trials import Measured
from polar.spec import StudySpec
from service.storage.database import Database
from service.storage.states import RunState, StudyState, TrialState
from service.storage.tracking_tables import StudyTracking
from tests.service.api.conftest import Create

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, StudyMaker, Submitter, Trials, Worker

STUDIES = "/api/v1/studies"
EDGE = {"low": 0.1, "high": 0.2, "confidence": 0.9, "at": 0.15, "width": 0.1, "movement": None}

Rows = Callable[[], Awaitable[int]]


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


async def test_a_spec_becomes_a_study_without_trials(
    http: httpx.AsyncClient, study_of: "StudyMaker"
) -> None:
    answer = await http.post(STUDIES, json=study_of(name="mine"))

    study = answer.json()
    assert answer.status_code == 202
    assert answer.headers["location"] == f"{STUDIES}/{study['id']}"
    assert study["spec"] == StudySpec.model_validate(study_of(name="mine")).model_dump(mode="json")
    assert (study["name"], study["state"], study["reason"]) == ("mine", "running", None)
    assert (study["trials_wanted"], study["trials"], study["best"]) == (3, {}, None)
    assert study["completed"] == 0
    assert study["watch"] == f"polar study watch {study['id']}"
    assert (await http.get(answer.headers["location"])).json() == study


async def test_an_idempotency_key_makes_one_study_however_often_it_comes(
    http: httpx.AsyncClient, study_of: "StudyMaker", worker: "Worker"
) -> None:
    headers = {"Idempotency-Key": "the-key"}

    answers = await asyncio.gather(
        *(http.post(STUDIES, json=study_of(), headers=headers) for _ in range(4))
    )
    await worker.announce({})  # no dataset is there any more
    answers.append(await http.post(STUDIES, json=study_of(), headers=headers))

    (study,) = (await http.get(STUDIES)).json()["studies"]
    replayed = [answer.headers.get("idempotency-replayed") for answer in answers]
    assert [answer.json()["id"] for answer in answers] == [study["id"]] * 5
    assert {answer.headers["location"] for answer in answers} == {study["links"]["self"]}
    assert sorted(map(str, replayed)) == ["None", *["true"] * 4]


async def test_the_key_of_a_study_is_no_other_requests(
    http: httpx.AsyncClient, study_of: "StudyMaker", spec_of: "SpecMaker", rows: Rows
) -> None:
    headers = {"Idempotency-Key": "the-key"}
    await http.post(STUDIES, json=study_of(), headers=headers)
    before = await rows()

    other = await http.post(STUDIES, json=study_of(name="b"), headers=headers)
    experiment = await http.post("/api/v1/experiments", json=spec_of.as_json(), headers=headers)

    assert [other.status_code, experiment.status_code] == [422, 422]
    assert other.json()["type"] == "urn:polar:problem:idempotency-key-reused"
    assert experiment.json()["type"] == "urn:polar:problem:idempotency-key-reused"
    assert await rows() == before


async def test_every_link_of_a_study_and_its_trials_leads_somewhere(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    await trials.end(await trials.begin(study_id, beta=1.0), 0.5)
    await trials.end_study(study_id, outcome="found")
    study = (await http.get(f"{STUDIES}/{study_id}")).json()

    links = {**study["links"], **study["best"]["links"]}
    orders = {"pause", "resume", "cancel", "extend", "retry-failed"}
    # those of other servers, and figures, which need a range that was measured
    figures = {"phase_diagram", "hysteresis", "weight_by_steps", "loss_envelope"}
    elsewhere = {"mlflow", "mlflow_runs", "dashboard", *figures}
    found = {
        name: await http.get(link)
        for name, link in links.items()
        if name not in orders | elsewhere
    }
    refused = {name: await http.get(links[name]) for name in orders}

    assert {answer.status_code for answer in found.values()} == {200}
    assert {answer.status_code for answer in refused.values()} == {405}
    assert len(found) == 8


async def test_a_study_leads_to_its_page_in_the_dashboard_and_to_its_run_in_mlflow(
    http: httpx.AsyncClient, create: Create, database: Database
) -> None:
    study_id, searched = await create(sampler="tpe"), await create(sampler="range")
    before = (await http.get(f"{STUDIES}/{study_id}")).json()["links"]
    of_range = (await http.get(f"{STUDIES}/{searched}")).json()["links"]
    async with database.transaction() as session:
        told = {"mlflow_experiment_id": "7", "mlflow_run_id": "abc"}
        session.add(StudyTracking(study_id=study_id, **told))

    after = (await http.get(f"{STUDIES}/{study_id}")).json()["links"]

    assert before["dashboard"] == f"http://127.0.0.1:8651/polar/{study_id}"
    assert of_range["dashboard"] is None  # a range is not something to be raised
    assert (before["mlflow"], before["mlflow_runs"]) == (None, None)
    assert after["mlflow"] == (
        "http://mlflow.test:5650/#/experiments/7/runs/abc?workflowType=machine_learning"
    )
    assert after["mlflow_runs"] == (
        "http://mlflow.test:5650/#/experiments/7/runs?workflowType=machine_learning"
        f"&searchFilter=tags.%60polar.study_id%60%20%3D%20%27{study_id}%27"
        "&orderByKey=attributes.start_time&orderByAsc=false"
    )


async def test_the_list_goes_through_all_studies_once_newest_first(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    made = [str(await create(name=str(number))) for number in range(5)]
    await trials.begin(UUID(made[-1]), beta=1.0)

    listed, token = [], None
    for _ in range(3):
        params = {"page_size": 2} | ({"page_token": token} if token else {})
        page = (await http.get(STUDIES, params=params)).json()
        listed += page["studies"]
        token = page["next_page_token"]

    assert [study["id"] for study in listed] == list(reversed(made))
    assert token is None
    assert (listed[0]["trials"], listed[1]["trials"]) == ({"running": 1}, {})


async def test_the_range_is_served_as_the_broker_has_stored_it(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    none_yet = await http.get(f"{STUDIES}/{study_id}/range")
    edges = {"left": EDGE, "right": {**EDGE, "high": None, "at": None}}
    await trials.end_study(study_id, outcome="open", intervals=[edges], envelope=edges, weights=5)

    found = await http.get(f"{STUDIES}/{study_id}/range")

    assert none_yet.status_code == 404
    assert "no range yet" in none_yet.json()["detail"]
    assert found.json() == {
        "fields": ["model.beta"],
        "untrained": 0,
        "unmade": 0,
        "steps": 30,
        "seeds": [0],
        "outcome": "open",
        "of": "clean",
        "intervals": [edges],
        "envelope": edges,
        "held": None,
        "by_steps": [],
        "settled": None,
        "overruled": 0,
        "disagreeing": [],
        "weights": 5,
        "trainings": 1,
        "headline": "no band found",
        "remarks": [],
        "certificates": None,
    }


@pytest.mark.parametrize(
    ("record", "view", "field"),
    [(StudyRange, "StudyView", "range"), (Measured, "TrialView", "measured")],
)
def test_the_documentation_shows_every_field_of_what_a_study_finds(
    api: FastAPI, record: type[Record], view: str, field: str
) -> None:
    schemas = api.openapi()["components"]["schemas"]

    name = record.__name__
    assert schemas[name]["properties"].keys() == record.model_fields.keys()
    shown = schemas[view]["properties"][field]["anyOf"]
    assert {"$ref": f"#/components/schemas/{name}"} in shown


def test_the_range_of_a_study_is_documented_as_a_range(api: FastAPI) -> None:
    (path,) = [path for path in api.openapi()["paths"] if path.endswith("/{study_id}/range")]
    answers = api.openapi()["paths"][path]["get"]["responses"]

    content = answers["200"]["content"]["application/json"]["schema"]
    assert content == {"$ref": "#/components/schemas/StudyRange"}
    assert {"404", "409"} <= answers.keys()


async def test_a_range_comes_with_the_first_trials_whatever_the_sampler(
    http: httpx.AsyncClient, create: Create
) -> None:
    study_id = await create(sampler="tpe")

    answer = await http.get(f"{STUDIES}/{study_id}/range")

    assert answer.status_code == 404
    assert "no range yet: it comes with its first" in answer.json()["detail"]


async def test_validating_counts_trials_and_runs_and_stores_nothing(
    http: httpx.AsyncClient, study_of: "StudyMaker", rows: Rows
) -> None:
    base = {"dataset": {"name": "digits"}, "model": {}, "seeds": [0, 1, 2]}
    axes = {"model.beta": {"log_uniform": [0.1, 10], "points": 5}}
    spec = study_of(base=base, search=axes, sampler="grid", budget={"trials": 50})

    answer = await http.post(f"{STUDIES}/validate", json=spec)

    plan = answer.json()
    assert answer.status_code == 200
    assert plan["spec"] == StudySpec.model_validate(spec).model_dump(mode="json")
    assert (plan["trials"], plan["runs"]) == (5, 15)
    assert plan["estimated_s"] is None
    assert "no run of this dataset" in plan["estimate"]
    assert await rows() == 0


async def test_the_time_is_estimated_from_runs_that_have_succeeded(
    http: httpx.AsyncClient,
    study_of: "StudyMaker",
    worker: "Worker",
    submit: "Submitter",
    spec_of: "SpecMaker",
) -> None:
    run = (await submit(spec_of(training={"steps": 100}))).runs[0]
    await worker.claim(run.id)
    await worker.finish(run.id)
    ended = (await http.get(f"/api/v1/runs/{run.id}")).json()
    base = {"dataset": {"name": "digits"}, "model": {}, "seeds": [0, 1]}

    async def estimate(**fields: Any) -> float:  # noqa: ANN401
        spec = study_of(base={**base, "training": {"steps": 50}}, sampler="random", **fields)
        return float((await http.post(f"{STUDIES}/validate", json=spec)).json()["estimated_s"])

    alone = await estimate()
    longer = await estimate(
        search={"training.steps": {"integer": [10, 200]}, "model.beta": {"choices": [1, 2]}}
    )
    await worker.announce(name="second")
    of_two = await estimate()

    took = datetime.fromisoformat(ended["finished_at"]) - datetime.fromisoformat(
        ended["started_at"]
    )
    assert alone == pytest.approx(took.total_seconds() / 100 * 50 * 6)
    assert longer == pytest.approx(4 * alone)
    assert of_two == pytest.approx(alone / 2)


async def test_a_study_is_paused_resumed_and_extended(
    http: httpx.AsyncClient, create: Create
) -> None:
    study = f"{STUDIES}/{await create()}"

    paused = (await http.post(f"{study}/pause")).json()
    resumed = (await http.post(f"{study}/resume")).json()
    extended = (await http.post(f"{study}/extend", json={"trials": 4})).json()

    assert (paused["state"], paused["reason"]) == ("paused", "user")
    assert (resumed["state"], resumed["reason"]) == ("running", None)
    assert extended["trials_wanted"] == 7


async def test_a_completed_study_goes_on_when_it_is_extended(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    await trials.end_study(study_id)

    extended = (await http.post(f"{STUDIES}/{study_id}/extend", json={"trials": 1})).json()

    assert (extended["state"], extended["finished_at"]) == ("running", None)


async def test_failed_trials_are_tried_again_once(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    await trials.end(await trials.begin(study_id, beta=1.0), state=TrialState.FAILED)
    await trials.end_study(study_id, StudyState.FAILED)

    first = await http.post(f"{STUDIES}/{study_id}/retry-failed")
    second = await http.post(f"{STUDIES}/{study_id}/retry-failed")

    assert first.json()["state"] == "running"
    assert second.status_code == 409
    assert "no failed trial" in second.json()["detail"]


async def test_cancelling_stops_the_runs_in_flight_that_nobody_else_wants(
    http: httpx.AsyncClient,
    create: Create,
    trials: "Trials",
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
) -> None:
    study_id = await create()
    ended = await trials.begin(study_id, beta=1.0)
    await trials.end(ended, 0.5)
    # its run has ended, and the broker has not seen it yet
    unseen = await trials.begin(study_id, beta=2.0)
    run = (await http.get(f"/api/v1/experiments/{unseen.experiment_id}")).json()["runs"][0]
    await worker.claim(run["id"])
    await worker.finish(run["id"])
    alone = await trials.begin(study_id, beta=3.0)
    shared = await trials.begin(study_id, beta=4.0)
    await submit(spec_of(model={"beta": 4.0}))

    answers = [await http.post(f"{STUDIES}/{study_id}/cancel") for _ in range(2)]

    states = {
        trial.number: (await http.get(f"/api/v1/experiments/{trial.experiment_id}")).json()["runs"]
        for trial in (ended, unseen, alone, shared)
    }
    assert [answer.json()["state"] for answer in answers] == ["cancelled", "cancelled"]
    assert {number: runs[0]["state"] for number, runs in states.items()} == {
        ended.number: RunState.QUEUED,
        unseen.number: RunState.SUCCEEDED,
        alone.number: RunState.CANCELLED,
        shared.number: RunState.QUEUED,
    }


@pytest.mark.parametrize("order", ["pause", "resume", "cancel"])
async def test_a_study_that_has_ended_is_a_conflict(
    order: str, http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    await trials.end_study(study_id)

    answer = await http.post(f"{STUDIES}/{study_id}/{order}")

    assert answer.status_code == 409
    assert "already ended" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["extend", "retry-failed"])
async def test_a_cancelled_study_stays_so(
    path: str, http: httpx.AsyncClient, create: Create
) -> None:
    study = f"{STUDIES}/{await create()}"
    await http.post(f"{study}/cancel")

    answer = await http.post(f"{study}/{path}", json={"trials": 1})

    assert answer.status_code == 409
    assert (await http.get(study)).json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *[("GET", path) for path in ("", "/trials", "/trials.csv", "/pareto", "/range")],
        *[("POST", path) for path in ("/pause", "/resume", "/cancel", "/extend", "/retry-failed")],
    ],
)
async def test_an_unknown_study_is_not_found(
    method: str, path: str, http: httpx.AsyncClient
) -> None:
    body = {"trials": 1} if path == "/extend" else None

    answer = await http.request(method, f"{STUDIES}/{uuid4()}{path}", json=body)

    assert answer.status_code == 404
    assert "there is no study" in answer.json()["detail"]
