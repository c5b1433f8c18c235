"""The connections to the database, and the transactions on them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, TimeoutError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from service.storage.errors import DatabaseAway

#: Seconds of silence within a transaction after which a process counts as frozen.
FROZEN_S = 15
#: How an SQLSTATE begins when a statement exceeds a limit of Postgres; repeating it will not help.
LIMIT_EXCEEDED = "54"


def is_away(error: BaseException) -> bool:
    """Whether this error, or its cause, means that a database cannot answer at the moment.

    The class of the error does not decide it: drivers also raise `OperationalError` for what
    Postgres will never do, such as indexing a text of several megabytes.
    """
    match error:
        case DatabaseAway() | TimeoutError() | psycopg.InterfaceError():
            return True
        case psycopg.OperationalError(sqlstate=state):
            return state is None or not state.startswith(LIMIT_EXCEEDED)
        case DBAPIError(orig=cause):
            return cause is not None and is_away(cause)
    return error.__cause__ is not None and is_away(error.__cause__)


class Database:
    """Opens transactions on one Postgres database; call `close` at the end."""

    def __init__(
        self, sqlalchemy_url: str, *, connections: int = 5, idle_s: int = FROZEN_S
    ) -> None:
        """Prepare an engine; it connects when the first transaction opens.

        Args:
            sqlalchemy_url: Address of the database.
            connections: Number of connections that are kept; at peaks there may be twice as many.
            idle_s: Seconds for which a transaction may wait for its own process to go on.
        """
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url,
            pool_size=connections,
            max_overflow=connections,
            pool_pre_ping=True,  # Postgres may have been restarted in the meantime
            connect_args={
                "connect_timeout": 5,
                # procrastinate's SQL names no schema, so `queue` comes first on the search path
                "options": "-c search_path=queue,app -c timezone=UTC -c lock_timeout=10s"
                # a worker that freezes within a transaction must not keep its run locked
                f" -c idle_in_transaction_session_timeout={idle_s}s",
                "keepalives_idle": 5,
                "keepalives_interval": 3,
                "keepalives_count": 3,
                "tcp_user_timeout": 15_000,  # no keepalives are sent while an answer is awaited
            },
        )
        # Rows are sent in one statement, not in psycopg's pipeline: a process that freezes within
        # a pipeline looks busy to Postgres, not idle, so it would keep its locks for ever.
        self.engine.dialect.use_insertmanyvalues_wo_returning = True
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """A transaction that commits at the end of the block and rolls back on an error.

        Raises:
            DatabaseAway: the database does not answer.
        """
        try:
            async with self._sessions.begin() as session:
                yield session
        except (InterfaceError, OperationalError, TimeoutError) as error:
            if not is_away(error):
                raise
            raise DatabaseAway(f"the database does not answer: {error.args[0]}") from error

    async def close(self) -> None:
        await self.engine.dispose()
