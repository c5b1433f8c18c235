"""The API in this process, on a database of the test's own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event, func, select

from service.api.app import create_app
from service.settings import Settings
from service.storage.answered_posts import AnsweredPost
from service.storage.database import Database
from service.storage.study_tables import Study
from service.storage.tables import Experiment, Run
from tests.service.conftest import OWNER

if TYPE_CHECKING:
    from tests.service.conftest import StudyMaker

Create = Callable[..., Awaitable[UUID]]


async def run_of(http: httpx.AsyncClient, experiment_id: UUID) -> UUID:
    """The id of the only run of an experiment."""
    (run,) = (await http.get(f"/api/v1/experiments/{experiment_id}")).json()["runs"]
    return UUID(run["id"])


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[FastAPI]:
    api = create_app(settings)
    async with api.router.lifespan_context(api):
        yield api


@pytest.fixture
async def http(api: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """Sends the owner's token. Its errors come as answers, as they do over the wire."""
    transport = httpx.ASGITransport(api, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://localhost", headers=OWNER
    ) as client:
        yield client


@pytest.fixture
async def statements(
    api: FastAPI, http: httpx.AsyncClient
) -> AsyncIterator[Callable[[str], Awaitable[int]]]:
    """Counts the statements of a GET."""
    engine, seen = api.state.parts.database.engine.sync_engine, []
    note = lambda *about: seen.append(about[2])  # noqa: E731
    event.listen(engine, "before_cursor_execute", note)

    async def count(path: str, token: str | None = None) -> int:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        seen.clear()
        (await http.get(path, headers=headers)).raise_for_status()
        return len(seen)

    yield count
    event.remove(engine, "before_cursor_execute", note)


@pytest.fixture
def rows(database: Database) -> Callable[[], Awaitable[int]]:
    """Counts the rows of everything that a submission may store."""

    async def count() -> int:
        async with database.transaction() as session:
            counts = [
                await session.scalar(select(func.count()).select_from(table))
                for table in (Experiment, Run, AnsweredPost, Study)
            ]
        return sum(filter(None, counts))

    return count


@pytest.fixture
def create(http: httpx.AsyncClient, study_of: "StudyMaker") -> Create:
    """Submits the smallest study with these fields."""

    async def submit(**fields: Any) -> UUID:  # noqa: ANN401
        answer = await http.post("/api/v1/studies", json=study_of(**fields))
        assert answer.status_code == 202
        return UUID(answer.json()["id"])

    return submit
