"""An agent, which takes one run after the other from the queue and has a child train it.

The agent never imports torch, because whatever holds the interpreter for long would delay the
renewals of its lease.
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

from procrastinate.exceptions import ConnectorException
from sqlalchemy import select

from polar.spec.own_images import on_this_machine
from polar.spec.own_models import allowed_here
from service import queue
from service.exit_codes import AGENT_ENDED, AGENT_FENCED
from service.programs import Program, python
from service.settings import Settings
from service.storage import agents, runs
from service.storage.database import Database
from service.storage.errors import DatabaseAway, RunLost
from workers.training.attempt import Attempt
from workers.training.deleting import keep_deleting
from workers.training.finder import Finder
from workers.training.machine import Machine
from workers.training.messages import MACHINE_FAULT
from workers.training.offer import available_datasets, queues_for
from workers.training.patience import AGAIN_S, PatientDatabase
from workers.training.process import Template
from workers.training.retention import keep_removing
from workers.training.retry import StopReason

TEMPLATE = python(Program.TEMPLATE)
#: How often an agent announces that it lives, what it offers, and whether its machine works.
ANNOUNCE_S = 15.0
#: How often an agent asks the queue for work, in case it has missed a notification.
POLL_S = 10.0
#: How long a stopped agent may take in addition to the grace period of its child.
LEAVE_S = 5.0

_log = logging.getLogger(__name__)


class Agent:
    """A slot for training on one device, in use from `work` until `stop`."""

    def __init__(
        self, settings: Settings, *, name: str, device: str, command: Sequence[str] = TEMPLATE
    ) -> None:
        self._settings = settings
        self._name = name
        self._device = device
        self._queues = queues_for(device)
        self._template = Template(command)
        self._engine = Database(settings.sqlalchemy_url)
        self._database = PatientDatabase(self._engine)
        self._app = queue.queue_app(settings)
        self._app.task(name=queue.TRAIN)(self._train)
        self._stopping = asyncio.Event()
        #: Set while no job of the queue is in work.
        self._idle = asyncio.Event()
        self._idle.set()
        self._attempt: Attempt | None = None
        self._machine = Machine(settings.artifacts, device)
        self._finder = Finder(
            settings,
            self._database,
            is_training=lambda: self._attempt is not None,
            is_well=lambda: self._machine.fault is None,
        )

    async def work(self) -> int:
        """Take runs until asked to stop; returns the exit code."""
        loops = [
            asyncio.create_task(loop)
            for loop in (
                self._take_jobs(),
                self._machine.watch(),
                self._announce(),
                self._rescue(),
                self._finder.work(),
                keep_removing(self._settings, self._database, self._app),
                keep_deleting(self._settings.artifacts, self._database),
            )
        ]
        asked = asyncio.create_task(self._stopping.wait())
        await asyncio.wait([asked, *loops], return_when=asyncio.FIRST_COMPLETED)
        was_asked = asked.done()
        self.stop()
        for loop in loops:
            loop.cancel()
        ends = await asyncio.gather(asked, *loops, return_exceptions=True)
        self._template.end()
        await self._engine.close()
        faults = [end for end in ends if isinstance(end, Exception)]
        for fault in faults:
            _log.error("the agent ends because of an error", exc_info=fault)
        if was_asked and not faults:
            return 0
        _log.error("the agent ends without having been asked to; restart it")
        return AGENT_ENDED

    def stop(self) -> None:
        """Take no further run, release the current one, and end soon even if something hangs."""
        self._stopping.set()
        signal.setitimer(signal.ITIMER_REAL, self._settings.grace_s + LEAVE_S)
        if self._attempt:
            self._attempt.stop(StopReason.AGENT_STOPPED)

    async def _take_jobs(self) -> None:
        """Take jobs while the machine is well and the database answers.

        Procrastinate's worker ends by itself when it loses the database, or when others have
        struck it off because it was silent; another takes its place.
        """
        async with self._app.open_async():
            while not self._stopping.is_set():
                await self._machine.well.wait()
                await self._database.until_done(lambda session: session.execute(select(1)))
                working = asyncio.create_task(self._work_on_queue())
                failing = asyncio.create_task(self._failed_while_idle())
                try:
                    await asyncio.wait([working, failing], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    failing.cancel()
                    working.cancel()  # once, and then it ends when its job has
                    while not working.done():
                        with suppress(asyncio.CancelledError):
                            await asyncio.wait([working])
                if not working.cancelled():
                    await self._begin_anew(working.exception())

    async def _failed_while_idle(self) -> None:
        """Return when the machine fails and no job is in work.

        A job is not waited for by ending the queue's worker, whose heartbeat would end first.
        """
        while not (self._machine.failed.is_set() and self._idle.is_set()):
            await self._machine.failed.wait()
            await self._idle.wait()

    async def _begin_anew(self, end: BaseException | None) -> None:
        """Pause before another worker of the queue takes the place of one that has ended.

        Raises:
            BaseException: the end had to do with neither the database nor the queue.
        """
        if not isinstance(end, ConnectorException | None):
            raise end
        _log.warning("the queue's worker has ended, and begins anew: %s", end or "see above")
        await asyncio.sleep(AGAIN_S)

    async def _work_on_queue(self) -> None:
        settings = self._settings
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
        """The queue's task: attend to a run, even if the job is aborted meanwhile.

        An abort cancels this coroutine at an arbitrary point. We treat it only as a hint to look
        at the run's row, which says what to do, so no transaction is ever cut in two.
        """
        self._idle.clear()
        attending = asyncio.create_task(self._attend(UUID(run_id)))
        while not attending.done():
            try:
                await asyncio.wait([attending])
            except asyncio.CancelledError:
                if self._attempt:
                    self._attempt.look()
        self._idle.set()
        self._template.rest()
        attending.result()

    async def _attend(self, run_id: UUID) -> None:
        await self._warm_up()  # before the claim, so that the lease begins with the work
        await self._machine.look()
        if self._machine.fault:
            await self._database.until_done(
                lambda session: queue.leave_to_others(self._app, session, run_id)
            )
            return
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
            template=self._template,
        )
        if self._stopping.is_set():
            self._attempt.stop(StopReason.AGENT_STOPPED)
        try:
            decision = await self._attempt.carry_out()
        except RunLost as lost:
            # This agent was cut off for a while. It must be restarted and may not end the job.
            _log.error("%s", lost, extra={"run": run.id, "attempt": run.attempt})
            os._exit(AGENT_FENCED)
        finally:
            self._attempt = None
        if decision.reason == MACHINE_FAULT:
            await self._machine.look(also_at_device=True)

    async def _warm_up(self) -> None:
        """Wait for the template, which imports for long from some disks, or for the stop."""
        warming = asyncio.create_task(self._template.warm_up())
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([warming, stopping], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (warming, stopping):
                task.cancel()
        await asyncio.gather(warming, stopping, return_exceptions=True)

    async def _announce(self) -> None:
        while True:
            await self._machine.look()
            self._machine.changed.clear()
            announce = partial(
                agents.announce,
                name=self._name,
                host=socket.gethostname(),
                pid=os.getpid(),
                device=self._device,
                queues=self._queues,
                datasets=await asyncio.to_thread(available_datasets),
                own_images=await asyncio.to_thread(on_this_machine),
                models=await asyncio.to_thread(allowed_here),
                fault=self._machine.fault,
            )
            with suppress(DatabaseAway):
                await self._database.once(announce)
            with suppress(TimeoutError):
                async with asyncio.timeout(ANNOUNCE_S):
                    await self._machine.changed.wait()

    async def _rescue(self) -> None:
        """Put runs whose agent has disappeared back into the queue.

        Every look comes after a pause. When the whole machine has slept, or everything restarts,
        all leases have expired, and the agents that still own them must get to renew them first.
        """
        while True:
            began = time.time()  # unlike other clocks, this one runs on while the machine sleeps
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
