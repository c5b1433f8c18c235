"""What the API refuses: in which words, and that nothing of it is stored."""

import re
import string
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import psycopg
import pytest
from fastapi import FastAPI
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pydantic import SecretStr

from service.api.app import create_app
from service.settings import Settings
from tests.service.conftest import OWNER

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Worker


EXPERIMENTS = "/api/v1/experiments"
PROBLEM = {"type", "title", "status", "detail", "instance", "request_id", "errors"}

Rows = Callable[[], Awaitable[int]]


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


def changed(path: str, value: object) -> dict[str, Any]:
    """The smallest spec with one more field, given as `part.field`."""
    spec: dict[str, Any] = {"dataset": {"name": "digits"}, "model": {}}
    *parents, last = path.split(".")
    part = spec
    for parent in parents:
        part = part.setdefault(parent, {})
    part[last] = value
    return spec


@pytest.mark.parametrize(
    ("path", "value", "pointer", "allowed"),
    [
        ("model.beta", -1, "/model/beta", "a number from 0 to 1000000"),
        ("model.beta", "1", "/model/beta", "a number from 0 to 1000000"),
        ("model.latent_dim", 0, "/model/latent_dim", "an integer from 1 to 1024"),
        ("model.latent_dim", 2.5, "/model/latent_dim", "an integer from 1 to 1024"),
        ("model.betta", 1, "/model/betta", "name, latent_dim, widths, likelihood, beta"),
        ("model.widths", 3, "/model/widths", "5 items, each an integer from 1 to 1024"),
        ("training.learning_rate", 0, "/training/learning_rate", "above 0 and at most 1"),
        ("training.checkpoint_every", 0, "/training/checkpoint_every", "an integer from 1 to 1"),
        ("training.batch_size", 1439, "/training/batch_size", "an integer from 1 to 1438"),
        ("diagnostics.sigma", 0, "/diagnostics/sigma", "a number from 1e-06 to 1000000"),
        ("seeds", [0, 2**32], "/seeds/1", "an integer from 0 to 4294967295"),
        ("seeds", [], "/seeds", "1 to 1000 items"),
        ("device", "tpu", "/device", "auto, cpu, cuda"),
        ("name", "x" * 101, "/name", "text of at most 100 characters"),
        ("name", "a\0b", "/name", "text of at most 100 characters"),
        (
            "dataset.name",
            "imagenet",
            "/dataset/name",
            "digits, dsprites, images, mnist",
        ),
        ("dataset.name", "mnist", "/dataset/name", "digits"),
    ],
)
async def test_a_fault_is_named_with_its_place_its_value_and_what_is_allowed(
    path: str, value: object, pointer: str, allowed: str, http: httpx.AsyncClient, rows: Rows
) -> None:
    answer = await http.post(EXPERIMENTS, json=changed(path, value))

    problem = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem.keys() == PROBLEM
    assert [fault["pointer"] for fault in problem["errors"]] == [pointer]
    assert allowed in problem["errors"][0]["allowed"]
    assert problem["errors"][0]["value"]
    assert pointer in problem["detail"]
    assert await rows() == 0


async def test_all_faults_are_told_at_once(http: httpx.AsyncClient, rows: Rows) -> None:
    spec = {
        "dataset": {"name": "digits", "images": 0},
        "model": {"beta": -1, "latent_dim": 0},
        "training": {"steps": "many"},
        "beta": 3,
    }

    problem = (await http.post(EXPERIMENTS, json=spec)).json()

    suggestions = {fault["pointer"]: fault["suggestion"] for fault in problem["errors"]}
    assert suggestions == {
        "/dataset/images": None,
        "/model/beta": None,
        "/model/latent_dim": None,
        "/training/steps": None,
        "/beta": "/model/beta",
    }
    assert problem["type"] == "urn:polar:problem:invalid-spec"
    assert await rows() == 0


async def test_a_device_that_no_agent_has_is_refused_with_those_that_are_there(
    http: httpx.AsyncClient, spec_of: "SpecMaker", rows: Rows
) -> None:
    # It was blamed on the dataset, with no word of the devices that there are.
    answer = await http.post(EXPERIMENTS, json=spec_of.as_json(device="cuda"))

    (fault,) = answer.json()["errors"]
    assert answer.status_code == 422
    assert (fault["pointer"], fault["value"]) == ("/device", "'cuda'")
    assert fault["allowed"] == "auto, cpu"
    assert await rows() == 0


async def test_a_dataset_that_no_agent_has_is_refused_with_how_to_get_it(
    http: httpx.AsyncClient, spec_of: "SpecMaker", worker: "Worker", rows: Rows
) -> None:
    await worker.announce({"digits": "d", "sprites": "s"})

    answer = await http.post(EXPERIMENTS, json=spec_of.as_json(dataset={"name": "mnist"}))

    (fault,) = answer.json()["errors"]
    assert answer.status_code == 422
    assert fault["pointer"] == "/dataset/name"
    assert "`polar data fetch mnist`" in fault["message"]
    assert fault["allowed"] == "digits, sprites"
    assert await rows() == 0


async def test_a_dataset_that_cannot_be_fetched_is_not_said_to_be(
    http: httpx.AsyncClient, spec_of: "SpecMaker", worker: "Worker"
) -> None:
    await worker.announce({"mnist": "d"})

    answer = await http.post(EXPERIMENTS, json=spec_of.as_json(dataset={"name": "digits"}))

    (fault,) = answer.json()["errors"]
    assert fault["message"] == "no agent for device auto has this dataset"


@pytest.mark.parametrize("key", ["", "x" * 256, "two words", "\x7f"])
async def test_an_idempotency_key_is_a_short_word(
    key: str, http: httpx.AsyncClient, spec_of: "SpecMaker", rows: Rows
) -> None:
    answer = await http.post(EXPERIMENTS, json=spec_of.as_json(), headers={"idempotency-key": key})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "/header/Idempotency-Key"
    assert await rows() == 0


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("page_size=0", "/query/page_size"),
        ("page_size=201", "/query/page_size"),
        ("page_size=x", "/query/page_size"),
        ("page_token=x", "/query/page_token"),
        ("page_token=%C3%A9", "/query/page_token"),
        ("page_token=MjAyNg==", "/query/page_token"),
    ],
)
async def test_a_wrong_page_is_refused(query: str, pointer: str, http: httpx.AsyncClient) -> None:
    answer = await http.get(f"{EXPERIMENTS}?{query}")

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/api/v1/nowhere", 404),
        ("DELETE", "/api/v1/experiments", 405),
        ("GET", "/api/v1/experiments/validate", 404),
        ("DELETE", "/api/v1/runs/1", 422),
        ("GET", "/api/v1/runs/%00", 422),
    ],
)
async def test_every_refusal_is_a_problem(
    method: str, path: str, status: int, http: httpx.AsyncClient
) -> None:
    answer = await http.request(method, path)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().keys() == PROBLEM
    assert answer.json()["status"] == status


async def test_the_documentation_calls_every_refusal_a_problem(http: httpx.AsyncClient) -> None:
    documentation = (await http.get("/openapi.json")).json()

    refusals = [
        (where, status, response.get("content"))
        for where, operations in documentation["paths"].items()
        for operation in operations.values()
        for status, response in operation["responses"].items()
        if int(status) >= 400
    ]
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    assert len(refusals) > 20
    assert [refusal for refusal in refusals if refusal[2] != problem] == []
    assert documentation["components"]["schemas"]["Problem"]["properties"].keys() == PROBLEM
    assert "HTTPValidationError" not in documentation["components"]["schemas"]


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("experiments", "GET, POST"),
        ("studies", "GET, POST"),
        ("measurements", "POST"),
        ("runs/0b5e3c6e-7d0f-4f0e-9a57-3f1c2d4b5a69/events", "GET"),
        ("runs/0b5e3c6e-7d0f-4f0e-9a57-3f1c2d4b5a69/cancel", "POST"),
    ],
)
async def test_what_is_not_allowed_says_all_that_is(
    path: str, allowed: str, http: httpx.AsyncClient
) -> None:
    # Only the methods of the first of several routes were named.
    answer = await http.delete(f"/api/v1/{path}")

    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed


async def test_every_path_says_all_methods_that_it_has(
    api: FastAPI, http: httpx.AsyncClient
) -> None:
    for path in api.openapi()["paths"]:
        methods = ("GET", "POST", "PUT", "PATCH", "DELETE")
        filled = re.sub(r"{\w+}", "x", path)
        answers = {method: await http.request(method, filled) for method in methods}
        refused = {name for name, answer in answers.items() if answer.status_code == 405}
        said = {answers[method].headers["allow"] for method in refused}

        assert said == {", ".join(sorted(set(methods) - refused))}, path


async def test_an_error_of_the_service_tells_its_number_and_nothing_else(
    api: FastAPI, http: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    @api.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the password is sesame")

    answer = await http.get("/broken")

    problem = answer.json()
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "sesame" not in answer.text
    assert problem["request_id"] in caplog.text


async def test_a_commit_that_fails_is_no_success(
    http: httpx.AsyncClient, spec_of: "SpecMaker", database_url: str, rows: Rows
) -> None:
    # A commit in a dependency would come after the answer, but for its scope="function".
    with psycopg.connect(database_url) as owner:
        owner.execute(
            "create function app.refuse() returns trigger language plpgsql"
            " as $$ begin raise 'not today'; end $$"
        )
        owner.execute(
            "create constraint trigger refuse after insert on app.experiments"
            " deferrable initially deferred for each row execute function app.refuse()"
        )

    answer = await http.post(EXPERIMENTS, json=spec_of.as_json())

    assert answer.status_code == 500
    assert await rows() == 0


async def test_a_database_that_is_away_is_said_so(settings: Settings) -> None:
    nobody = SecretStr("postgresql://polar:secret@127.0.0.1:1/app")
    api = create_app(settings.model_copy(update={"database_url": nobody}))
    transport = httpx.ASGITransport(api)

    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers=OWNER
    ) as http:
        answer = await http.get(EXPERIMENTS)

    assert answer.status_code == 503
    assert "the database does not answer" in answer.json()["detail"]
    assert "secret" not in answer.text


@hypothesis_settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    path=st.text(max_size=30).map(lambda path: quote(path, errors="replace")),
    header=st.text(string.ascii_letters + string.punctuation, max_size=20),
)
async def test_no_address_breaks_the_service(
    path: str, header: str, http: httpx.AsyncClient
) -> None:
    answer = await http.get(f"/api/v1/runs/{path}", headers={"last-event-id": header})

    assert answer.status_code < 500
