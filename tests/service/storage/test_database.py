"""When the database is away, and when it is there and refuses."""

import json
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import psycopg
import pytest
from optuna.exceptions import StorageInternalError
from procrastinate.exceptions import ConnectorException
from sqlalchemy import text
from sqlalchemy.exc import DataError, OperationalError, TimeoutError

from service.database_urls import sqlalchemy_url
from service.embedded.postgres import Postgres
from service.settings import Settings
from service.storage.database import FROZEN_S, Database, is_away
from service.storage.errors import DatabaseAway, DatabaseBusy
from service.storage.roles import Role
from service.studies.advancing import ASKS_S


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


LOST = psycopg.OperationalError("the connection is lost")
TOO_LONG = psycopg.errors.ProgramLimitExceeded("index row size exceeds the maximum")
WRONG = psycopg.errors.NumericValueOutOfRange("value out of range")


@pytest.mark.parametrize(
    ("error", "away"),
    [
        (LOST, True),
        (psycopg.InterfaceError("the connection is closed"), True),
        (psycopg.errors.TooManyConnections("sorry, too many clients"), True),
        (psycopg.errors.DeadlockDetected("deadlock detected"), True),
        (OperationalError("select 1", {}, LOST), True),
        (TimeoutError("QueuePool limit reached"), True),
        (DatabaseAway("nobody answers"), True),
        (caused(ConnectorException("database error"), LOST), True),
        (caused(StorageInternalError("exception"), OperationalError("select", {}, LOST)), True),
        (TOO_LONG, False),
        (OperationalError("insert", {}, TOO_LONG), False),
        (DataError("insert", {}, WRONG), False),
        (caused(StorageInternalError("exception"), DataError("insert", {}, WRONG)), False),
        (caused(ConnectorException("database error"), WRONG), False),
        (OverflowError("Python int too large"), False),
    ],
    ids=repr,
)
def test_a_database_is_away_only_where_asking_again_may_help(error: Exception, away: bool) -> None:
    assert is_away(error) is away


async def test_what_postgres_will_never_do_is_not_tried_again(database: Database) -> None:
    # An agent would have waited for ever for a database that was there.
    long = "select string_agg(md5(n::text), '') from generate_series(1, 10000) n"

    with pytest.raises(OperationalError, match="index row"):
        async with database.transaction() as session:
            await session.execute(
                text(f"create temporary table long (it text unique); insert into long {long}")
            )


async def test_a_connection_that_is_cut_is_away(database: Database) -> None:
    with pytest.raises(DatabaseAway):
        async with database.transaction() as session:
            await session.execute(text("select pg_terminate_backend(pg_backend_pid())"))


async def assert_is_busy(url: str) -> None:
    database = Database(sqlalchemy_url(url))
    with pytest.raises(DatabaseBusy, match="all connections to the database are in use"):
        async with database.transaction() as session:
            await session.execute(text("select 1"))
    await database.close()


async def test_a_server_without_a_free_connection_is_busy(
    admin: psycopg.Connection, postgres: Postgres, database_url: str
) -> None:
    name = urlsplit(database_url).path[1:]
    app, owner = postgres.url(name, Role.APP), postgres.url(name)
    with ExitStack() as stack:
        for url in (app, owner):  # the last connections are for superusers only
            with suppress(psycopg.OperationalError):
                while True:
                    stack.enter_context(psycopg.connect(url))
            await assert_is_busy(url)
    admin.execute(f'ALTER DATABASE "{name}" CONNECTION LIMIT 0')
    await assert_is_busy(app)


async def test_who_asks_a_sampler_may_think_longer_than_a_frozen_process(
    settings: Settings,
) -> None:
    for idle_s, shown in ((FROZEN_S, "15s"), (ASKS_S, "10min")):
        database = Database(settings.sqlalchemy_url, idle_s=idle_s)
        async with database.transaction() as session:
            limit = await session.scalar(text("show idle_in_transaction_session_timeout"))
        await database.close()

        assert limit == shown


@pytest.mark.parametrize(
    "content",
    [
        '{"a": [0.1, 5e-324, -0.0, 1.7976931348623157e308, 123456789012345678901234567890]}',
        '{"a": 1, "a": 2}',
        '"half a character: \\ud800"',
        "[" * 500 + "]" * 500,
    ],
    ids=["numbers", "twice", "half", "deep"],
)
async def test_json_is_read_as_python_reads_it(database: Database, content: str) -> None:
    async with database.reading() as session:
        read = await session.scalar(text("select cast(:content as json)"), {"content": content})

    assert repr(read) == repr(json.loads(content))
