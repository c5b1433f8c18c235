"""Tries again later what MLflow could not be told of, and shows users what always fails."""

import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

from service.repetition import MOST_REPETITIONS, Repetition
from service.storage import deletions, tracking_failures
from service.storage.database import Database
from service.storage.errors import DatabaseAway, EarlierVersion
from service.storage.texts import printable
from workers.tracking.server import MLflowAway, MLflowRefused
from workers.tracking.study_figures import DrawingFailed

#: Seconds until the next try of what MLflow could not be told of.
AGAIN_S = 60.0
#: The same once it has failed so often that users are shown the reason.
RARELY_S = 3600.0

_log = logging.getLogger(__name__)


class FilesUnsent(Exception):
    """MLflow has been told everything about a run except some of its files."""


class Tries:
    """Tells MLflow of one run or study after the other, and remembers which have failed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._repetition = Repetition()
        self._not_before: dict[tuple[str, UUID], float] = {}
        #: Why users are shown a run or study as missing in MLflow, for each thing that is told of
        #: it: several may fail at one time.
        self._failed: dict[tuple[str, UUID], str] = {}

    def is_due(self, what: str, id: UUID) -> bool:
        """Whether this has not failed lately."""
        return time.monotonic() >= self._not_before.get((what, id), 0.0)

    async def each(
        self, what: str, ids: Iterable[UUID], tell: Callable[[UUID], Awaitable[object]]
    ) -> None:
        """Tell MLflow of each id; a failure of one must not keep the others from being told."""
        for id in ids:
            if not self.is_due(what, id):
                continue
            try:
                await tell(id)
            except (DatabaseAway, MLflowAway):
                raise
            except Exception as error:
                if not await self._is_deleted(id):
                    await self._try_again(what, id, error)
            else:
                await self._note_success(what, id)

    async def _is_deleted(self, id: UUID) -> bool:
        async with self._database.transaction() as session:
            return await deletions.of(session, id) is not None

    async def _try_again(self, what: str, id: UUID, error: Exception) -> None:
        is_known = isinstance(error, MLflowRefused | FilesUnsent | DrawingFailed | EarlierVersion)
        is_vain = self._repetition.count((what, id), error) >= MOST_REPETITIONS
        wait_s = RARELY_S if is_vain else AGAIN_S
        _log.error(
            "%s %s cannot be copied to MLflow; next try in %.0f s: %s",
            what,
            id,
            wait_s,
            error,
            exc_info=not is_known,
            extra={what: id},
        )
        self._not_before[what, id] = time.monotonic() + wait_s
        if is_vain:
            self._failed[what, id] = printable(f"{type(error).__name__}: {error}")
            await self._show(id)

    async def _note_success(self, what: str, id: UUID) -> None:
        self._not_before.pop((what, id), None)
        self._repetition.forget((what, id))
        if self._failed.pop((what, id), None):
            await self._show(id)

    async def _show(self, id: UUID) -> None:
        """Show users all that fails of this run or study, or that nothing fails any more."""
        reasons = [why for (_, failed), why in self._failed.items() if failed == id]
        async with self._database.transaction() as session:
            if reasons:
                await tracking_failures.note(session, id, "; ".join(dict.fromkeys(reasons)))
            else:
                await tracking_failures.forget(session, id)
