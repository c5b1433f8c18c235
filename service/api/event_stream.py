"""Server-sent events about runs, for one watcher."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from fastapi.sse import ServerSentEvent

from service.api import shared_looks
from service.api.shared_looks import SharedLooks, Steps
from service.storage.errors import DatabaseAway
from service.storage.watching import Standing

log = logging.getLogger(__name__)


async def follow(
    looks: SharedLooks, run_ids: Sequence[UUID], after: int | None = None
) -> AsyncIterator[ServerSentEvent]:
    """Events that tell where the runs stand now, then every change, until all runs have ended.

    Args:
        looks: The looks of this process at the rows of runs.
        run_ids: Ids of runs that exist; a run that is deleted meanwhile is no longer followed.
        after: Step of the last evaluation that the watcher of a single run already has. None:
            only the newest of the evaluations that are stored already is sent for each run.
    """
    seen: dict[UUID, Standing] = {}
    steps: Steps = dict.fromkeys(run_ids, after)
    while steps:
        try:
            look = await looks.next(steps, is_new=not seen)
        except DatabaseAway as error:
            log.warning("the events continue when the database is back: %s", error)
            await asyncio.sleep(shared_looks.POLL_S)
            continue
        for run_id, step in steps.items():
            if run_id in look.standings:
                for event in look.events(run_id, seen.get(run_id), step):
                    yield event
        seen = {run_id: look.standings[run_id] for run_id in steps if run_id in look.standings}
        steps = {
            run_id: look.newest_step(run_id, steps[run_id])
            for run_id, standing in seen.items()
            if not standing.state.is_final
        }
