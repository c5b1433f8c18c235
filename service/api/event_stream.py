"""Server-sent events about runs, read from the rows of the runs."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from fastapi.sse import ServerSentEvent

from polar.records.events import Evaluation, Progress
from service.api.run_events import Evaluated, Progressed, QueueMoved, RunEvent, StateChanged
from service.api.stored import Reader
from service.storage import watching
from service.storage.database import Database
from service.storage.errors import DatabaseAway
from service.storage.evaluations import evaluations_after, latest_evaluations
from service.storage.watching import Standing

#: Seconds between two reads of the rows; no database connection is held in between.
POLL_S = 0.5

log = logging.getLogger(__name__)

#: The evaluations of a run as they are stored, in the order of their steps.
Evaluations = Sequence[Mapping[str, Any]]


async def follow(
    database: Database, run_ids: Sequence[UUID], after: int | None = None
) -> AsyncIterator[ServerSentEvent]:
    """Events that tell where the runs stand now, then every change, until all runs have ended.

    Args:
        database: Is read again and again, each time in a transaction of its own.
        run_ids: Ids of runs that exist.
        after: Step of the last evaluation that the watcher of a single run already has. None:
            only the newest of the evaluations that are stored already is sent for each run.
    """
    seen: Mapping[UUID, Standing] = {}
    steps = {} if after is None else dict.fromkeys(run_ids, after)
    watched = run_ids
    while watched:
        try:
            now, evaluations = await _look(database, watched, steps)
        except DatabaseAway as error:
            log.warning("the events continue when the database is back: %s", error)
            await asyncio.sleep(POLL_S)
            continue
        watched = [run_id for run_id in watched if run_id in now]  # others were deleted
        for run_id in watched:
            for event in changes(seen.get(run_id), now[run_id], evaluations.get(run_id, [])):
                yield _encoded(event)
        seen = now
        watched = [run_id for run_id in watched if not now[run_id].state.is_final]
        steps = {
            run_id: max(
                (stored["step"] for stored in evaluations.get(run_id, ()) if "step" in stored),
                default=steps.get(run_id, -1),
            )
            for run_id in watched
        }
        await asyncio.sleep(POLL_S if watched else 0)


async def _look(
    database: Database, run_ids: Sequence[UUID], steps: Mapping[UUID, int]
) -> tuple[Mapping[UUID, Standing], Mapping[UUID, Evaluations]]:
    """Where the runs stand, and their evaluations after `steps`; the newest if that is empty."""
    async with database.transaction() as session:
        # The standings are read first: a run that has ended by then has stored all evaluations.
        now = await watching.standings(session, run_ids)
        if steps:
            return now, await evaluations_after(session, steps)
        latest = await latest_evaluations(session, run_ids)
        return now, {run_id: [evaluation] for run_id, evaluation in latest.items()}


def changes(
    before: Standing | None, now: Standing, evaluations: Evaluations
) -> Iterator[RunEvent]:
    """Events for a watcher, from the first, which is the state, to the last, the final state."""
    state = _state(now)
    has_changed = before is None or _state(before) != state
    if before is None or (has_changed and not now.state.is_final):
        yield state
    if now.queue_position is not None and (
        before is None or now.queue_position != before.queue_position
    ):
        yield QueueMoved(event="queue", run_id=now.run_id, position=now.queue_position)
    # There is no event for what an earlier version stored and this one cannot read.
    reader = Reader()
    for stored in evaluations:
        if evaluation := reader.read("evaluation", Evaluation, stored):
            yield Evaluated(event="evaluation", run_id=now.run_id, evaluation=evaluation)
    is_news = before is None or now.progress != before.progress
    if is_news and (progress := reader.read("progress", Progress, now.progress)):
        yield Progressed(event="progress", run_id=now.run_id, progress=progress)
    if has_changed and now.state.is_final:
        yield state


def _state(standing: Standing) -> StateChanged:
    return StateChanged(
        event="state",
        run_id=standing.run_id,
        state=standing.state,
        reason=standing.reason,
        message=standing.message,
        attempt=standing.attempt,
    )


def _encoded(event: RunEvent) -> ServerSentEvent:
    step = str(event.evaluation.step) if isinstance(event, Evaluated) else None
    return ServerSentEvent(event=event.event, id=step, raw_data=event.model_dump_json())
