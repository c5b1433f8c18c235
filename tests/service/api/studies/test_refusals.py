"""Which studies the API refuses: in which words, and that nothing of them is stored."""

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

if TYPE_CHECKING:
    from tests.service.conftest import StudyMaker, Worker

STUDIES = "/api/v1/studies"
IS_JSON = {"content-type": "application/json"}

Rows = Callable[[], Awaitable[int]]


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


@pytest.mark.parametrize("path", ["", "/validate"])
@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        (
            {"search": {"model.beta": {"log_uniform": [0, 100]}}},
            "/search/model.beta/log_uniform",
            "cannot include 0",
        ),
        ({"search": {"model.betta": {"choices": [1, 2]}}}, "/search/model.betta", "model.beta"),
        ({"search": {"beta": {"choices": [1, 2]}}}, "/search/beta", "model.*"),
        (
            {"search": {"diagnostics.tau_std": {"uniform": [0, 1]}}},
            "/search/diagnostics.tau_std",
            "tune the ruler",
        ),
        (
            {
                "base": {"dataset": {"name": "digits"}, "model": {"name": "lv_ae"}},
                "search": {"model.lambda": {"log_uniform": [1e-5, 1]}},
                "objectives": ["kl"],
            },
            "/objectives/0",
            "deterministic",
        ),
        (
            {
                "sampler": "grid",
                "search": {
                    f"model.{name}": {"integer": [1, 1000]} for name in ("beta", "latent_dim")
                }
                | {"training.batch_size": {"integer": [1, 1000]}},
            },
            "/search",
            "1,000,000,000 points",
        ),
        (  # each value fits alone, but a batch of 1,000 is more than half of the images
            {
                "search": {
                    "model.beta": {"log_uniform": [0.1, 10]},
                    "training.batch_size": {"fixed": 1000},
                    "training.held_out": {"fixed": 0.5},
                }
            },
            "/search/training.batch_size",
            "images",
        ),
        ({"base": {"dataset": {"name": "mnist"}, "model": {}}}, "/base/dataset/name", "no agent"),
        ({"budget": {"trials": 0}}, "/budget/trials", "an integer from 1 to 10000"),
        ({"sampler": "tpee"}, "/sampler", "range, tpe"),
    ],
)
async def test_a_study_that_cannot_be_is_refused_with_its_place(
    path: str,
    fields: dict[str, Any],
    pointer: str,
    words: str,
    http: httpx.AsyncClient,
    study_of: "StudyMaker",
    rows: Rows,
) -> None:
    answer = await http.post(STUDIES + path, json=study_of(**fields))

    problem = answer.json()
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == "urn:polar:problem:invalid-spec"
    assert pointer in [fault["pointer"] for fault in problem["errors"]]
    assert words in json.dumps(problem["errors"])
    assert await rows() == 0


async def test_all_faults_of_a_study_are_told_at_once(
    http: httpx.AsyncClient, study_of: "StudyMaker", rows: Rows
) -> None:
    spec = study_of(
        base={"dataset": {"name": "digits"}, "model": {"beta": -1, "latentdim": 3}},
        search={"model.beta": {"log_uniform": [0, 1]}},
        concurrency=0,
        samplr="tpe",
    )

    problem = (await http.post(STUDIES, json=spec)).json()

    suggestions = {fault["pointer"]: fault["suggestion"] for fault in problem["errors"]}
    assert suggestions == {
        "/base/model/beta": None,
        "/base/model/latentdim": "latent_dim",
        "/search/model.beta/log_uniform": None,
        "/concurrency": None,
        "/samplr": "sampler",
    }
    assert await rows() == 0


@pytest.mark.parametrize("path", ["", "/validate"])
@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"", 422), (b"null", 422), (b"[]", 422), (b"\xff", 400)]
)
async def test_a_body_that_is_no_study_is_refused(
    path: str, body: bytes, status: int, http: httpx.AsyncClient, rows: Rows
) -> None:
    answer = await http.post(STUDIES + path, content=body, headers=IS_JSON)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert await rows() == 0


@pytest.mark.parametrize("path", ["", "/validate", "/00000000-0000-4000-8000-000000000000/extend"])
async def test_what_is_not_called_json_is_refused(
    path: str, http: httpx.AsyncClient, study_of: "StudyMaker", rows: Rows
) -> None:
    body = json.dumps(study_of())

    answer = await http.post(STUDIES + path, content=body, headers={"content-type": "text/plain"})

    assert answer.status_code == 415
    assert await rows() == 0


@pytest.mark.parametrize("trials", [0, -1, 1.5, "2", 10_001, None, True, 10**400])
async def test_an_extension_is_a_number_of_trials(
    trials: object, http: httpx.AsyncClient, study_of: "StudyMaker"
) -> None:
    study = (await http.post(STUDIES, json=study_of())).json()

    answer = await http.post(study["links"]["extend"], json={"trials": trials})

    (fault,) = answer.json()["errors"]
    assert answer.status_code == 422
    assert (fault["pointer"], fault["allowed"]) == ("/trials", "an integer from 1 to 10000")
    assert (await http.get(study["links"]["self"])).json() == study


@pytest.mark.parametrize(
    ("extension", "pointer", "words"),
    [
        ({}, "", "has nothing to add; allowed: trials, budget_steps"),
        ({"seeds": []}, "", "has nothing to add; allowed: trials, budget_steps"),
        ({"budget_steps": 0}, "/budget_steps", "an integer from 1"),
        ({"steps": 9}, "/steps", "no such field"),
        ({"training_steps": 0}, "/training_steps", "an integer from 1"),
        ({"training_steps": 10**8}, "/training_steps", "to 10000000"),
        ({"seeds": [3, 3]}, "/seeds", "listed twice"),
        ({"seeds": [-1]}, "/seeds/0", "an integer from 0"),
        ({"seeds": ["3"]}, "/seeds/0", "integer"),
        ({"seeds": list(range(1, 1002))}, "/seeds", "1000"),
        ({"trials": 1, "hours": 2}, "/hours", "no such field"),
    ],
)
async def test_an_extension_by_nothing_or_by_what_is_no_seed_is_refused(
    extension: object,
    pointer: str,
    words: str,
    http: httpx.AsyncClient,
    study_of: "StudyMaker",
) -> None:
    study = (await http.post(STUDIES, json=study_of())).json()

    answer = await http.post(study["links"]["extend"], json=extension)

    (fault,) = answer.json()["errors"]
    assert answer.status_code == 422
    assert fault["pointer"] == pointer
    assert words in str(fault)
    assert (await http.get(study["links"]["self"])).json() == study


async def test_a_seed_that_the_study_has_is_a_conflict(
    http: httpx.AsyncClient, study_of: "StudyMaker"
) -> None:
    study = (await http.post(STUDIES, json=study_of())).json()

    answer = await http.post(study["links"]["extend"], json={"seeds": [0, 7]})

    assert answer.status_code == 409
    assert "these seeds already: [0]" in answer.json()["detail"]


@pytest.mark.parametrize("token", ["x", "-1", str(2**31), "1.5"])
async def test_a_wrong_page_of_trials_is_refused(
    token: str, http: httpx.AsyncClient, study_of: "StudyMaker"
) -> None:
    study = (await http.post(STUDIES, json=study_of())).json()

    answer = await http.get(study["links"]["trials"], params={"page_token": token})

    assert answer.status_code == 422
    assert [fault["pointer"] for fault in answer.json()["errors"]] == ["/query/page_token"]


@pytest.mark.parametrize("kind", ["xlsx", "csv.gz", "CSV", "%00"])
async def test_trials_are_exported_as_csv_or_parquet_only(
    kind: str, http: httpx.AsyncClient, study_of: "StudyMaker"
) -> None:
    study = (await http.post(STUDIES, json=study_of())).json()

    answer = await http.get(f"{study['links']['trials']}.{kind}")

    assert answer.status_code == 422
    assert "csv" in answer.json()["detail"]


FIELDS = ["base", "search", "objectives", "constraints", "sampler", "budget", "concurrency"]
AXES = ["log_uniform", "uniform", "integer", "choices", "fixed", "points"]
NAMES = ["model.beta", "training.steps", "model.latent_dim", "model", "diagnostics.tau_std", "."]

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.sampled_from(["random", "grid", "kl", "n_active", "\0", "\ud800"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(AXES + NAMES) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
axes = st.dictionaries(st.sampled_from(NAMES), st.dictionaries(st.sampled_from(AXES), json_values))


@hypothesis_settings(
    max_examples=200,
    deadline=None,  # a request of a loaded machine
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # what is stored disturbs nobody
)
@given(
    fields=st.dictionaries(st.sampled_from(FIELDS), json_values, max_size=3)
    | st.fixed_dictionaries({"search": axes}, optional={"sampler": st.just("random")})
)
async def test_no_study_breaks_the_service(
    fields: dict[str, Any], http: httpx.AsyncClient, study_of: "StudyMaker"
) -> None:
    body = json.dumps(study_of(**fields)).encode()

    answer = await http.post(STUDIES, content=body, headers=IS_JSON)

    assert answer.status_code < 500
