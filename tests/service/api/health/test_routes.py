"""Whether the service is up, and whether it is ready."""

from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import psycopg
from pydantic import SecretStr
from sqlalchemy import func, update

from service.api.app import create_app
from service.settings import Settings
from service.storage.agents import code_version
from service.storage.database import Database
from service.storage.tables import Agent

if TYPE_CHECKING:
    from tests.service.conftest import Worker


async def test_the_service_is_ready_when_an_agent_is_there(
    http: httpx.AsyncClient, worker: "Worker", database: Database
) -> None:
    alone = await http.get("/api/v1/readyz")
    await worker.announce()
    with_agent = await http.get("/api/v1/readyz")
    async with database.transaction() as session:
        await session.execute(update(Agent).values(seen_at=func.now() - timedelta(minutes=2)))
    left_alone = await http.get("/api/v1/readyz")

    assert [answer.status_code for answer in (alone, with_agent, left_alone)] == [503, 200, 503]
    assert "no agent" in alone.json()["detail"]
    assert (await http.get("/api/v1/healthz")).json() == {
        "status": "ok",
        "home_id": None,
        "code_version": code_version(),
    }


async def test_the_service_is_ready_while_one_agent_takes_runs(
    http: httpx.AsyncClient, worker: "Worker"
) -> None:
    await worker.announce(name="first", fault="the disk is full")
    none = await http.get("/api/v1/readyz")
    await worker.announce(name="second")
    one = await http.get("/api/v1/readyz")
    await worker.announce(name="first")
    both = await http.get("/api/v1/readyz")

    assert [answer.status_code for answer in (none, one, both)] == [503, 200, 200]
    assert none.json()["detail"].endswith("works again: first: the disk is full")
    assert (one.json()["faults"], both.json()["faults"]) == (["first: the disk is full"], [])


async def test_the_service_is_not_ready_on_another_schema(
    http: httpx.AsyncClient, worker: "Worker", database_url: str
) -> None:
    await worker.announce()
    with psycopg.connect(database_url) as connection:
        connection.execute("update app.alembic_version set version_num = '0001'")

    answer = await http.get("/api/v1/readyz")

    assert answer.status_code == 503
    assert "migration 0001" in answer.json()["detail"]


async def test_the_service_is_up_but_not_ready_without_its_database(settings: Settings) -> None:
    nobody = SecretStr("postgresql://polar:secret@127.0.0.1:1/app")
    api = create_app(settings.model_copy(update={"database_url": nobody}))
    transport = httpx.ASGITransport(api)

    async with httpx.AsyncClient(transport=transport, base_url="http://localhost/api/v1") as http:
        up, ready = await http.get("/healthz"), await http.get("/readyz")

    assert (up.status_code, ready.status_code) == (200, 503)
    assert "the database does not answer" in ready.json()["detail"]
