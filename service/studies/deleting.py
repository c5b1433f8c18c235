"""Removes from Optuna, and from our tables, what is left of what was deleted."""

import asyncio

from optuna.storages import BaseStorage

from service.storage import deletions
from service.storage.database import Database
from service.studies.optimiser import forget_study


async def remove_deleted(database: Database, storage: BaseStorage) -> None:
    """Remove deleted studies from Optuna, and the rows of some deleted runs.

    Raises:
        DatabaseAway: the database does not answer.
    """
    async with database.transaction() as session:
        study_ids, run_ids = await deletions.in_optuna(session), await deletions.in_rows(session)
    for study_id in study_ids:
        await asyncio.to_thread(forget_study, storage, study_id)
        async with database.transaction() as session:
            await deletions.removed(session, study_id, in_optuna=False)
    for run_id in run_ids:
        async with database.transaction() as session:
            await deletions.remove_rows(session, run_id)
