"""Removes what is no longer needed: weights older than the owner wants to keep, and old jobs."""

import asyncio
import logging
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path

from procrastinate import App
from procrastinate.exceptions import ConnectorException
from sqlalchemy.ext.asyncio import AsyncSession

from service import queue
from service.settings import Settings
from service.storage.artifacts import forget, outdated
from service.storage.errors import DatabaseAway
from workers.training.patience import PatientDatabase

LOOK_S = 3600.0

_log = logging.getLogger(__name__)


async def keep_removing(settings: Settings, database: PatientDatabase, app: App) -> None:
    """Remove outdated weights and jobs every hour until this is cancelled; all agents may do so.

    The app is opened by whoever takes jobs, which it has done long before it is needed here.
    """
    while True:
        if settings.keep_weights_days is not None:
            with suppress(DatabaseAway):
                await remove_outdated(settings.artifacts, settings.keep_weights_days, database)
        await asyncio.sleep(LOOK_S)
        with suppress(ConnectorException):
            await queue.remove_finished_jobs(app)


def remove_checkpoints(of_run: Path) -> None:
    """Remove the checkpoints of all attempts, even partial ones: no attempt will need them."""
    for folder in of_run.glob("attempt-*/checkpoints"):
        shutil.rmtree(folder, ignore_errors=True)


async def remove_outdated(artifacts: Path, days: float, database: PatientDatabase) -> None:
    """Remove the weights of all runs that ended more than so many days ago.

    Raises:
        DatabaseAway: the database does not answer; the rest stays for the next time.
    """
    stuck: set[str] = set()
    while await database.once(partial(_remove_some, artifacts, days, stuck)):
        pass


async def _remove_some(
    artifacts: Path, days: float, stuck: set[str], session: AsyncSession
) -> int:
    """Remove some files; returns how many were tried, and adds those that stay to the stuck ones.

    A file goes before its row, because a row without a file is removed the next time, and a file
    without a row would stay for ever.
    """
    files = await outdated(session, days, stuck)
    for file in files:
        try:
            await asyncio.to_thread((artifacts / file.path).unlink, missing_ok=True)
        except OSError as error:
            stuck.add(file.path)
            _log.error("outdated weights cannot be removed: %s", error)
    removed = [file for file in files if file.path not in stuck]
    await forget(session, removed)
    if removed:
        _log.info("removed %d files of weights", len(removed))
    return len(files)
