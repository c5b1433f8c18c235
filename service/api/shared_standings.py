"""Looks at what pages show: one for all who watch the same, however many there are."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.database import Database

#: How often who watches looks, in seconds: a page that has changed is rendered anew each time.
POLL_S = 2.0

#: A few words that change whenever what is watched changes.
Standing = tuple[str | None, ...]
Look = Callable[[AsyncSession], Awaitable[Standing]]


class SharedStandings:
    """The standing of each thing that is watched, as it was at most a moment ago."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looks: dict[UUID, tuple[float, asyncio.Task[Standing]]] = {}

    async def of(self, id: UUID, look: Look) -> Standing:
        """The standing of what has this id, by a look of which others may have had the result.

        Raises:
            DatabaseAway: the database does not answer.
        """
        now = time.monotonic()
        self._looks = {
            id: (at, task)
            for id, (at, task) in self._looks.items()
            if now < at + POLL_S / 2 or not task.done()
        }
        if id not in self._looks:
            self._looks[id] = (now, asyncio.create_task(self._look(look)))
        _, task = self._looks[id]
        return await asyncio.shield(task)  # others wait for it, although this watcher may leave

    async def _look(self, look: Look) -> Standing:
        async with self._database.transaction() as session:
            return await look(session)
