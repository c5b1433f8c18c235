"""Pages that fetch themselves anew: made once for all who look, and never older than the news."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from service.api import shared_reads
from service.api.pages import refreshing, routes
from service.api.pages.runs import run_page
from service.api.shared_reads import SharedReads
from tests.service.api.conftest import Create

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Trials, Worker

Look = Callable[[], Awaitable[list[Hashable]]]
REFRESH = {"Polar-Refresh": "yes"}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The runs whose pages were made, each time."""
    known: list[UUID] = []
    make = run_page

    async def count(session: Any, settings: Any, run: Any) -> Any:  # noqa: ANN401
        known.append(run.id)
        return await make(session, settings, run)

    monkeypatch.setattr(routes, "run_page", count)
    return known


async def test_all_who_look_at_the_same_get_a_page_that_was_made_once(
    http: httpx.AsyncClient, run_id: UUID, made: list[UUID]
) -> None:
    gets = [http.get(f"/runs/{run_id}", headers=REFRESH) for _ in range(20)]
    answers = await asyncio.gather(*gets)

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.text for answer in answers} == {answers[0].text}
    assert made == [run_id]
    assert float(answers[-1].headers["server-timing"].removeprefix("page;dur=")) > 0


async def test_a_page_is_never_older_than_the_news_that_it_is_fetched_for(
    http: httpx.AsyncClient,
    run_id: UUID,
    made: list[UUID],
    worker: "Worker",
    reports: "Reports",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_reads, "LASTS_S", 1000)
    standing = "before"

    async def look(*_: object) -> str:
        return standing

    monkeypatch.setattr(refreshing, "standing_of", look)
    before = [(await http.get(f"/runs/{run_id}", headers=REFRESH)).text for _ in range(2)]
    await worker.record(run_id, reports.progress(40))
    standing = "after"
    after = (await http.get(f"/runs/{run_id}", headers=REFRESH)).text

    assert made == [run_id] * 2
    assert before[0] == before[1]
    assert ("40 / 100" in before[0], "40 / 100" in after) == (False, True)


@pytest.fixture
async def pages(
    http: httpx.AsyncClient, create: Create, trials: "Trials", worker: "Worker"
) -> dict[str, UUID]:
    """A page of each kind, by the kind and the id of what it shows."""
    await worker.announce()
    study_id = await create()
    experiment_id = (await trials.begin(study_id, beta=2.0)).experiment_id
    (run,) = (await http.get(f"/api/v1/experiments/{experiment_id}")).json()["runs"]
    return {"studies": study_id, "experiments": experiment_id, "runs": UUID(run["id"])}


@pytest.fixture
def standings(api: FastAPI, pages: dict[str, UUID]) -> Look:
    async def look() -> list[Hashable]:
        parts = api.state.parts
        parts = replace(parts, reads=SharedReads(parts.database))  # which has read nothing yet
        return [await refreshing.standing_of(parts, *of) for of in pages.items()]

    return look


async def test_each_kind_of_page_knows_what_changes_it(
    http: httpx.AsyncClient, pages: dict[str, UUID], standings: Look, worker: "Worker"
) -> None:
    before, again = await standings(), await standings()
    await worker.claim(pages["runs"])
    after = await standings()

    assert before == again
    assert [one != other for one, other in zip(before, after, strict=True)] == [True] * 3
    assert all(
        [
            (await http.get(f"/{kind}/{id}", headers=REFRESH)).status_code == 200
            for kind, id in pages.items()
        ]
    )


@pytest.mark.parametrize(
    ("kind", "path", "change"),
    [
        ("runs", "runs/{run}", {"name": "the good one"}),
        ("runs", "runs/{run}", {"tags": {"good": ""}}),
        ("runs", "runs/{run}", {"note": "It diverges."}),
        ("experiments", "experiments/{experiment}", {"note": "For the paper."}),
        ("experiments", "runs/{run}", {"name": "the good one"}),
        ("experiments", "experiments/{experiment}/cancel", None),
        ("runs", "runs/{before}/cancel", None),
    ],
    ids=[
        "name of a run", "tags of a run", "note of a run", "note of an experiment",
        "name of its run", "cancelled, but others want its run", "place in the queue",
    ],
)  # fmt: skip
async def test_a_page_changes_with_all_that_it_shows(
    api: FastAPI,
    http: httpx.AsyncClient,
    submit: "Submitter",
    spec_of: "SpecMaker",
    kind: str,
    path: str,
    change: dict[str, Any] | None,
) -> None:
    before = (await submit(spec_of(seeds=[1]))).runs[0]
    asked = await submit(spec_of())
    await submit(spec_of(name="also wanted by this"))
    ids = {"run": asked.runs[0].id, "experiment": asked.experiment.id, "before": before.id}
    id = ids[kind.removesuffix("s")]
    parts = api.state.parts

    async def look() -> Hashable:
        reads = SharedReads(parts.database)  # which has read nothing yet
        return await refreshing.standing_of(replace(parts, reads=reads), kind, id)

    first = await look()
    method, url = ("PATCH" if change else "POST"), f"/api/v1/{path.format(**ids)}"
    assert (await http.request(method, url, json=change)).is_success

    assert first != await look()


async def test_what_was_deleted_cannot_be_shown_anew(http: httpx.AsyncClient) -> None:
    answer = await http.get(f"/runs/{UUID(int=1)}", headers=REFRESH)

    assert answer.status_code == 404
    assert "This page cannot be shown" in answer.text


async def test_who_opens_a_page_gets_one_of_this_moment(
    http: httpx.AsyncClient, run_id: UUID, made: list[UUID]
) -> None:
    await asyncio.gather(*(http.get(f"/runs/{run_id}") for _ in range(3)))

    assert made == [run_id] * 3


async def test_more_viewers_than_connections_do_not_wait_for_each_other(
    http: httpx.AsyncClient, run_id: UUID
) -> None:
    short = f"/runs/{str(run_id)[:8]}"  # each looks up the id

    answers = await asyncio.gather(*(http.get(short, headers=REFRESH) for _ in range(100)))

    assert {answer.status_code for answer in answers} == {200}
