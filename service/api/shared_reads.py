"""What watchers read again and again: once for all who watch the same, however many there are."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.database import Database

T = TypeVar("T")

#: Seconds for which what was read counts as new.
LASTS_S = 0.5


class SharedReads:
    """What was read of each thing that is watched, at most a moment ago."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reads: dict[Hashable, tuple[float, asyncio.Task[Any]]] = {}

    async def of(self, key: Hashable, read: Callable[[AsyncSession], Awaitable[T]]) -> T:
        """What this reads, or what others with the same key have just read.

        Raises:
            DatabaseAway: the database does not answer.
        """
        now = time.monotonic()
        self._reads = {
            key: (at, task)
            for key, (at, task) in self._reads.items()
            if now < at + LASTS_S or not task.done()
        }
        if key not in self._reads:
            self._reads[key] = (now, asyncio.create_task(self._read(read)))
        _, task = self._reads[key]
        # others wait for it, although this watcher may leave
        result: T = await asyncio.shield(task)
        return result

    async def _read(self, read: Callable[[AsyncSession], Awaitable[T]]) -> T:
        async with self._database.reading() as session:
            return await read(session)
