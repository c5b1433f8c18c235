"""What a spec can ask for."""

from typing import TYPE_CHECKING

import httpx

from service.api.experiments.schemas import NewExperiment
from service.api.studies.schemas import NewStudy

if TYPE_CHECKING:
    from tests.service.conftest import Worker


async def test_the_schema_is_that_of_a_spec_with_tags_and_a_note(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/v1/schema")).json() == NewExperiment.model_json_schema()


async def test_the_schema_of_studies_is_that_of_their_spec(http: httpx.AsyncClient) -> None:
    assert (await http.get("/api/v1/schema/study")).json() == NewStudy.model_json_schema()


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
        "own": "weight",
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
