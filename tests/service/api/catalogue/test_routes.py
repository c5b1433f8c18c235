"""What a spec can ask for, and whether the service is well."""

from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
from pydantic import SecretStr
from sqlalchemy import func, text, update

from polar.spec import ExperimentSpec, StudySpec
from service.api.app import create_app
from service.settings import Settings
from service.storage.database import Database
from service.storage.tables import Agent

if TYPE_CHECKING:
    from tests.service.conftest import Worker


async def test_the_schema_is_that_of_a_spec(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/v1/schema")).json() == ExperimentSpec.model_json_schema()


async def test_the_schema_of_studies_is_that_of_their_spec(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/v1/schema/study")).json() == StudySpec.model_json_schema()


async def test_models_tell_their_weight_and_the_range_of_each_field(
    http: httpx.AsyncClient,
) -> None:
    models = (await http.get("/api/v1/models")).json()

    weights = {model["name"]: model["weight_name"] for model in models}
    beta = models[0]["fields"]["beta"]
    assert weights == {
        "beta_vae": "beta",
        "ivae": "alpha",
        "fixed_variance_vae": "beta",
        "lv_ae": "lambda",
        "l2_ae": "gamma",
        "ae": None,
    }
    assert (beta["minimum"], beta["maximum"], beta["default"]) == (0, 1e6, 1.0)
    assert models[3]["fields"]["lambda"]["default"] == 1e-3


async def test_datasets_tell_who_has_them_and_which_nobody_has(
    http: httpx.AsyncClient, worker: "Worker"
) -> None:
    await worker.announce({"digits": "a"}, device="cpu", name="one")
    await worker.announce({"digits": "a"}, device="cuda", name="two")

    datasets = (await http.get("/api/v1/datasets")).json()

    there = {
        (each["name"], each["digest"]): {
            agent["name"]: agent["device"] for agent in each["agents"]
        }
        for each in datasets
    }
    assert there[("digits", "a")] == {"one": "cpu", "two": "cuda"}
    assert there[("mnist", None)] == {}
    assert datasets[0]["agents"][0]["seen_at"].endswith("Z")


async def test_a_dataset_that_differs_between_agents_is_listed_twice(
    http: httpx.AsyncClient, worker: "Worker"
) -> None:
    await worker.announce({"digits": "a"}, name="one")
    await worker.announce({"digits": "b"}, name="two")

    datasets = (await http.get("/api/v1/datasets")).json()

    there = [
        (each["digest"], [agent["name"] for agent in each["agents"]])
        for each in datasets
        if each["name"] == "digits"
    ]
    assert there == [("a", ["one"]), ("b", ["two"])]


async def test_the_service_is_ready_when_an_agent_is_there(
    http: httpx.AsyncClient, worker: "Worker", database: Database
) -> None:
    alone = await http.get("/api/v1/readyz")
    await worker.announce()
    with_agent = await http.get("/api/v1/readyz")
    async with database.transaction() as session:
        await session.execute(update(Agent).values(seen_at=func.now() - timedelta(minutes=2)))
    left_alone = await http.get("/api/v1/readyz")

    assert [answer.status_code for answer in (alone, with_agent, left_alone)] == [503, 200, 503]
    assert "no agent" in alone.json()["detail"]
    assert (await http.get("/api/v1/healthz")).json() == {"status": "ok", "home_id": None}


async def test_the_service_is_not_ready_on_another_schema(
    http: httpx.AsyncClient, worker: "Worker", database: Database
) -> None:
    await worker.announce()
    async with database.transaction() as session:
        await session.execute(text("update app.alembic_version set version_num = '0001'"))

    answer = await http.get("/api/v1/readyz")

    assert answer.status_code == 503
    assert "migration 0001" in answer.json()["detail"]


async def test_the_service_is_up_but_not_ready_without_its_database(settings: Settings) -> None:
    nobody = SecretStr("postgresql://polar:secret@127.0.0.1:1/app")
    api = create_app(settings.model_copy(update={"database_url": nobody}))
    transport = httpx.ASGITransport(api)

    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as http:
        up, ready = await http.get("/healthz"), await http.get("/readyz")

    assert (up.status_code, ready.status_code) == (200, 503)
    assert "the database does not answer" in ready.json()["detail"]
