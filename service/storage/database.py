"""The engine and its transactions."""

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

#: A process that says nothing for so long within a transaction counts as frozen.
FROZEN_S = 15
#: First digits of an SQLSTATE: a limit of Postgres is exceeded, and asking again will not help.
LIMIT_EXCEEDED = "54"


def is_away(error: BaseException) -> bool:
    """Whether this error, or what caused it, says that a database cannot answer now.

    Drivers report under the same class what Postgres will never do, however often it is asked,
    such as to index a text of megabytes.
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
    """Opens transactions on one Postgres; `close` it at the end."""

    def __init__(
        self, sqlalchemy_url: str, *, connections: int = 5, idle_s: int = FROZEN_S
    ) -> None:
        """`idle_s` is how many seconds a transaction may wait for its own process."""
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url,
            pool_size=connections,
            max_overflow=connections,
            pool_pre_ping=True,  # Postgres may have been restarted since
            connect_args={
                "connect_timeout": 5,
                # unqualified names are the queue's: procrastinate's SQL has no schema
                "options": "-c search_path=queue,app -c timezone=UTC -c lock_timeout=10s"
                # a worker that freezes in a transaction must not keep its run locked
                f" -c idle_in_transaction_session_timeout={idle_s}s",
                "keepalives_idle": 5,
                "keepalives_interval": 3,
                "keepalives_count": 3,
                "tcp_user_timeout": 15_000,  # keepalives say nothing while an answer is awaited
            },
        )
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """One transaction: committed at the end of the block, rolled back on an error.

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
        """Close all connections."""
        await self.engine.dispose()
