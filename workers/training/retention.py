"""Removes weights that are older than the owner of the service wants to keep."""

import asyncio
import logging
from contextlib import suppress

from sqlalchemy.ext.asyncio import AsyncSession

from service.settings import Settings
from service.storage.artifacts import forget, outdated
from service.storage.errors import DatabaseAway
from workers.training.patience import PatientDatabase

LOOK_S = 3600.0

_log = logging.getLogger(__name__)


async def remove_outdated(settings: Settings, database: PatientDatabase) -> None:
    """Remove outdated weights every hour until this is cancelled; all agents may do so at once."""

    async def remove_some(session: AsyncSession) -> int:
        assert settings.keep_weights_days is not None
        files = await outdated(session, settings.keep_weights_days)
        for file in files:
            # The file goes first: a row without a file is removed the next time, and a file
            # without a row would stay for ever.
            await asyncio.to_thread((settings.artifacts / file.path).unlink, missing_ok=True)
        await forget(session, files)
        return len(files)

    while True:
        if settings.keep_weights_days is not None:
            try:
                with suppress(DatabaseAway):
                    while removed := await database.once(remove_some):
                        _log.info("removed %d files of weights", removed)
            except OSError as error:
                _log.error("outdated weights cannot be removed: %s", error)
        await asyncio.sleep(LOOK_S)
