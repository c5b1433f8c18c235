"""One attempt at a run: a child that trains, and the lease that allows it to.

Every exchange with the database renews the lease and stores what the child has reported since the
last one. A renewed lease gives the child time. When that time is over the child ends by itself,
before another worker can take the run, even if this agent is frozen.

    0 ................. the lease is renewed, counted from the moment of the request
    lease - 2 renew ... without another renewal, the child is asked to save and stop
    lease - renew ..... the child's own alarm ends it
    lease ............. another worker may take the run
"""

import asyncio
import logging
import math
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from procrastinate import App
from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import (
    ArtifactSaved,
    CheckpointSaved,
    Evaluation,
    Event,
    Progress,
    Result,
    Started,
)
from service import queue
from service.exit_codes import CHILD_STOPPED
from service.settings import Settings
from service.storage import forms, metrics, runs
from service.storage.artifacts import log_of
from service.storage.errors import DatabaseAway, EarlierVersion, RunLost
from service.storage.last_states import last_states_for
from service.storage.states import RunState
from service.storage.tables import Run
from service.storage.texts import printable
from workers.training.concluding import conclude
from workers.training.messages import BUG, Failure, OnGpu, Request, from_line
from workers.training.patience import AGAIN_S, PatientDatabase
from workers.training.process import Child, Template, end_of
from workers.training.retention import remove_checkpoints
from workers.training.retry import Again, Ending, Finish, StopReason, decide
from workers.training.silence import Silence
from workers.training.system_metrics import Sample, Watch

_log = logging.getLogger(__name__)

#: Most events in a transaction, which must not delay the next renewal.
BATCH = 50
#: Seconds from one storing of numbers to the next, which costs several processes milliseconds
#: however few they are.
GATHER_S = 1.0
#: Events that can wait for those that follow; all others are stored at once, with those before.
NUMBERS = (Progress, Evaluation)


class Attempt:
    """`carry_out` takes an attempt from its claim to its end; `stop` and `look` intervene."""

    def __init__(
        self,
        run: Run,
        *,
        claimed_at: float,
        settings: Settings,
        app: App,
        database: PatientDatabase,
        device: str,
        template: Template,
    ) -> None:
        self._run = run
        self._claimed_at = claimed_at
        self._settings = settings
        self._app = app
        self._database = database
        self._device = device
        self._template = template
        self._artifacts = settings.artifacts.resolve()
        self._log_file = self._artifacts / log_of(run.id, run.attempt)
        self._folder = self._log_file.parent
        self._note = queue.note_of_stop(self._artifacts, run.id, run.attempt)
        self._child: Child | None = None
        #: Watches what the child takes of the machine, from the beginning of its training.
        self._watch: Watch | None = None
        self._gpu: OnGpu | None = None
        #: What the watch has seen and the database does not have yet.
        self._points: list[tuple[int, Sample]] = []
        #: Events that the child has reported but the database does not have yet, in order.
        self._untold: list[Event] = []
        #: Most events of the next transaction: fewer while the database is too slow for more.
        self._most = BATCH
        self._has_result = False
        self._failure: Failure | None = None
        self._stopped_for: StopReason | None = None
        self._news = asyncio.Event()
        #: When numbers were last taken to be stored.
        self._gathered_at = -math.inf
        self._lease_timer: asyncio.TimerHandle | None = None
        self._log = logging.LoggerAdapter(_log, {"run": run.id, "attempt": run.attempt})

    async def carry_out(self) -> Finish | Again:
        """Train, and store how the attempt ended; returns what follows.

        Raises:
            RunLost: the run has another owner or has ended; the child has been killed.
        """
        ending = await self._train()
        decision = decide(
            ending, losses=self._run.losses, max_attempts=self._settings.max_attempts
        )
        pause_s = self._settings.fault_pause_s
        await self._database.until_done(
            lambda session: conclude(session, self._app, self._run, decision, pause_s)
        )
        # This attempt still owned the run, otherwise RunLost would have been raised.
        match decision:
            case Finish(RunState.SUCCEEDED | RunState.CANCELLED):
                remove_checkpoints(self._folder.parent)
        self._log.info("ended: %s", decision.reason or "succeeded")
        return decision

    def look(self) -> None:
        """Read the run's row at once, because the run may have been cancelled."""
        self._news.set()

    def stop(self, reason: StopReason) -> None:
        """Ask the child to save and stop; a user's wish takes precedence over other reasons."""
        if self._stopped_for is not StopReason.USER:
            self._stopped_for = reason
        if self._child:
            self._child.ask_to_stop(self._settings.grace_s)

    async def _train(self) -> Ending:
        if self._stopped_for:  # before there was a child
            self._note_stop()
            return Ending(stopped_for=self._stopped_for)
        try:
            exit_code = await self._tend(await self._start_child())
        except RunLost:
            raise
        except EarlierVersion as error:
            return Ending(failure=Failure(error="earlier_version", message=str(error)))
        except Exception as error:
            self._log.exception("the attempt failed in its agent")
            self._untold.clear()  # an event that cannot be stored may be the cause
            return Ending(failure=Failure.of(error))
        return Ending(
            exit_code=exit_code,
            has_result=self._has_result,
            failure=self._failure,
            stopped_for=self._stopped_for,
            log_tail=self._log_tail(),
        )

    async def _start_child(self) -> Child:
        self._folder.mkdir(parents=True, exist_ok=True)
        run = self._run
        self._note.unlink(missing_ok=True)  # of an attempt that a restored backup has forgotten
        request = Request(
            spec=forms.experiment_spec(run.spec),
            dataset_digest=run.dataset_digest,
            device=self._device,
            folder=self._folder,
            resume_from=self._artifacts / run.checkpoint if run.checkpoint else None,
            last_states=await self._last_states(),
            may_go_on_until=self._child_may_go_on_until(self._claimed_at),
            niceness=self._settings.training_niceness,
        )
        child = await Child.start(self._template, self._log_file)
        child.say(request.model_dump_json())
        self._log.info("started child %s at step %s", child.pid, run.checkpoint_step or 0)
        return child

    async def _last_states(self) -> tuple[Path, ...]:
        """The states of other runs to go on from; they save time and change no numbers."""
        with suppress(DatabaseAway):
            paths = await self._database.once(lambda session: last_states_for(session, self._run))
            return tuple(self._artifacts / path for path in paths)
        return ()

    async def _tend(self, child: Child) -> int:
        """Store the child's events and renew the lease, until no more events can come."""
        self._child = child
        if self._stopped_for:  # the request to stop came while the child was starting
            self.stop(self._stopped_for)
        listening = asyncio.create_task(self._listen(child))
        listening.add_done_callback(lambda _: self._news.set())
        try:
            while self._untold or self._points or not listening.done():
                try:
                    await self._report(child)
                    if not listening.done():
                        await self._next_news()
                except DatabaseAway:
                    self._most = max(self._most // 4, 1)
                    await asyncio.sleep(AGAIN_S)
                if child.has_exited:
                    child.kill()  # processes that it has left behind would keep its output open
            return listening.result()
        finally:
            listening.cancel()
            child.kill()
            if self._watch:
                self._watch.end()
            if self._lease_timer:
                self._lease_timer.cancel()

    async def _listen(self, child: Child) -> int:
        """Read the child's output to its end; returns the child's exit code."""
        settings = self._settings
        silence = Silence(settings.silence_s, settings.silence_times, self._give_up)
        try:
            async for line in child.lines():
                silence.end()
                self._hear(from_line(line))
        except ValueError as error:  # this includes pydantic's ValidationError
            message = f"the child wrote a line that is not an event of this run: {error}"
            self._failure = Failure(error=BUG, message=printable(message))
            child.kill()
        finally:
            silence.forget()
        if self._watch:  # a child that has closed its output is still there for a moment
            await self._watch.finish()
        code = await child.exit_code()
        if code == CHILD_STOPPED:
            self._note_stop()
        return code

    def _note_stop(self) -> None:
        """Leave word that this attempt is no loss, in case the database cannot be told."""
        with suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._note.touch()

    def _give_up(self) -> None:
        """End a child that hangs; it may be unable to stop by itself."""
        self._stopped_for = self._stopped_for or StopReason.NO_PROGRESS
        if self._child:
            self._child.kill()

    def _hear(self, message: Event | OnGpu | Failure) -> None:
        if isinstance(message, Failure):
            self._failure = message
            return
        if isinstance(message, OnGpu):
            self._gpu = message
            return
        if isinstance(message, NUMBERS):
            asyncio.get_running_loop().call_at(self._gathered_at + GATHER_S, self._news.set)
        else:
            self._news.set()
        if isinstance(message, Started) and self._settings.system_metrics:
            self._begin_to_watch(message.device)
        if isinstance(message, CheckpointSaved | ArtifactSaved):
            path = Path(message.path).resolve().relative_to(self._artifacts)
            message = message.model_copy(update={"path": str(path)})
        self._untold.append(message)
        self._has_result = self._has_result or isinstance(message, Result)

    def _begin_to_watch(self, device: str) -> None:
        run = self._run
        assert self._child
        assert run.lease_until
        assert run.started_at
        # the claim was made at `lease_until - lease_s` by the clock that set `started_at`, too
        age_s = (run.lease_until - run.started_at).total_seconds() - self._settings.lease_s
        age_s += time.monotonic() - self._claimed_at
        uuid = self._gpu.uuid if self._gpu else None
        self._watch = Watch(self._child.pid, device, age_s=max(age_s, 0.0), uuid=uuid)
        self._points = self._watch.means.points

    async def _report(self, child: Child) -> None:
        """Renew the lease, and with it the child's time, and store the child's next events.

        Raises:
            DatabaseAway: the database does not answer; the events are kept for the next try.
            RunLost: this attempt no longer owns the run.
        """
        asked_at = time.monotonic()
        self._news.clear()
        batch = self._untold[: self._most]
        if any(isinstance(event, NUMBERS) for event in batch):
            self._gathered_at = asked_at
        points = self._points[:]
        if await self._database.once(
            lambda session: self._renew_and_record(session, batch, points)
        ):
            self.stop(StopReason.USER)
        del self._untold[: len(batch)]
        del self._points[: len(points)]
        if len(batch) == self._most:  # there may be more, whose news is over
            self._news.set()
        self._most = min(2 * self._most, BATCH)
        child.say(str(self._child_may_go_on_until(asked_at)))
        self._set_lease_timer(asked_at)

    async def _renew_and_record(
        self, session: AsyncSession, batch: Sequence[Event], points: Sequence[tuple[int, Sample]]
    ) -> bool:
        mine = (session, self._run.id, self._run.attempt)
        cancel_requested = await runs.renew(*mine, self._settings.lease_s)
        for event in batch:
            await runs.record(*mine, event)
        if points:
            await metrics.add_of_system(*mine, points)
        return cancel_requested

    async def _next_news(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.renew_s):
                await self._news.wait()

    def _set_lease_timer(self, renewed_at: float) -> None:
        """Set the timer that asks the child to stop; waiting for the database cannot delay it."""
        if self._lease_timer:
            self._lease_timer.cancel()
        settings = self._settings
        stop_at = renewed_at + settings.lease_s - 2 * settings.renew_s
        self._lease_timer = asyncio.get_running_loop().call_later(
            stop_at - time.monotonic(), self.stop, StopReason.LEASE_AT_RISK
        )

    def _child_may_go_on_until(self, renewed_at: float) -> float:
        return renewed_at + self._settings.lease_s - self._settings.renew_s

    def _log_tail(self) -> str:
        with suppress(OSError), self._log_file.open("rb") as log:  # the folder may be the fault
            return end_of(log)
        return ""
