"""Specs over REST, as JSON and as the client sends those of YAML: the same answers everywhere."""

from typing import TYPE_CHECKING

import httpx

from polar.spec import read_yaml
from service.client.requests import as_json
from tests.spec_corpus import CORPUS, TWICE

if TYPE_CHECKING:
    from tests.service.conftest import Worker

IS_JSON = {"content-type": "application/json"}


async def test_a_spec_gets_the_same_answer_however_it_is_written(
    http: httpx.AsyncClient, worker: "Worker"
) -> None:
    await worker.announce()
    for example in CORPUS:
        path = "studies" if "base" in example.yaml else "experiments"
        bodies = [example.json, as_json(read_yaml(example.yaml))]

        answers = [
            await http.post(f"/api/v1/{path}/validate", content=body, headers=IS_JSON)
            for body in bodies
        ]

        seen = [answer.json() for answer in answers]
        assert [answer.status_code for answer in answers] == [422 if example.faults else 200] * 2
        if example.faults:
            assert seen[0]["errors"] == seen[1]["errors"], example.yaml
            assert [fault["pointer"] for fault in seen[0]["errors"]] == list(example.faults)
        else:
            assert seen[0] == seen[1]


async def test_a_key_twice_is_refused(http: httpx.AsyncClient, worker: "Worker") -> None:
    await worker.announce()

    answer = await http.post("/api/v1/experiments/validate", content=TWICE.json, headers=IS_JSON)

    (fault,) = answer.json()["errors"]
    assert {fault["pointer"]: fault["message"]} == {"/model/beta": "this is given more than once"}
