"""What a request says twice, or to nobody, is refused instead of passed over."""

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from fastapi import FastAPI

from service.api.links import PREFIX

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Worker

ID = "0b5e3c6e-7d0f-4f0e-9a57-3f1c2d4b5a69"
IS_JSON = {"content-type": "application/json"}
MEASUREMENTS = f"{PREFIX}/measurements"
CODES = ("codes.npy", b"\x93NUMPY")


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


def faults(answer: httpx.Response) -> dict[str, dict[str, Any]]:
    """The faults of a refusal by their pointers."""
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    return {fault["pointer"]: fault for fault in answer.json()["errors"]}


async def test_every_route_refuses_a_parameter_that_it_does_not_know(
    api: FastAPI, http: httpx.AsyncClient
) -> None:
    for path, operations in api.openapi()["paths"].items():
        address = path.format(
            **dict.fromkeys(("experiment_id", "run_id", "study_id", "measurement_id"), ID),
            name="a.png",
            kind="png" if "figures" in path else "csv",
        )
        for method in operations:
            answer = await http.request(method, address, params={"pagesize": "3"})
            assert faults(answer).keys() == {"/query/pagesize"}, (method, path)


@pytest.mark.parametrize(
    ("query", "pointer", "words"),
    [
        ("pagesize=3", "/query/pagesize", "Did you mean 'page_size'?"),
        ("page_size=3&page_size=4", "/query/page_size", "given more than once (given: '3', then"),
        ("page_size=0", "/query/page_size", "too small (given: '0'); allowed: an integer from 1"),
        ("page_size=x", "/query/page_size", "not a whole number (given: 'x')"),
    ],
)
async def test_a_wrong_parameter_is_named_with_what_is_allowed(
    query: str, pointer: str, words: str, http: httpx.AsyncClient
) -> None:
    answer = await http.get(f"{PREFIX}/experiments?{query}")

    assert faults(answer).keys() == {pointer}
    assert words in answer.json()["detail"]


async def test_a_parameter_of_a_submission_may_not_be_given_twice(
    http: httpx.AsyncClient, spec_of: "SpecMaker"
) -> None:
    address = f"{PREFIX}/experiments?force=1&force=0"

    answer = await http.post(address, json=spec_of.as_json())

    assert faults(answer).keys() == {"/query/force"}
    assert (await http.get(f"{PREFIX}/experiments")).json()["experiments"] == []


async def test_an_id_that_is_none_is_refused_with_how_one_looks(http: httpx.AsyncClient) -> None:
    fault = faults(await http.delete(f"{PREFIX}/runs/mnist"))["/path/run_id"]

    assert fault["message"] == "this is not an id"
    assert fault["allowed"] == (
        f"an id, such as {ID}, or at least 8 of the digits with which it begins"
    )


@pytest.mark.parametrize(
    ("body", "pointer", "value"),
    [
        ('{"model": {"beta": 1, "beta": 2}}', "/model/beta", "1, then 2"),
        ('{"model": {}, "model": {"name": "ae"}}', "/model", "{}, then"),
        ('{"model": {}, "seeds": [{"a/b": 1, "a/b": 1}]}', "/seeds/0/a~1b", "1, then 1"),
    ],
)
@pytest.mark.parametrize(
    "path",
    ["experiments", "experiments/validate", "studies", "studies/validate", f"studies/{ID}/extend"],
)
async def test_a_key_of_json_that_is_given_twice_is_refused(
    path: str, body: str, pointer: str, value: str, http: httpx.AsyncClient
) -> None:
    # Python keeps the last: another model was trained, without a word.
    answer = await http.post(f"{PREFIX}/{path}", content=body, headers=IS_JSON)

    (fault,) = faults(answer).values()
    assert fault["pointer"] == pointer
    assert fault["message"] == "this is given more than once"
    assert fault["value"].startswith(value)
    assert answer.json()["type"] == "urn:polar:problem:invalid-spec"


async def test_a_whole_number_may_be_written_with_an_exponent(
    http: httpx.AsyncClient,
) -> None:
    body = '{"dataset": {"name": "digits"}, "model": {}, "training": {"steps": %s}}'

    answers = [
        await http.post(f"{PREFIX}/experiments", content=body % steps, headers=IS_JSON)
        for steps in ("1000", "1e3", "1000.0")
    ]

    assert [answer.json()["spec"]["training"]["steps"] for answer in answers] == [1000] * 3
    assert len({answer.json()["spec_hash"] for answer in answers}) == 1


async def test_a_header_that_is_read_may_not_be_given_twice(
    http: httpx.AsyncClient, spec_of: "SpecMaker"
) -> None:
    twice = [*IS_JSON.items(), ("idempotency-key", "a"), ("Idempotency-Key", "b")]
    others = [*IS_JSON.items(), ("x-forwarded-for", "a"), ("x-forwarded-for", "b")]
    body = json.dumps(spec_of.as_json())

    refused = await http.post(f"{PREFIX}/experiments", content=body, headers=twice)
    accepted = await http.post(f"{PREFIX}/experiments", content=body, headers=others)

    assert faults(refused).keys() == {"/header/Idempotency-Key"}
    assert accepted.status_code == 202


@pytest.mark.parametrize(
    ("fields", "pointer", "words"),
    [
        ([("tau_sdt", (None, "1"))], "/tau_sdt", "Did you mean 'tau_std'?"),
        ([("variances", CODES)], "/variances", "Did you mean 'variance'?"),
        ([("sigma", (None, "1")), ("sigma", (None, "2"))], "/sigma", "'1', then '2'"),
        ([("labels", CODES), ("labels", CODES)], "/labels", "given more than once"),
        ([("labels", (None, "0 1"))], "/labels", "with curl: -F labels=@FILE"),
        ([("sigma", CODES)], "/sigma", "with curl: -F sigma=VALUE"),
        ([("sigma", (None, ""))], "/sigma", "this is empty"),
        ([("sigma", (None, "wide"))], "/sigma", "this is not a number"),
    ],
)
async def test_a_form_says_each_thing_once_and_as_what_it_is(
    fields: Any,  # noqa: ANN401
    pointer: str,
    words: str,
    http: httpx.AsyncClient,
) -> None:
    answer = await http.post(MEASUREMENTS, files=[("mean", CODES), *fields])

    assert faults(answer).keys() == {pointer}
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("path", ["experiments", "studies", "studies/validate"])
async def test_the_answer_to_many_faults_is_short_and_says_how_many_there_are(
    path: str, http: httpx.AsyncClient
) -> None:
    unknown = json.dumps({f"x{number}": 0 for number in range(60_000)})
    repeated = "{" + ", ".join(f'"x{number % 30_000}": 0' for number in range(60_000)) + "}"

    for body, count in ((unknown, "59,95"), (repeated, "29,950")):
        answer = await http.post(f"{PREFIX}/{path}", content=body, headers=IS_JSON)

        assert answer.json()["detail"].startswith("more than 50 faults: ")
        assert len(answer.content) < 20_000
        assert len(answer.json()["errors"]) == 51
        assert faults(answer)[""]["message"].startswith(f"faults that are not listed: {count}")


async def test_many_parameters_are_refused_with_a_short_answer(http: httpx.AsyncClient) -> None:
    query = "&".join(f"x{number}=1" for number in range(5_000))

    answer = await http.get(f"{PREFIX}/experiments?{query}")

    assert faults(answer)[""]["message"] == "faults that are not listed: 4,950"
