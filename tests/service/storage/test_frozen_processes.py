"""A process that freezes keeps nothing locked: Postgres ends its transaction after some seconds.

That limit counts only while Postgres waits for the next statement. Agents were stopped within one
of psycopg's pipelines, which looks like a statement that still runs: their run stayed locked, and
no other agent could take it. `tests/conftest.py` refuses such pipelines in all tests.
"""

import asyncio
import random
import signal
import sys
import time

import psycopg
import pytest
from sqlalchemy import bindparam, text, update

from service.storage.database import Database
from service.storage.study_tables import Study

STOPS = 60
#: Longest that Postgres may take for a statement that it has received.
PATIENCE_S = 60.0
WRITER = """
import asyncio, sys
from sqlalchemy import Column, Integer, MetaData, Table, insert, update
from service.database_urls import sqlalchemy_url
from service.storage.database import Database

rows = Table("rows_of_a_writer", MetaData(schema="app"), Column("n", Integer))

async def write():
    database = Database(sqlalchemy_url(sys.argv[1]))
    while True:
        async with database.transaction() as session:
            await session.execute(update(rows).values(n=0))
            await session.execute(insert(rows), [{"n": n} for n in range(1, 7)])
            await session.rollback()

print("writing", flush=True)
asyncio.run(write())
"""


async def test_tests_refuse_what_would_be_sent_in_a_pipeline(database: Database) -> None:
    rename = update(Study).where(Study.name == bindparam("old")).values(name=bindparam("new"))
    names = [{"old": "a", "new": "b"}, {"old": "c", "new": "d"}]

    async with database.engine.connect() as connection:
        with pytest.raises(AssertionError, match=r"would send this in a pipeline: UPDATE app\."):
            await connection.execute(rename, names)


async def test_a_process_that_is_stopped_at_any_moment_leaves_postgres_waiting_for_a_statement(
    database: Database, database_url: str
) -> None:
    with psycopg.connect(database_url) as owner:
        owner.execute("create table app.rows_of_a_writer as select 0 as n")
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, database_url, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert writer.stdout is not None
        await asyncio.wait_for(writer.stdout.readline(), PATIENCE_S)
        rng = random.Random(0)
        for _ in range(STOPS):
            await asyncio.sleep(rng.uniform(0.002, 0.02))
            writer.send_signal(signal.SIGSTOP)
            deadline = time.monotonic() + PATIENCE_S
            while await _is_busy(database):
                assert time.monotonic() < deadline, "Postgres takes the stopped process for busy"
                await asyncio.sleep(0.01)
            writer.send_signal(signal.SIGCONT)
    finally:
        writer.kill()
        await writer.wait()


async def _is_busy(database: Database) -> bool:
    """Whether Postgres works at a statement of another process, or waits for the rest of it."""
    async with database.transaction() as session:
        busy = await session.scalar(
            text(
                "select count(*) from pg_stat_activity where state = 'active'"
                " and datname = current_database() and pid <> pg_backend_pid()"
            )
        )
    return bool(busy)
