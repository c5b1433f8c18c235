"""Lists that follow what goes on: they know what changes them, and show it without reloading."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from playwright.async_api import Route, expect
from sqlalchemy import func, update

from service.api.pages.filtering import NO_FILTER
from service.api.pages.lists import standing_of_list
from service.api.shared_reads import SharedReads
from service.storage import agents
from service.storage.database import Database
from service.storage.filters import Wanted
from service.storage.states import StudyState
from service.storage.study_tables import Study
from service.storage.tables import Agent
from tests.service.api.conftest import Create

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.api.pages.conftest import Look
    from tests.service.conftest import SpecMaker, Submitter, Trials, Worker

Changed = Callable[[], Awaitable[set[str]]]
KINDS = ("studies", "experiments", "runs", "agents")
REFRESH = {"Polar-Refresh": "yes"}


@pytest.fixture(autouse=True)
async def _agent(worker: "Worker") -> None:
    await worker.announce()


@pytest.fixture
def changed(api: FastAPI) -> Changed:
    """The lists whose standing has changed since the last call, but for the passing of time."""
    seen: dict[str, object] = {}

    async def changed() -> set[str]:
        parts = api.state.parts
        parts = replace(parts, reads=SharedReads(parts.database))  # which has read nothing yet
        now = {kind: await standing_of_list(parts, kind, NO_FILTER) for kind in KINDS}
        news = {kind for kind in KINDS if seen.get(kind) != now[kind]}
        seen.update(now)
        return news

    return changed


async def test_each_list_knows_what_changes_it(
    changed: Changed,
    create: Create,
    trials: "Trials",
    worker: "Worker",
    reports: "Reports",
    http: httpx.AsyncClient,
) -> None:
    assert await changed() == set(KINDS)
    study_id = await create()
    assert await changed() - {"agents"} == {"studies"}

    trial = await trials.begin(study_id, beta=2.0)
    assert await changed() == set(KINDS)

    (run,) = (await http.get(f"/api/v1/experiments/{trial.experiment_id}")).json()["runs"]
    run_id = UUID(run["id"])
    await worker.claim(run_id)
    assert await changed() == set(KINDS)

    await worker.record(run_id, reports.progress(40))
    assert await changed() == {"studies", "agents"}

    await trials.end(trial, 0.5)
    assert await changed() - {"agents"} == {"studies"}

    await http.patch(f"/api/v1/runs/{run_id}", json={"name": "new"})
    assert await changed() - {"agents"} == {"runs"}

    await http.patch(f"/api/v1/studies/{study_id}", json={"name": "new"})
    assert await changed() - {"agents"} == {"studies", "runs"}

    await worker.announce(fault="its disk is full")
    assert await changed() == {"agents"}


async def test_agents_change_the_list_of_studies_because_its_durations_depend_on_them(
    changed: Changed, create: Create, worker: "Worker", database: Database
) -> None:
    await create()
    await changed()
    await worker.announce()  # as every 15 s
    assert await changed() - {"agents"} == set()

    await worker.announce(name="another")
    assert await changed() - {"agents"} == {"studies"}

    await worker.announce(name="another", device="cuda")
    assert await changed() - {"agents"} == {"studies"}

    gone = update(Agent).where(Agent.name == "another")
    async with database.transaction() as session:
        await session.execute(gone.values(seen_at=func.now() - agents.AGENT_LASTS))
    assert await changed() - {"agents"} == {"studies"}


async def test_a_trial_of_a_study_that_has_ended_changes_the_list_until_all_is_told(
    changed: Changed, create: Create, trials: "Trials", database: Database
) -> None:
    study_id = await create()
    trial = await trials.begin(study_id, beta=2.0)
    await trials.end_study(study_id, StudyState.FAILED)
    await changed()
    await trials.end(trial, 0.5)
    assert await changed() - {"agents"} == {"studies"}

    async with database.transaction() as session:
        await session.execute(update(Study).values(is_told=True))
    assert await changed() - {"agents"} == {"studies"}
    assert await changed() - {"agents"} == set()


async def test_only_what_a_filter_lets_through_changes_its_list(
    api: FastAPI, create: Create
) -> None:
    parts = api.state.parts

    async def look(name: str) -> object:
        fresh = replace(parts, reads=SharedReads(parts.database))
        wanted = replace(NO_FILTER, wanted=Wanted(text=name), fields={"q": name})
        return await standing_of_list(fresh, "studies", wanted)

    before = await look("mine"), await look("other")
    await create(name="mine")
    after = await look("mine"), await look("other")

    assert [one != other for one, other in zip(before, after, strict=True)] == [True, False]


@pytest.mark.parametrize("kind", KINDS)
async def test_first_pages_follow_and_are_made_anew(http: httpx.AsyncClient, kind: str) -> None:
    path = "/" if kind == "studies" else f"/{kind}"
    first = await http.get(path, headers=REFRESH)

    assert first.status_code == 200
    assert "server-timing" in first.headers
    assert f'data-live="/live/{kind}' in first.text
    assert first.text.count('id="list" data-part') == 1


async def test_later_pages_stay_and_filters_are_followed(
    http: httpx.AsyncClient, create: Create, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.pages.lists.PAGE_SIZE", 1)
    for _ in range(2):
        await create(name="row", tags={"of": "a&b"})
    first = (await http.get("/", params={"tag": "of=a&b"})).text

    assert 'data-live="/live/studies?tag=of%3Da%26b&amp;"' in first
    (address,) = re.findall(r'<a href="(/\?[^"]+)">Older', first)
    later = await http.get(address.replace("&amp;", "&"), headers=REFRESH)
    assert later.text.count('name="study"') == 1
    assert "data-live" not in later.text


async def test_a_stream_of_a_filter_that_cannot_be_is_refused(http: httpx.AsyncClient) -> None:
    answer = await http.get("/live/studies?state=runnin")

    assert answer.status_code == 422
    assert "Did you mean 'running'?" in answer.text


@pytest.mark.browser
async def test_a_list_of_studies_gets_what_is_new_and_keeps_what_was_ticked(
    look: "Look", create: Create, http: httpx.AsyncClient
) -> None:
    await create(name="the first")
    async with look("/") as page:
        await page.evaluate("window.isTheSame = true")
        await page.get_by_role("checkbox", name="the first").check()
        pause = page.get_by_role("button", name="Pause: the first")
        await pause.focus()

        await create(name="the second")

        await expect(page.locator("#studies > li")).to_have_count(2)
        await expect(page.get_by_role("checkbox", name="the first")).to_be_checked()
        await expect(page.get_by_role("checkbox", name="the second")).not_to_be_checked()
        await expect(pause).to_be_focused()
        assert await page.evaluate("window.isTheSame")

        await pause.click()
        await expect(page.get_by_role("button", name="Resume: the first")).to_be_visible()
        states = {each["name"]: each["state"] for each in await studies_of(http)}
        assert states == {"the first": "paused", "the second": "running"}


@pytest.mark.browser
async def test_what_changes_while_a_button_is_at_work_comes_afterwards(
    look: "Look", create: Create
) -> None:
    await create(name="the first")
    is_answered = asyncio.Event()

    async def answer_late(route: Route) -> None:
        await is_answered.wait()
        await route.fulfill(status=409, json={"detail": "it cannot be paused"})

    async with look("/") as page:
        await page.route("**/pause", answer_late)
        await page.get_by_role("button", name="Pause: the first").click()
        async with page.expect_response(
            lambda answer: "polar-refresh" in answer.request.headers
        ) as fetched:
            await create(name="the second")
        await (await fetched.value).finished()
        await expect(page.get_by_role("button", name="Pause: the first")).to_be_disabled()
        await expect(page.locator("#studies > li")).to_have_count(1)

        is_answered.set()

        await expect(page.get_by_role("status")).to_have_text("it cannot be paused")
        await expect(page.locator("#studies > li")).to_have_count(2)


async def studies_of(http: httpx.AsyncClient) -> list[dict[str, str]]:
    listed: list[dict[str, str]] = (await http.get("/api/v1/studies")).json()["studies"]
    return listed


@pytest.mark.browser
async def test_other_lists_show_that_a_run_ends(
    look: "Look",
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
) -> None:
    submitted = await submit(spec_of(name="mine", seeds=[0, 1]))
    first, second = [run.id for run in submitted.runs]
    for run_id in (first, second):
        await worker.claim(run_id)
    async with look("/agents") as page:
        await expect(page.locator("tbody").first.get_by_role("row")).to_have_count(2)
        await worker.record(first, reports.progress(40))
        await expect(page.locator("tbody").first).to_contain_text("40 / 100")
        await worker.finish(first)
        await expect(page.locator("tbody").first.get_by_role("row")).to_have_count(1)

        await page.goto("/runs")
        await expect(page.locator("tbody .state.running")).to_have_count(1)
        await worker.finish(second)
        await expect(page.locator("tbody .state.running")).to_have_count(0)

        await page.goto("/experiments?q=mine")
        await expect(page.locator("tbody")).to_contain_text("2 succeeded")
        third = (await submit(spec_of(name="mine too", seeds=[2]))).runs[0].id
        await expect(page.locator("tbody")).to_contain_text("1 queued")
        await worker.claim(third)
        await expect(page.locator("tbody")).to_contain_text("1 running")
        assert await page.evaluate("location.search") == "?q=mine"
