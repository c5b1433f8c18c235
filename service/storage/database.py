"""The engine and its transactions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import InterfaceError, OperationalError, TimeoutError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from service.storage.errors import DatabaseAway


class Database:
    """Opens transactions on one Postgres; `close` it at the end."""

    def __init__(self, sqlalchemy_url: str, *, connections: int = 5) -> None:
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
                " -c idle_in_transaction_session_timeout=15s",
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
            raise DatabaseAway(f"the database does not answer: {error.args[0]}") from error

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()
