"""Removes the files of runs that were deleted, once nobody works on them."""

import asyncio
import logging
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path
from uuid import UUID

from service.storage import deletions
from service.storage.errors import DatabaseAway
from workers.training.patience import PatientDatabase

LOOK_S = 10.0

_log = logging.getLogger(__name__)


async def keep_deleting(artifacts: Path, database: PatientDatabase) -> None:
    """Remove the files of deleted runs until this is cancelled; all agents may do so."""
    while True:
        with suppress(DatabaseAway):
            await remove_deleted(artifacts, database)
        await asyncio.sleep(LOOK_S)


async def remove_deleted(artifacts: Path, database: PatientDatabase) -> None:
    """Remove the files of all deleted runs.

    Raises:
        DatabaseAway: the database does not answer; the rest stays for the next time.
    """
    stuck: set[UUID] = set()
    while run_ids := await database.once(partial(deletions.in_files, without=stuck)):
        for run_id in run_ids:
            try:
                await asyncio.to_thread(_remove_folder, artifacts / "runs" / str(run_id))
            except OSError as error:
                stuck.add(run_id)
                _log.error("the files of the deleted run %s stay: %s", run_id, error)
            else:
                await database.once(partial(deletions.removed, id=run_id, in_files=False))
                _log.info("removed the files of the deleted run %s", run_id)


def _remove_folder(folder: Path) -> None:
    with suppress(FileNotFoundError):  # it is gone, or another agent removes it, too
        shutil.rmtree(folder)
    if folder.exists():
        raise OSError(f"{folder} was removed only in part")
