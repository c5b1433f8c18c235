"""A database that is there, but does not answer: its processes stand still, or all are taken."""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy import QueuePool, text

from service.api.app import create_app
from service.embedded.postgres import Postgres
from service.settings import Settings
from service.storage.database import ANSWERS_S, Database
from service.storage.errors import DatabaseAway, DatabaseBusy
from tests.service.conftest import OWNER

#: A busy machine is slow; how long a request may take is said by the test of the limits.
PATIENCE_S = 60.0


@contextmanager
def frozen(postgres: Postgres) -> Iterator[None]:
    """Stops the server and all its processes, while the machine keeps their connections up."""
    server = postgres.process.pid
    children = Path(f"/proc/{server}/task/{server}/children").read_text().split()
    processes = [server, *map(int, children)]
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            os.kill(process, signal.SIGCONT)


async def test_requests_are_answered_while_the_database_is_frozen(
    http: httpx.AsyncClient, postgres: Postgres
) -> None:
    assert (await http.get("/api/v1/experiments")).status_code == 200

    with frozen(postgres):
        async with asyncio.timeout(PATIENCE_S):
            up, *answers = await asyncio.gather(
                http.get("/api/v1/healthz"),
                http.get("/api/v1/readyz"),
                *(http.get("/api/v1/experiments") for _ in range(20)),
            )
    afterwards = await http.get("/api/v1/experiments")

    assert up.status_code == 200
    assert {answer.status_code for answer in answers} == {503}
    assert "the database does not answer" in answers[1].json()["detail"]
    assert answers[1].json()["type"] == "urn:polar:problem:away"
    assert afterwards.status_code == 200


async def test_a_statement_is_given_up_where_the_database_freezes_under_it(
    settings: Settings, postgres: Postgres
) -> None:
    database = Database(settings.sqlalchemy_url, is_impatient=True)

    async def ask_and_freeze() -> None:
        async with asyncio.timeout(PATIENCE_S), database.transaction() as session:
            await session.execute(text("select 1"))
            with frozen(postgres):
                await session.execute(text("select 1"))

    with pytest.raises(DatabaseAway, match=f"no answer within {ANSWERS_S:g} s"):
        await ask_and_freeze()
    async with database.transaction() as session:
        assert await session.scalar(text("select 2")) == 2
    await database.close()


async def test_a_first_connection_is_given_up_too(settings: Settings, postgres: Postgres) -> None:
    database = Database(settings.sqlalchemy_url, is_impatient=True)

    with frozen(postgres), pytest.raises(DatabaseAway, match="the database does not answer"):
        async with asyncio.timeout(PATIENCE_S), database.transaction():
            raise AssertionError
    await database.close()


async def test_a_caller_that_gives_up_waits_for_no_frozen_database(
    settings: Settings, postgres: Postgres
) -> None:
    database = Database(settings.sqlalchemy_url, is_impatient=True)
    async with database.transaction() as session:
        await session.execute(text("select 1"))

    async def ask() -> None:
        async with database.transaction() as session:
            await session.execute(text("select 1"))

    with frozen(postgres):
        asking = asyncio.create_task(ask())
        await asyncio.sleep(0.1)
        asking.cancel()
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(asking, return_exceptions=True)

    assert asking.cancelled()
    await ask()
    await database.close()


async def test_a_busy_service_does_not_say_that_the_database_is_away(settings: Settings) -> None:
    api = create_app(settings.model_copy(update={"api_connections": 1}))
    transport = httpx.ASGITransport(api)
    address = "http://localhost/api/v1"
    async with (
        httpx.AsyncClient(transport=transport, base_url=address, headers=OWNER) as http,
        api.router.lifespan_context(api),
    ):
        async with AsyncExitStack() as transactions:
            for _ in range(2):
                await transactions.enter_async_context(api.state.parts.database.transaction())
            busy = await http.get("/experiments")
        afterwards = await http.get("/experiments")

    assert (busy.status_code, busy.json()["type"]) == (503, "urn:polar:problem:busy")
    assert busy.json()["detail"] == "all 2 connections to the database are in use"
    assert afterwards.status_code == 200


async def test_the_limits_of_a_request_add_up_to_ten_seconds(settings: Settings) -> None:
    database = Database(settings.sqlalchemy_url, is_impatient=True)
    limits = text(
        "select setting::int from pg_settings where name in ('statement_timeout', 'lock_timeout') "
        "order by name"
    )
    async with database.transaction() as session:
        lock_ms, statement_ms = (await session.scalars(limits)).all()
    pool = database.engine.pool
    await database.close()

    assert isinstance(pool, QueuePool)
    assert lock_ms < statement_ms < 1000 * ANSWERS_S
    # until a connection is free, until it or a new one answers, and until the statement ends
    assert pool.timeout() + ANSWERS_S + ANSWERS_S == 10


async def test_what_is_locked_or_takes_too_long_is_busy_and_not_away(settings: Settings) -> None:
    patient = Database(settings.sqlalchemy_url)
    database = Database(settings.sqlalchemy_url, is_impatient=True)

    async def ask(statement: str) -> None:
        async with database.transaction() as session:
            await session.execute(text("set local lock_timeout = '50ms'"))
            await session.execute(text("set local statement_timeout = '200ms'"))
            await session.execute(text(statement))

    async with patient.transaction() as session:
        await session.execute(text("lock table app.runs in access exclusive mode"))
        with pytest.raises(DatabaseBusy, match="something else that goes on has locked"):
            await ask("select 1 from app.runs")
    with pytest.raises(DatabaseBusy, match="longer for this than it may take"):
        await ask("select pg_sleep(60)")
    await patient.close()
    await database.close()
