"""Looks at the runs that people watch: one for all watchers of a process, however many there are.

Each process of the API looks for itself, so that any number of them may be there, and a look that
fails is simply the last before the next.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from fastapi.sse import ServerSentEvent

from polar.records.events import Evaluation, Progress
from service.api.run_events import Evaluated, Progressed, QueueMoved, RunEvent, StateChanged
from service.api.stored import Reader
from service.storage import watching
from service.storage.database import Database
from service.storage.evaluations import evaluations_after, newest_steps
from service.storage.watching import Standing

#: Seconds between two looks; no database connection is held in between.
POLL_S = 0.5

#: The evaluations of a run as they are stored, by their steps, which ascend.
Evaluations = Mapping[int, Mapping[str, Any]]
#: The step of the last evaluation of each watched run that a watcher has; None: only the newest of
#: those that are stored already is wanted.
Steps = Mapping[UUID, int | None]


@dataclass(frozen=True)
class Look:
    """Where the runs stand, and the evaluations that at least one of the watchers does not have.

    Runs that do not exist any more are missing.
    """

    standings: Mapping[UUID, Standing]
    _evaluations: Mapping[UUID, Evaluations]
    _encoded: dict[tuple[UUID, int, int | None], list[ServerSentEvent]] = field(
        default_factory=dict
    )

    def events(
        self, run_id: UUID, before: Standing | None, step: int | None
    ) -> Sequence[ServerSentEvent]:
        """What a watcher is told who knows this standing and the evaluations up to this step."""
        if self.standings[run_id] is before and run_id not in self._evaluations:
            return ()
        # Nearly all watchers know the same, which is then encoded once for all of them. A watcher
        # keeps the standing that it knows, so that no other has its identity.
        known = (run_id, id(before), step)
        if known not in self._encoded:
            evaluations = list(self._after(run_id, step).values())
            told = changes(before, self.standings[run_id], evaluations)
            self._encoded[known] = [_encoded(event) for event in told]
        return self._encoded[known]

    def newest_step(self, run_id: UUID, step: int | None) -> int:
        """The step of the last evaluation that such a watcher has after this look."""
        return max(self._after(run_id, step), default=-1 if step is None else step)

    def _after(self, run_id: UUID, step: int | None) -> Evaluations:
        stored = self._evaluations.get(run_id, {})
        if step is None:
            return dict(list(stored.items())[-1:])
        return {at: evaluation for at, evaluation in stored.items() if at > step}


class SharedLooks:
    """Looks as long as anybody waits for it, twice a second and whenever a watcher is new."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: list[tuple[Steps, asyncio.Future[Look]]] = []
        self._somebody_is_new = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._last: Mapping[UUID, Standing] = {}

    async def next(self, steps: Steps, *, is_new: bool) -> Look:
        """The next look; a new watcher gets it at once.

        Raises:
            DatabaseAway: the database does not answer.
        """
        look: asyncio.Future[Look] = asyncio.get_running_loop().create_future()
        self._waiting.append((steps, look))
        if is_new:
            self._somebody_is_new.set()
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_while_somebody_waits())
        return await look

    async def close(self) -> None:
        """Stop looking; whoever still waits is told nothing more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look_while_somebody_waits(self) -> None:
        while self._waiting:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._somebody_is_new.wait(), POLL_S)
            self._somebody_is_new.clear()
            await self._answer(self._waiting)

    async def _answer(self, waiting: Sequence[tuple[Steps, asyncio.Future[Look]]]) -> None:
        self._waiting = []
        try:
            made = await self._look([steps for steps, look in waiting if not look.done()])
        except Exception as error:  # each watcher raises it
            for _, look in waiting:
                if not look.done():
                    look.set_exception(error)
            return
        for _, look in waiting:
            if not look.done():  # its watcher has not left
                look.set_result(made)

    async def _look(self, known: Sequence[Steps]) -> Look:
        run_ids = list({run_id for steps in known for run_id in steps})
        new = {run_id for steps in known for run_id, step in steps.items() if step is None}
        async with self._database.reading() as session:
            # The standings are read first: what has ended by then has stored all evaluations.
            standings = await watching.standings(session, run_ids)
            newest = await newest_steps(session, new) if new else {}
            least: dict[UUID, int] = {}
            for steps in known:
                for run_id, step in steps.items():
                    after = newest.get(run_id, 0) - 1 if step is None else step
                    least[run_id] = min(after, least.get(run_id, after))
            evaluations = await evaluations_after(session, least)
        # What has not changed stays the same object, so that watchers see this without comparing.
        self._last = {
            run_id: last if (last := self._last.get(run_id)) == now else now
            for run_id, now in standings.items()
        }
        return Look(self._last, evaluations)


def changes(
    before: Standing | None, now: Standing, evaluations: Sequence[Mapping[str, Any]]
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
