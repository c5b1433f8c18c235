"""Submitting, listing, looking at and cancelling experiments."""

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Worker


async def test_a_spec_becomes_an_experiment_with_a_run_for_each_seed(
    http: httpx.AsyncClient, worker: "Worker", spec_of: "SpecMaker"
) -> None:
    await worker.announce()

    answer = await http.post("/experiments", json=spec_of.as_json(name="a", seeds=[3, 1]))

    experiment = answer.json()
    assert answer.status_code == 202
    print(answer.text)
    for p in (
        "/experiments",
        answer.headers["location"][7:],
        answer.headers["location"][7:] + "x",
        experiment["runs"][0]["links"]["self"][7:],
        "/models",
        "/datasets",
        "/nope",
        "http://polar/readyz",
        "http://polar/healthz",
        experiment["runs"][0]["links"]["diagnostics"][7:],
    ):
        r = await http.get(p)
        print(p, r.status_code, r.text)
    for p in (answer.headers["location"][7:] + "/cancel",):
        r = await http.post(p)
        print(p, r.status_code, r.text)
