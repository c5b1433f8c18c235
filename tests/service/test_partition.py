"""API, broker and tracker while the network to their database is cut: they go on by themselves."""

import asyncio
import os
import sys
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from service.api.app import create_app
from service.database_urls import sqlalchemy_url
from service.settings import Settings
from service.storage.database import Database
from service.storage.roles import Role
from tests.network import Network
from tests.service.conftest import OWNER

if TYPE_CHECKING:
    from tests.service.conftest import StudyMaker, Worker

PATIENCE_S = 120.0
#: The server's processes for the broker that listens, and for the tracker that has the lock.
WAITING = """
select (select pid from pg_stat_activity
        where datname = current_database() and query ilike 'listen%' limit 1),
       (select pid from pg_locks where locktype = 'advisory' and granted
          and database = (select oid from pg_database where datname = current_database())
        limit 1)
"""


@pytest.fixture
def network(app_url: str) -> Iterator[Network]:
    with Network(app_url) as network:
        yield network


@pytest.fixture
def settings(
    settings: Settings, network: Network, admin: psycopg.Connection
) -> Iterator[Settings]:
    """The settings with which processes reach their databases by the network."""
    optuna = f"optuna_{uuid.uuid4().hex}"
    admin.execute(f'CREATE DATABASE "{optuna}" OWNER {Role.APP}')
    ours = network.url
    others = f"{ours.rpartition('/')[0]}/{optuna}"
    update = {"database_url": SecretStr(ours), "optuna_url": SecretStr(others)}
    yield settings.model_copy(update=update)
    admin.execute(f'DROP DATABASE "{optuna}" WITH (FORCE)')


async def waiting(database: Database, than: set[int]) -> set[int]:
    """The two waiting processes, as soon as both are others than these."""
    while True:
        async with database.transaction() as session:
            (found,) = (await session.execute(text(WAITING))).all()
        if None not in found and than.isdisjoint(found):
            return set(found)
        await asyncio.sleep(0.1)


async def first_trial(http: httpx.AsyncClient, study_id: str) -> None:
    while True:
        if (await http.get(f"/studies/{study_id}/trials")).json()["trials"]:
            return
        await asyncio.sleep(0.1)


async def test_idle_servers_go_on_after_a_partition(
    settings: Settings,
    network: Network,
    database_url: str,
    worker: "Worker",
    study_of: "StudyMaker",
) -> None:
    database = Database(sqlalchemy_url(database_url))
    api = create_app(settings)
    environment = {
        "POLAR_DATABASE_URL": settings.database_url.get_secret_value(),
        "POLAR_OPTUNA_URL": settings.optuna_url.get_secret_value() if settings.optuna_url else "",
        "POLAR_ARTIFACTS": str(settings.artifacts),
        "POLAR_MLFLOW_URL": settings.mlflow_url,
    }
    both = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service.clerk", env=os.environ | environment
    )
    try:
        async with (
            asyncio.timeout(PATIENCE_S),
            api.router.lifespan_context(api),
            httpx.AsyncClient(
                transport=httpx.ASGITransport(api),
                base_url="http://localhost/api/v1",
                headers=OWNER,
            ) as http,
        ):
            before = await waiting(database, set())
            assert (await http.get("/studies")).status_code == 200

            network.cut()
            cut_off = await http.get("/studies")
            network.reset()
            network.mend()

            assert (cut_off.status_code, cut_off.json()["type"]) == (503, "urn:polar:problem:away")
            assert (await http.get("/studies")).status_code == 200
            await waiting(database, before)
            await worker.announce()
            study = (await http.post("/studies", json=study_of())).json()
            await first_trial(http, study["id"])
        assert both.returncode is None
    finally:
        if both.returncode is None:
            both.terminate()
        await both.wait()
        await database.close()
