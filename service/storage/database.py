"""The connections to the database, and the transactions on them."""

import asyncio
import json
import select
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Self, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.waiting import wait_async
from pydantic_core import from_json
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from service.connections import connect_args
from service.storage.errors import DatabaseAway, DatabaseBusy

T = TypeVar("T")

#: Seconds of silence within a transaction after which a process counts as frozen.
FROZEN_S = 15
#: How an SQLSTATE begins when a statement exceeds a limit of Postgres; repeating it will not help.
LIMIT_EXCEEDED = "54"
#: What a database that answers says (SQLSTATE) when it cannot do something at the moment.
BUSY = {
    "40P01": "two changes waited for each other, and this one was given up",
    "55P03": "something else that goes on has locked what this needs",
    "57014": "the database needs longer for this than it may take",
}
#: What a server says, without SQLSTATE, when it has no connection left for a new client.
FULL = ("too many clients", "remaining connection slots", "too many connections")
#: Seconds in which a database answers a process that others wait for. A database whose processes
#: are frozen would otherwise let them wait for ever, because its machine keeps the connections up.
ANSWERS_S = 4.0
#: After how long the database itself gives up a statement that such a process waits for.
STATEMENT_MS = 3_500


def is_away(error: BaseException) -> bool:
    """Whether this error, or its cause, means that a database cannot answer at the moment.

    The class of the error does not decide it: drivers also raise `OperationalError` for what
    Postgres will never do, such as indexing a text of several megabytes.
    """
    match error:
        case DatabaseAway() | NoConnectionFree() | psycopg.InterfaceError():
            return True
        case psycopg.OperationalError(sqlstate=state):
            return state is None or not state.startswith(LIMIT_EXCEEDED)
        case DBAPIError(orig=cause):
            return cause is not None and is_away(cause)
    return error.__cause__ is not None and is_away(error.__cause__)


class _ImpatientConnection(psycopg.AsyncConnection[Any]):
    """A connection that closes, with an error, where nothing comes for `ANSWERS_S`."""

    @classmethod
    async def connect(cls, *args: Any, **kwargs: Any) -> Self:  # noqa: ANN401
        try:
            return await super().connect(*args, **kwargs)
        except (psycopg.Error, asyncio.CancelledError) as error:
            # its traceback would keep the socket open until garbage is collected
            raise error.with_traceback(None) from None

    async def wait(
        self,
        gen: PQGen[T],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> T:
        try:
            return await wait_async(
                gen, self.pgconn.socket, interval=interval, timeout=timeout or ANSWERS_S
            )
        except psycopg.errors._WaitTimeout:
            self.pgconn.finish()
            raise psycopg.OperationalError(f"no answer within {ANSWERS_S:g} s") from None
        except asyncio.CancelledError:
            # psycopg would ask the server to cancel the statement, and wait for that again
            self.pgconn.finish()
            raise


def _refuse_if_ended(connection: Any, _record: object, _proxy: object) -> None:  # noqa: ANN401
    """Have another connection opened in place of this idle one if its server has ended it.

    The server says so, and there is nothing else to read from an idle connection. To ask the
    server, as `pool_pre_ping` does, would cost each request an answer.

    Raises:
        DisconnectionError: the connection has ended.
    """
    news = select.poll()
    if not connection.closed:
        news.register(connection.driver_connection.fileno(), select.POLLIN)
    if connection.closed or news.poll(0):
        raise DisconnectionError("the server has ended this connection")


def _read_json(content: str | bytes) -> Any:  # noqa: ANN401
    """What a column holds; large answers take mostly this, for which `json` takes longer."""
    try:
        return from_json(content)
    except ValueError:  # `json` also takes half characters and deeper nests
        return json.loads(content)


class Database:
    """Opens transactions on one Postgres database; call `close` at the end."""

    def __init__(
        self,
        sqlalchemy_url: str,
        *,
        connections: int = 5,
        idle_s: int = FROZEN_S,
        is_impatient: bool = False,
    ) -> None:
        """Prepare an engine; it connects when the first transaction opens.

        Args:
            sqlalchemy_url: Address of the database.
            connections: Number of connections that are kept; at peaks there may be twice as many.
            idle_s: Seconds for which a transaction may wait for its own process to go on.
            is_impatient: Whether a connection, and the answer to each statement, count as missing
                after `ANSWERS_S`. Without this they are waited for.
        """
        self._is_impatient = is_impatient
        self._most = 2 * connections
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url,
            json_deserializer=_read_json,
            pool_size=connections,
            max_overflow=connections,
            pool_timeout=ANSWERS_S / 2 if is_impatient else 30,
            # Postgres may have been restarted in the meantime
            pool_pre_ping=not is_impatient,
            connect_args=connect_args(
                # procrastinate's SQL names no schema, so `queue` comes first on the search path
                "search_path=queue,app",
                "timezone=UTC",
                f"lock_timeout={'3s' if is_impatient else '10s'}",
                f"statement_timeout={STATEMENT_MS if is_impatient else 0}",
                # a worker that freezes within a transaction must not keep its run locked
                f"idle_in_transaction_session_timeout={idle_s}s",
                timeout_s=3 if is_impatient else 5,
            )
            | ({"async_creator_fn": _ImpatientConnection.connect} if is_impatient else {}),
        )
        # Rows are sent in one statement, not in psycopg's pipeline: a process that freezes within
        # a pipeline looks busy to Postgres, not idle, so it would keep its locks for ever.
        self.engine.dialect.use_insertmanyvalues_wo_returning = True
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)
        alone = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._statements = async_sessionmaker(alone, expire_on_commit=False)
        if is_impatient:
            event.listen(self.engine.sync_engine, "checkout", _refuse_if_ended)

    def transaction(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A transaction that commits at the end of the block and rolls back on an error.

        Raises:
            DatabaseAway: the database does not answer.
            DatabaseBusy: all connections to it are in use, or others hinder this transaction.
        """
        return self._session(self._sessions)

    def reading(self) -> AbstractAsyncContextManager[AsyncSession]:
        """A session without a transaction, which spares the database two of its answers.

        It is for reading alone. Each statement sees what others have committed before it, as it
        does within a transaction.

        Raises:
            DatabaseAway: the database does not answer.
            DatabaseBusy: all connections to it are in use, or others hinder a statement.
        """
        return self._session(self._statements)

    @asynccontextmanager
    async def _session(
        self, sessions: async_sessionmaker[AsyncSession]
    ) -> AsyncIterator[AsyncSession]:
        try:
            async with sessions.begin() as session:
                if self._is_impatient:
                    await self._connect(session)
                yield session
        except NoConnectionFree as error:
            raise DatabaseBusy(
                f"all {self._most} connections to the database are in use"
            ) from error
        except (InterfaceError, OperationalError) as error:
            if not is_away(error):
                raise
            state = getattr(error.orig, "sqlstate", None)
            if state in BUSY:
                raise DatabaseBusy(BUSY[state]) from error
            if state is None and any(words in str(error.orig) for words in FULL):
                raise DatabaseBusy("all connections to the database are in use") from error
            raise DatabaseAway(f"the database does not answer: {error.args[0]}") from error

    async def _connect(self, session: AsyncSession) -> None:
        """Have the connection ready in time, which may need two answers and a new connection."""
        try:
            async with asyncio.timeout(ANSWERS_S):
                await session.connection()
        except TimeoutError as error:
            raise DatabaseAway(
                f"the database does not answer: no connection within {ANSWERS_S:g} s"
            ) from error

    async def close(self) -> None:
        await self.engine.dispose()
