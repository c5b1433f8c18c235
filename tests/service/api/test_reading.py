"""What reading costs: few statements, however many rows there are, and compressed answers."""

import gzip
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from polar.records.events import ArtifactSaved
from service.api.dependencies import open_session
from service.api.runs.results import FIGURES
from tests.service.conftest import OWNER

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Trials, Worker

API = "/api/v1"


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker") -> None:
    await worker.announce()


@pytest.fixture
def finished(
    submit: "Submitter", spec_of: "SpecMaker", worker: "Worker", reports: "Reports"
) -> Callable[[list[int]], Awaitable[tuple[UUID, UUID]]]:
    """Makes an experiment whose runs have succeeded; the ids of it and of its first run."""

    async def make(seeds: list[int]) -> tuple[UUID, UUID]:
        spec = spec_of(seeds=seeds)
        submission = await submit(spec)
        for run in submission.runs:
            await worker.claim(run.id)
            await worker.record(run.id, reports.evaluation(0), reports.result(spec))
            await worker.finish(run.id)
        return submission.experiment.id, submission.runs[0].id

    return make


def opens_transaction(dependant: Dependant) -> bool:
    return any(
        each.call is open_session or opens_transaction(each) for each in dependant.dependencies
    )


def gets_in_transactions(routes: Iterable[BaseRoute]) -> Iterator[str]:
    for route in routes:
        if included := getattr(route, "original_router", None):
            yield from gets_in_transactions(included.routes)
        elif (
            isinstance(route, APIRoute)
            and "GET" in (route.methods or ())
            and opens_transaction(route.dependant)
        ):
            yield route.path


def test_what_only_reads_opens_no_transaction(api: FastAPI) -> None:
    assert list(gets_in_transactions(api.routes)) == ["/login"]  # which uses its link up


async def test_another_token_than_the_owners_costs_a_statement_more(
    http: httpx.AsyncClient, statements: Callable[..., Awaitable[int]]
) -> None:
    made = await http.post(f"{API}/tokens", json={"name": "reader", "scope": "read"})
    token = made.json()["token"]
    await statements(f"{API}/experiments", token)  # the first use is noted

    assert await statements(f"{API}/experiments", token) == 1 + await statements(
        f"{API}/experiments"
    )


async def test_reading_takes_as_many_statements_for_many_rows_as_for_few(
    finished: Callable[[list[int]], Awaitable[tuple[UUID, UUID]]],
    statements: Callable[[str], Awaitable[int]],
    create: Callable[..., Awaitable[UUID]],
    trials: "Trials",
) -> None:
    async def read(experiment: UUID, run: UUID, study: UUID) -> dict[str, int]:
        paths = {
            "experiments": "/experiments",
            "experiment": f"/experiments/{experiment}",
            "run": f"/runs/{run}",
            "runs": "/runs",
            "studies": "/studies",
            "study": f"/studies/{study}",
            "trials": f"/studies/{study}/trials",
        }
        return {name: await statements(f"{API}{path}") for name, path in paths.items()}

    study = await create()
    few = await read(*await finished([0]), study)
    await create()
    for beta in range(3):
        await trials.end(await trials.begin(study, beta=beta + 1), 0.5)
    many = await read(*await finished([1, 2, 3, 4]), study)

    assert many == few
    assert few == {
        "experiments": 2, "experiment": 2, "run": 3, "runs": 1, "studies": 2, "study": 3,
        "trials": 2,
    }  # fmt: skip


async def test_pages_of_many_ids_take_as_many_statements_as_those_of_few(
    finished: Callable[[list[int]], Awaitable[tuple[UUID, UUID]]],
    http: httpx.AsyncClient,
    statements: Callable[[str], Awaitable[int]],
    create: Callable[..., Awaitable[UUID]],
) -> None:
    experiment, _ = await finished(list(range(8)))
    runs = (await http.get(f"{API}/experiments/{experiment}")).json()["runs"]
    compared = [("run", run["id"]) for run in runs]
    laid = [("study", await create(name=f"study {place}")) for place in range(8)]

    async def count(rows: int) -> tuple[int, int]:
        return (
            await statements(f"/compare?{urlencode(compared[:rows])}"),
            await statements(f"/overlay?{urlencode(laid[:rows])}"),
        )

    assert await count(2) == await count(8) == (5, 5)


async def test_long_answers_are_compressed_and_say_the_same(
    http: httpx.AsyncClient, finished: Callable[[list[int]], Awaitable[tuple[UUID, UUID]]]
) -> None:
    experiment, _ = await finished([0, 1])
    path = f"{API}/experiments/{experiment}"

    async with http.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
        sent = b"".join([part async for part in answer.aiter_raw()])
    plain = await http.get(path, headers={"Accept-Encoding": "identity"})
    short = await http.get(f"{API}/healthz", headers={"Accept-Encoding": "gzip"})

    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) == len(sent) < len(plain.content) / 2
    assert gzip.decompress(sent) == plain.content
    assert "content-encoding" not in plain.headers
    assert "content-encoding" not in short.headers


async def test_events_and_pictures_are_sent_as_they_are(
    http: httpx.AsyncClient,
    api: FastAPI,
    worker: "Worker",
    submit: "Submitter",
    spec_of: "SpecMaker",
    reports: "Reports",
) -> None:
    run = (await submit(spec_of())).runs[0]
    picture = api.state.parts.settings.artifacts / "p.png"
    picture.write_bytes(b"p" * 5000)
    await worker.claim(run.id)
    many: list[Any] = [reports.evaluation(step) for step in range(5)]
    await worker.record(run.id, *many, ArtifactSaved(name=f"{FIGURES}p.png", path="p.png"))
    await worker.finish(run.id)
    zipped = OWNER | {"Accept-Encoding": "gzip"}

    figure = await http.get(f"{API}/runs/{run.id}/figures/p.png", headers=zipped)
    events = await http.get(f"{API}/runs/{run.id}/events", headers=zipped | {"Last-Event-ID": "0"})

    assert figure.content == b"p" * 5000
    assert len(events.content) > 2048
    for answer in (figure, events):
        assert "content-encoding" not in answer.headers
