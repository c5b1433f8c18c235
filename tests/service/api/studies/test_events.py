"""What watchers of a study are told, and when."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event

from service.api import shared_reads
from service.api.dependencies import Parts
from service.api.studies import events
from service.storage import experiments
from service.storage.database import Database
from service.storage.errors import DatabaseAway
from service.storage.pages import StudyStanding
from service.storage.states import StudyState
from tests.service.api.conftest import Create

if TYPE_CHECKING:
    from tests.conftest import Reports
    from tests.service.conftest import Trials, Worker

STUDIES = "/api/v1/studies"


@pytest.fixture(autouse=True)
async def _an_agent_is_there(worker: "Worker", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "POLL_S", 0.01)
    monkeypatch.setattr(shared_reads, "LASTS_S", 0.005)
    await worker.announce()


@pytest.fixture
def parts(api: FastAPI) -> Parts:
    parts: Parts = api.state.parts
    return parts


async def next_of(stream: AsyncIterator[Any]) -> dict[str, Any]:
    news = await asyncio.wait_for(anext(stream), 20)
    assert news.event == "study"
    study: dict[str, Any] = json.loads(news.raw_data)
    return study


async def test_a_study_is_followed_from_its_beginning_to_its_end(
    parts: Parts, http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    stream = events.follow(parts, study_id)
    seen = [await next_of(stream)]
    trial = await trials.begin(study_id, beta=1.0)
    seen.append(await next_of(stream))
    await trials.end(trial, 0.5)
    seen.append(await next_of(stream))
    await http.post(f"{STUDIES}/{study_id}/extend", json={"trials": 2})
    seen.append(await next_of(stream))
    await trials.end_study(study_id)
    seen.append(await next_of(stream))

    assert [rest async for rest in stream] == []
    assert [study["trials"] for study in seen] == [
        {}, {"running": 1}, {"completed": 1}, {"completed": 1}, {"completed": 1},
    ]  # fmt: skip
    assert [study["trials_wanted"] for study in seen] == [3, 3, 3, 5, 5]
    assert [study["state"] for study in seen] == [*["running"] * 4, "completed"]
    assert seen[-1] == (await http.get(f"{STUDIES}/{study_id}")).json()


async def test_the_progress_of_its_trainings_is_no_news_of_a_study(
    parts: Parts,
    create: Create,
    trials: "Trials",
    worker: "Worker",
    reports: "Reports",
    database: Database,
) -> None:
    study_id = await create()
    trial = await trials.begin(study_id, beta=1.0)
    stream = events.follow(parts, study_id)
    await next_of(stream)
    before = await events.standing_of(parts, study_id)
    async with database.transaction() as session:
        (run,) = await experiments.runs_of(session, trial.experiment_id)
    await worker.claim(run.id)
    await worker.record(run.id, reports.progress(10))
    await asyncio.sleep(0.02)
    after = await events.standing_of(parts, study_id)
    await trials.end_study(study_id, StudyState.FAILED)

    assert (await next_of(stream))["state"] == "failed"
    assert before.runs != after.runs
    assert (before.itself, before.trials) == (after.itself, after.trials)


async def test_the_stream_over_http_ends_with_the_study(
    http: httpx.AsyncClient, create: Create, trials: "Trials"
) -> None:
    study_id = await create()
    await trials.end_study(study_id)

    answer = await http.get(f"{STUDIES}/{study_id}/events")

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.count("event: study") == 1
    missing = await http.get(f"{STUDIES}/{uuid4()}/events")
    assert (missing.status_code, missing.json()["title"]) == (404, "Not Found")


async def test_all_watchers_share_one_look(
    parts: Parts, create: Create, trials: "Trials", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_reads, "LASTS_S", 60.0)
    study_id = await create()
    await trials.end_study(study_id)
    transactions: list[str] = []
    event.listen(
        parts.database.engine.sync_engine, "begin", lambda _connection: transactions.append("x")
    )

    async def watch() -> list[str | None]:
        return [news.raw_data async for news in events.follow(parts, study_id)]

    seen = await asyncio.gather(*(watch() for _ in range(50)))

    assert len(transactions) == 2  # one for the standing, one for what is shown of it
    assert all(told == seen[0] for told in seen)


async def test_watching_outlasts_a_database_that_is_away(
    parts: Parts, create: Create, trials: "Trials", monkeypatch: pytest.MonkeyPatch
) -> None:
    study_id = await create()
    stream = events.follow(parts, study_id)
    await next_of(stream)
    standing_of, tries = events.standing_of, iter(range(3))

    async def away_at_first(parts: Parts, study_id: UUID) -> StudyStanding:
        if next(tries, None) is not None:
            raise DatabaseAway("it is away")
        return await standing_of(parts, study_id)

    monkeypatch.setattr(events, "standing_of", away_at_first)
    await trials.end_study(study_id)

    assert (await next_of(stream))["state"] == "completed"
    assert next(tries, None) is None


async def test_the_stream_of_a_study_that_is_deleted_ends(
    parts: Parts, http: httpx.AsyncClient, create: Create
) -> None:
    study_id = await create()
    stream = events.follow(parts, study_id)
    await next_of(stream)
    await http.post(f"{STUDIES}/{study_id}/cancel")
    deleted = await http.delete(f"{STUDIES}/{study_id}")

    rest = [json.loads(news.raw_data)["state"] async for news in stream if news.raw_data]

    assert deleted.status_code == 200
    assert rest == []
