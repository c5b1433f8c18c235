"""An agent: takes one run after the other from the queue, and has a child train it.

It never imports torch: what holds the interpreter for long would stop its lease's renewals.
"""

import asyncio
import logging
import os
import signal
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from uuid import UUID

from service import queue
from service.exit_codes import AGENT_ENDED, AGENT_FENCED
from service.programs import Program, python
from service.settings import Settings
from service.storage import agents, runs
from service.storage.database import Database
from service.storage.errors import DatabaseAway, RunLost
from workers.training.attempt import Attempt
from workers.training.offer import available_datasets, queues_for
from workers.training.patience import PatientDatabase
from workers.training.retry import StopReason

CHILD = python(Program.CHILD)
#: How often an agent says that it lives, and what it has.
ANNOUNCE_S = 15.0
#: How often the queue is asked, should a notification have been missed.
POLL_S = 2.0
#: What a stopped agent may take beyond the grace of its child.
LEAVE_S = 5.0

_log = logging.getLogger(__name__)


class Agent:
    """One slot for training on one device: `work`, until `stop`."""

    def __init__(
        self, settings: Settings, *, name: str, device: str, command: Sequence[str] = CHILD
    ) -> None:
        self._settings = settings
        self._name = name
        self._device = device
        self._queues = queues_for(device)
        self._command = command
        self._engine = Database(settings.sqlalchemy_url)
        self._database = PatientDatabase(self._engine)
        self._app = queue.queue_app(settings)
        self._app.task(name=queue.TRAIN)(self._train)
        self._stopping = asyncio.Event()
        self._attempt: Attempt | None = None

    async def work(self) -> int:
        """Take runs until told to stop; returns the exit code.

        Procrastinate's worker ends by itself when it loses the database, as soon as its job is
        over; the agent then ends, too, and wants to be started anew.
        """
        loops = [
            asyncio.create_task(loop)
            for loop in (self._take_jobs(), self._announce(), self._rescue())
        ]
        asked = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([asked, *loops], return_when=asyncio.FIRST_COMPLETED)
        was_asked = asked.done()
        self.stop()
        for loop in loops:
            loop.cancel()
        ends = await asyncio.gather(asked, *loops, return_exceptions=True)
        await self._engine.close()
        faults = [end for end in ends if isinstance(end, Exception)]
        for fault in faults:
            _log.error("the agent ends", exc_info=fault)
        if was_asked and not faults:
            return 0
        _log.error("the agent ends unasked; start it anew")
        return AGENT_ENDED

    def stop(self) -> None:
        """Take no other run, give this one back, and be gone soon, whatever hangs."""
        self._stopping.set()
        signal.setitimer(signal.ITIMER_REAL, self._settings.grace_s + LEAVE_S)
        if self._attempt:
            self._attempt.stop(StopReason.AGENT_STOPPED)

    async def _take_jobs(self) -> None:
        settings = self._settings
        async with self._app.open_async():
            await self._app.run_worker_async(
                queues=self._queues,
                name=self._name,
                concurrency=1,
                install_signal_handlers=False,
                fetch_job_polling_interval=POLL_S,
                update_heartbeat_interval=settings.heartbeat_s,
                stalled_worker_timeout=settings.heartbeat_over_s,
            )

    async def _train(self, run_id: str) -> None:
        """The task of the queue: attend to a run, also when the job is aborted meanwhile.

        An abort cancels this coroutine wherever it is. It is taken as a hint to look at the run,
        whose row says what is wanted; so no transaction is ever cut in two.
        """
        attending = asyncio.create_task(self._attend(UUID(run_id)))
        while not attending.done():
            try:
                await asyncio.wait([attending])
            except asyncio.CancelledError:
                if self._attempt:
                    self._attempt.look()
        attending.result()

    async def _attend(self, run_id: UUID) -> None:
        lease_s = self._settings.lease_s
        claimed_at = time.monotonic()
        run = await self._database.until_done(
            lambda session: runs.claim(session, run_id, self._name, lease_s)
        )
        if run is None:
            _log.info("nothing to do for run %s", run_id, extra={"run": run_id})
            return
        self._attempt = Attempt(
            run,
            claimed_at=claimed_at,
            settings=self._settings,
            app=self._app,
            database=self._database,
            device=self._device,
            command=self._command,
        )
        if self._stopping.is_set():
            self._attempt.stop(StopReason.AGENT_STOPPED)
        try:
            await self._attempt.carry_out()
        except RunLost as lost:
            # This agent was out of the world for a while: it begins anew, and ends no job.
            _log.error("%s", lost, extra={"run": run.id, "attempt": run.attempt})
            os._exit(AGENT_FENCED)
        finally:
            self._attempt = None

    async def _announce(self) -> None:
        while True:
            announce = partial(
                agents.announce,
                name=self._name,
                host=socket.gethostname(),
                pid=os.getpid(),
                device=self._device,
                queues=self._queues,
                datasets=await asyncio.to_thread(available_datasets),
            )
            with suppress(DatabaseAway):
                await self._database.once(announce)
            await asyncio.sleep(ANNOUNCE_S)

    async def _rescue(self) -> None:
        """Bring back the runs that nobody works on.

        The first look comes late: where the whole machine has slept, or everything starts anew,
        all leases are over, and those who still own them shall come first.
        """
        while True:
            began = time.time()  # unlike other clocks, this one goes on while a machine sleeps
            await asyncio.sleep(self._settings.rescue_s)
            if time.time() - began > 2 * self._settings.rescue_s:
                continue
            with suppress(DatabaseAway):
                rescued = await self._database.once(
                    lambda session: queue.rescue(self._app, session, self._settings)
                )
                for run in rescued:
                    ids = {"run": run.id, "attempt": run.attempt}
                    _log.warning("rescued: %s, %s", run.state, run.status_reason, extra=ids)
