"""An agent's database, which may be unreachable for a while."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from procrastinate.exceptions import ConnectorException
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.database import Database
from service.storage.errors import DatabaseAway

T = TypeVar("T")
Work = Callable[[AsyncSession], Awaitable[T]]

#: Longest duration of a try, not counting the connection's own deadlines.
TRY_S = 5.0
#: Pause between two tries.
AGAIN_S = 0.5

_log = logging.getLogger(__name__)


class PatientDatabase:
    """Runs transactions that may be repeated, and logs when the database goes away and returns."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._away_since: float | None = None

    async def once(self, work: Work[T]) -> T:
        """Do this work in one transaction.

        Raises:
            DatabaseAway: the database does not answer.
        """
        try:
            async with asyncio.timeout(TRY_S), self._database.transaction() as session:
                result = await work(session)
        # The queue's statements in a transaction raise procrastinate's errors.
        except (DatabaseAway, ConnectorException, TimeoutError) as error:
            self._note_away(error)
            raise DatabaseAway("the database does not answer") from error
        self._note_back()
        return result

    async def until_done(self, work: Work[T]) -> T:
        """Do this work in one transaction, and repeat it until the database has committed."""
        while True:
            try:
                return await self.once(work)
            except DatabaseAway:
                await asyncio.sleep(AGAIN_S)

    def _note_away(self, error: Exception) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
            _log.warning("the database is away: %r", error.__cause__ or error)

    def _note_back(self) -> None:
        if self._away_since is not None:
            _log.info("the database is back after %.1f s", time.monotonic() - self._away_since)
            self._away_since = None
