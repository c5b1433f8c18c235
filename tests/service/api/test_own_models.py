"""A spec sent to the API can name models that an agent's owner has allowed."""

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from polar.spec.own_models import AllowedModels

if TYPE_CHECKING:
    from tests.service.conftest import Worker

CODE, OTHER = "ab" * 32, "cd" * 32
LAB = AllowedModels(packages={"lab.nets": CODE}, names={"mlp": "lab.nets.mlp:Mlp"})
EXPERIMENTS, STUDIES = "/api/v1/experiments", "/api/v1/studies"


def experiment(
    kind: str = "lab.nets.mlp:Mlp", device: str = "auto", **model: object
) -> dict[str, Any]:
    own = {"name": "own", "class": kind, "fields": {"hidden": 3}, **model}
    return {"dataset": {"name": "digits"}, "model": own, "device": device}


def study(kind: str = "lab.nets.mlp:Mlp") -> dict[str, Any]:
    return {"base": experiment(kind), "search": {"model.weight": {"log_uniform": [0.1, 10.0]}}}


def nested(depth: int) -> Any:  # noqa: ANN401
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.fixture
async def _an_agent_allows_it(worker: "Worker") -> None:
    await worker.announce(models=LAB)


@pytest.mark.usefixtures("_an_agent_allows_it")
@pytest.mark.parametrize("kind", ["lab.nets.mlp:Mlp", "lab.nets:Mlp", "mlp"])
@pytest.mark.parametrize("path", [EXPERIMENTS, STUDIES])
async def test_the_code_that_the_agents_have_completes_the_spec(
    path: str, kind: str, http: httpx.AsyncClient
) -> None:
    body = experiment(kind) if path == EXPERIMENTS else study(kind)

    made = await http.post(path, json=body)

    assert made.status_code == 202, made.text
    spec = made.json()["spec"]
    model = spec.get("base", spec)["model"]
    assert (model["class"], model["code"]) == (kind, CODE)
    assert model["fields"] == {"hidden": 3}


@pytest.mark.usefixtures("_an_agent_allows_it")
@pytest.mark.parametrize(
    "kind", ["lab:Net", "labs.nets:Net", "lab.nets", "mlp.x:Y", "mlpp", "os:path"]
)
async def test_a_model_that_nobody_allows_is_refused_with_what_is_allowed(
    kind: str, http: httpx.AsyncClient
) -> None:
    refusal = await http.post(STUDIES, json=study(kind))

    assert refusal.status_code == 422
    (fault,) = refusal.json()["errors"]
    assert (fault["pointer"], fault["type"]) == ("/base/model/class", "model_unavailable")
    assert fault["allowed"] == "models of: lab.nets, mlp"
    assert "POLAR_MODEL_PACKAGES" in fault["message"]


@pytest.mark.usefixtures("_an_agent_allows_it")
async def test_other_code_is_refused(http: httpx.AsyncClient) -> None:
    refusal = await http.post(EXPERIMENTS, json=experiment(code=OTHER))

    (fault,) = refusal.json()["errors"]
    assert (fault["pointer"], fault["type"]) == ("/model/code", "other_code")
    assert (fault["value"], fault["allowed"]) == (repr(OTHER), CODE)


async def test_the_agents_of_the_device_must_allow_it(
    http: httpx.AsyncClient, worker: "Worker"
) -> None:
    await worker.announce(models=LAB, name="cpu", device="cpu")
    await worker.announce(name="cuda", device="cuda")

    allowed = await http.post(EXPERIMENTS, json=experiment(device="cpu"))
    refused = await http.post(EXPERIMENTS, json=experiment(device="cuda"))

    assert (allowed.status_code, refused.status_code) == (202, 422)
    assert refused.json()["errors"][0]["pointer"] == "/model/class"


async def test_the_code_is_that_of_the_agents_of_the_device(
    http: httpx.AsyncClient, worker: "Worker"
) -> None:
    # A spec for one device was refused because an agent of another had announced last.
    others = LAB.model_copy(update={"packages": {"lab.nets": OTHER}})
    await worker.announce(models=LAB, name="cuda", device="cuda")
    await worker.announce(models=others, name="cpu", device="cpu")

    made = {
        device: await http.post(EXPERIMENTS, json=experiment(device=device))
        for device in ("cpu", "cuda")
    }

    codes = {device: each.json()["spec"]["model"]["code"] for device, each in made.items()}
    assert codes == {"cpu": OTHER, "cuda": CODE}


@pytest.mark.usefixtures("_an_agent_allows_it")
async def test_a_code_that_nobody_knew_is_filled_in(http: httpx.AsyncClient) -> None:
    made = await http.post(EXPERIMENTS, json=experiment(code=None))

    assert made.status_code == 202, made.text
    assert made.json()["spec"]["model"]["code"] == CODE


async def test_without_any_agent_that_is_what_is_missing(http: httpx.AsyncClient) -> None:
    refusal = await http.post(EXPERIMENTS, json=experiment())

    (fault,) = refusal.json()["errors"]
    assert fault["type"] == "device_unavailable"


@pytest.mark.usefixtures("_an_agent_allows_it")
async def test_a_study_of_it_can_be_validated(http: httpx.AsyncClient) -> None:
    checked = await http.post(f"{STUDIES}/validate", json=study())

    assert checked.status_code == 200, checked.text


@pytest.mark.usefixtures("_an_agent_allows_it")
@pytest.mark.parametrize("name", ["model.class", "model.code", "model.fields.hidden"])
async def test_a_study_searches_neither_its_class_nor_its_fields(
    name: str, http: httpx.AsyncClient
) -> None:
    spec = {**study(), "search": {name: {"choices": ["lab.nets:Net", "os:path"]}}}

    refusal = await http.post(STUDIES, json=spec)

    fault = refusal.json()["errors"][0]
    assert fault["pointer"] == f"/search/{name}"
    assert fault["allowed"] == "model.latent_dim, model.weight"


@pytest.mark.usefixtures("_an_agent_allows_it")
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"a": "x\0"}, "NUL or half a character"),
        ({"\ud800": 1}, "NUL or half a character"),
        ({"a": [{"b": "\udfff"}]}, "NUL or half a character"),
        ({"a": nested(11)}, "nested more than 10 deep"),
        ({"a": nested(200)}, "nested more than 10 deep"),
    ],
)
async def test_fields_that_cannot_be_kept_are_refused(
    fields: dict[str, Any], words: str, http: httpx.AsyncClient
) -> None:
    body = json.dumps(experiment(fields=fields))

    refusal = await http.post(
        EXPERIMENTS, content=body, headers={"Content-Type": "application/json"}
    )

    assert refusal.status_code == 422, refusal.text
    assert words in refusal.json()["errors"][0]["message"]


@pytest.mark.usefixtures("_an_agent_allows_it")
async def test_fields_may_be_nested_and_say_backslash_u0000(http: httpx.AsyncClient) -> None:
    fields = {"a": nested(8), "text": "\\u0000", "number": 1.5, "nothing": None}

    made = await http.post(EXPERIMENTS, json=experiment(fields=fields))

    assert made.status_code == 202, made.text
    assert made.json()["spec"]["model"]["fields"] == fields


async def test_changed_code_is_trained_anew(http: httpx.AsyncClient, worker: "Worker") -> None:
    runs = []
    for code in (CODE, CODE, OTHER):
        await worker.announce(models=LAB.model_copy(update={"packages": {"lab.nets": code}}))
        made = (await http.post(EXPERIMENTS, json=experiment())).json()
        runs.append(made["runs"][0]["id"])

    assert runs[0] == runs[1] != runs[2]
