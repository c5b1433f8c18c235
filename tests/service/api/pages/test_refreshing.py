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

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Trials, Worker

Create = Callable[..., Awaitable[UUID]]
Look = Callable[[], Awaitable[list[Hashable]]]
REFRESH = {"Polar-Refresh": "yes"}


@pytest.fixture
async def run_id(submit: "Submitter", spec_of: "SpecMaker", worker: "Worker") -> UUID:
    """A run in work."""
    run_id = (await submit(spec_of())).runs[0].id
    await worker.claim(run_id)
    return run_id


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


@pytest.mark.parametrize("said", [{"name": "other"}, {"tags": {"new": "1"}}, {"note": "other"}])
async def test_each_kind_of_page_changes_with_what_people_write(
    http: httpx.AsyncClient, pages: dict[str, UUID], standings: Look, said: dict[str, Any]
) -> None:
    before = await standings()
    for kind, id in pages.items():
        assert (await http.patch(f"/api/v1/{kind}/{id}", json=said)).status_code == 200
    after = await standings()

    assert [one != other for one, other in zip(before, after, strict=True)] == [True] * 3


async def test_a_page_knows_that_its_experiment_was_cancelled_though_its_runs_go_on(
    submit: "Submitter", spec_of: "SpecMaker", http: httpx.AsyncClient, api: FastAPI
) -> None:
    mine, theirs = [(await submit(spec_of())).experiment.id for _ in range(2)]

    async def look() -> Hashable:
        parts = api.state.parts
        parts = replace(parts, reads=SharedReads(parts.database))
        return await refreshing.standing_of(parts, "experiments", mine)

    before = await look()
    await http.post(f"/api/v1/experiments/{mine}/cancel")

    assert await look() != before
    assert (await http.get(f"/api/v1/experiments/{theirs}")).json()["state"] == "queued"


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
