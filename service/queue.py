"""The queue of procrastinate's jobs. A job asks workers to do a run; our lease decides which may.

A job carries only the id of a run, and is never retried: a run that needs another attempt gets a
new job, in the transaction that records the need. A worker that comes too late can therefore end
only a job that nobody waits for any more.
"""

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from procrastinate import App, PsycopgConnector
from procrastinate.types import JSONDict
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Select,
    Text,
    Uuid,
    and_,
    cast,
    column,
    exists,
    func,
    or_,
    select,
    table,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm.attributes import set_committed_value

from service.connections import connect_args
from service.listening import ListeningConnection
from service.settings import Settings
from service.storage import experiments, runs
from service.storage.batches import batches
from service.storage.cleaning import ATTEMPT, RUNS
from service.storage.states import RunState
from service.storage.tables import Run

TRAIN = "train"
#: Arbitrary number of the Postgres lock that lets only one process rescue runs at a time. It is
#: taken with a second number, because agents may take no locks of one (`service.storage.roles`).
RESCUE_LOCK = 7_205_302
#: Seconds within which the artifact folder has to say which attempts have stopped.
FOLDER_S = 5.0
#: Hours for which jobs are kept after their end, for people who look for what happened.
KEEP_JOBS_H = 72

_jobs = table(
    "procrastinate_jobs",
    column("id", BigInteger),
    column("args", JSONB),
    column("status"),
    column("worker_id", BigInteger),
    schema="queue",
)
_workers = table(
    "procrastinate_workers", column("id", BigInteger), column("last_heartbeat"), schema="queue"
)
_events = table("procrastinate_events", column("job_id", BigInteger), column("at"), schema="queue")

_FAILED = text("'failed'::queue.procrastinate_job_status")


class _Notified(ListeningConnection):
    """Passes over what is no notification of procrastinate's, whose worker would go deaf.

    Postgres lets everybody who may connect notify everybody else.
    """

    async def notifies(self, **options: Any) -> AsyncGenerator[psycopg.Notify, None]:  # noqa: ANN401
        async for notice in super().notifies(**options):
            if _is_of_a_job(notice.payload):
                yield notice


def _is_of_a_job(payload: str) -> bool:
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and "type" in said and isinstance(said.get("job_id"), int)


def queue_app(settings: Settings) -> App:
    """A procrastinate app on our database; open it with `async with app.open_async()`."""
    return App(
        connector=PsycopgConnector(
            conninfo=settings.database_url.get_secret_value(),
            connection_class=_Notified,
            min_size=1,
            max_size=4,
            timeout=5.0,  # a worker without a database ends, and begins anew
            reconnect_timeout=5.0,  # else the pauses between tries grow to minutes
            kwargs=connect_args("search_path=queue,app", "timezone=UTC"),
        )
    )


async def enqueue(
    app: App, session: AsyncSession, new_runs: Iterable[Run], *, pause_s: float = 0.0
) -> None:
    """Queue runs in the transaction that created them, so that both are stored or neither is.

    Runs begin in the order of `service.storage.turns.QUEUE_ORDER`, none before the pause is over.
    """
    connection = await _driver_connection(session)
    at = await session.scalar(select(runs.from_now(pause_s))) if pause_s else None
    for (queue, priority), group in groupby(new_runs, key=lambda run: (run.queue, run.priority)):
        deferrer = app.configure_task(
            TRAIN, queue=queue, priority=priority, schedule_at=at, connection=connection
        )
        for batch in batches(list(group)):
            jobs: list[JSONDict] = [{"run_id": str(run.id)} for run in batch]
            await _note_jobs(session, batch, await deferrer.batch_defer_async(*jobs))


async def _note_jobs(session: AsyncSession, new: Sequence[Run], job_ids: Sequence[int]) -> None:
    """Store which job each run has.

    Jobs are matched with runs by the jobs' arguments, because procrastinate does not promise to
    return ids in the order of the runs.
    """
    run_id = cast(_jobs.c.args["run_id"].astext, Uuid)
    statement = update(Run).where(_jobs.c.id.in_(job_ids), run_id == Run.id)
    noted = await session.execute(
        statement.values(job_id=_jobs.c.id).returning(Run.id, Run.job_id),
        execution_options={"synchronize_session": False},
    )
    job_of = {row.id: row.job_id for row in noted}
    for run in new:  # to read a thousand rows anew takes long
        set_committed_value(run, "job_id", job_of[run.id])


async def cancel(session: AsyncSession, cancelled: Iterable[Run]) -> None:
    """Withdraw the jobs of cancelled runs, or tell the workers that have these jobs to abort them.

    This calls procrastinate's function in the database, because its Python interface takes one job
    at a time: a thousand jobs kept everybody waiting for half a minute.
    """
    ids = [run.job_id for run in cancelled if run.job_id is not None]
    job_id = func.unnest(cast(ids, ARRAY(BigInteger)))
    await session.execute(select(func.queue.procrastinate_cancel_job_v1(job_id, True, False)))


async def cancel_experiment(session: AsyncSession, experiment_id: UUID) -> None:
    """Cancel an experiment and those of its runs that no other experiment wants.

    Raises:
        NotFound: no experiment has this id.
        Conflict: the experiment was not cancelled, and all its runs have ended.
    """
    unwanted = await experiments.cancel(session, experiment_id)
    await runs.request_ends(session, unwanted)
    await cancel(session, unwanted)


async def release(
    app: App,
    session: AsyncSession,
    run_id: UUID,
    attempt: int,
    *,
    reason: str,
    message: str,
    pause_s: float = 0.0,
) -> None:
    """Give a run back and queue it anew, so that it goes on from its newest checkpoint.

    Raises:
        RunLost: this attempt no longer owns the run.
    """
    run = await runs.release(session, run_id, attempt, reason=reason, message=message)
    await enqueue(app, session, [run], pause_s=pause_s)


async def leave_to_others(app: App, session: AsyncSession, run_id: UUID) -> None:
    """Queue a run anew, if it still waits: the agent that has its job cannot do it."""
    run = await session.get(Run, run_id, with_for_update=True)
    if run is not None and run.state is RunState.QUEUED:
        await enqueue(app, session, [run])


def note_of_stop(artifacts: Path, run_id: UUID, attempt: int) -> Path:
    """The file that an agent leaves where an attempt has stopped as it was asked to.

    It says so where the database cannot be told, as when a whole machine shuts down.
    """
    return artifacts / RUNS / str(run_id) / f"{ATTEMPT}{attempt}" / "stopped"


async def rescue(app: App, session: AsyncSession, settings: Settings) -> list[Run]:
    """Rescue the runs that nobody works on: their lease is over, or their job came to nothing.

    A rescued run goes on in a new job, and whatever a late worker still reports for the old job is
    void. A run ends instead if its end was requested or it was lost too often.

    Returns:
        The runs that were queued again or have ended.
    """
    if not await session.scalar(select(func.pg_try_advisory_xact_lock(RESCUE_LOCK, 0))):
        return []
    await _close_forgotten_jobs(session, settings.heartbeat_over_s)
    abandoned = _abandoned_runs(settings.heartbeat_over_s)
    locked = abandoned.with_for_update(of=Run, skip_locked=True)
    rescued = list(await session.scalars(locked))
    stopped = await _stopped(settings.artifacts, rescued)
    for run in rescued:
        await _close_job(session, run)
        if run.cancel_requested:
            await runs.end_on_request(session, run)
        elif run.id in stopped:
            await runs.queue_stopped(session, run)
            await enqueue(app, session, [run])
        elif run.losses + 1 >= settings.max_attempts:
            message = f"{run.losses + 1} attempts died without a word; see the agents' logs"
            await runs.end(session, run, RunState.FAILED, "attempts_exhausted", message)
        else:
            await runs.queue_lost(session, run)
            await enqueue(app, session, [run])
    return rescued


async def _stopped(artifacts: Path, lost: Iterable[Run]) -> set[UUID]:
    """The runs whose attempts left word that they stopped; none where the folder hangs."""
    notes = {run.id: note_of_stop(artifacts, run.id, run.attempt) for run in lost}

    def look() -> set[UUID]:
        # not `Path.exists`, which raises the errors of a broken folder
        return {run_id for run_id, note in notes.items() if os.path.exists(note)}

    if not notes:
        return set()
    try:
        return await asyncio.wait_for(asyncio.to_thread(look), FOLDER_S)
    except TimeoutError:  # a transaction that waits for long is ended, and nobody is rescued
        return set()


async def count_abandoned(session: AsyncSession, settings: Settings) -> int:
    """How many runs wait without a job, or belong to an agent that is gone; `rescue` helps."""
    abandoned = _abandoned_runs(settings.heartbeat_over_s).with_only_columns(Run.id)
    return len((await session.scalars(abandoned)).all())


async def count_jobs_without_run(session: AsyncSession) -> int:
    """How many jobs wait for a run that is not there any more; agents end them when they come."""
    run_id = cast(_jobs.c.args["run_id"].astext, Uuid)
    is_waiting = cast(_jobs.c.status, Text).in_(("todo", "doing"))
    query = select(func.count()).where(is_waiting, ~exists().where(Run.id == run_id))
    return await session.scalar(query) or 0


async def count_finished_jobs(session: AsyncSession) -> int:
    """How many jobs ended so long ago that `remove_finished_jobs` removes them."""
    ended = cast(_jobs.c.status, Text).not_in(("todo", "doing"))
    last = select(func.max(_events.c.at)).where(_events.c.job_id == _jobs.c.id).scalar_subquery()
    query = select(func.count()).select_from(_jobs)
    is_old = last < runs.from_now(-KEEP_JOBS_H * 3600)
    return await session.scalar(query.where(ended, is_old)) or 0


async def remove_finished_jobs(app: App) -> None:
    """Remove the jobs that ended `KEEP_JOBS_H` hours ago; runs keep their own histories.

    Raises:
        ConnectorException: the database does not answer.
    """
    await app.job_manager.delete_old_jobs(
        KEEP_JOBS_H, include_failed=True, include_cancelled=True, include_aborted=True
    )


async def _close_forgotten_jobs(session: AsyncSession, heartbeat_over_s: float) -> None:
    """End jobs whose worker died after the end of the run, or after another job took its place."""
    is_needed = exists().where(
        Run.job_id == _jobs.c.id, Run.state.in_((RunState.QUEUED, RunState.RUNNING))
    )
    lives = exists().where(_workers.c.id == _jobs.c.worker_id, ~_heartbeat_over(heartbeat_over_s))
    is_forgotten = and_(cast(_jobs.c.status, Text) == "doing", ~is_needed, ~lives)
    await session.execute(update(_jobs).where(is_forgotten).values(status=_FAILED))


def _heartbeat_over(heartbeat_over_s: float) -> ColumnElement[bool]:
    return _workers.c.last_heartbeat < runs.from_now(-heartbeat_over_s)


def _abandoned_runs(heartbeat_over_s: float) -> Select[Run]:
    heartbeat_over = or_(_workers.c.id.is_(None), _heartbeat_over(heartbeat_over_s))
    job_came_to_nothing = or_(
        _jobs.c.id.is_(None),
        cast(_jobs.c.status, Text).not_in(("todo", "doing")),
        # fetched by a worker that died before it could claim the run
        and_(cast(_jobs.c.status, Text) == "doing", heartbeat_over),
    )
    return (
        select(Run)
        .outerjoin(_jobs, _jobs.c.id == Run.job_id)
        .outerjoin(_workers, _workers.c.id == _jobs.c.worker_id)
        .where(
            or_(
                and_(Run.state == RunState.RUNNING, Run.lease_until < func.now()),
                and_(Run.state == RunState.QUEUED, job_came_to_nothing),
            )
        )
    )


async def _close_job(session: AsyncSession, run: Run) -> None:
    """End the run's old job, so that no worker takes it and a late worker cannot revive it."""
    statement = (
        update(_jobs)
        .where(_jobs.c.id == run.job_id, cast(_jobs.c.status, Text).in_(("todo", "doing")))
        .values(status=_FAILED)
    )
    await session.execute(statement)


async def _driver_connection(session: AsyncSession) -> psycopg.AsyncConnection[Any]:
    raw = await (await session.connection()).get_raw_connection()
    return raw.driver_connection  # type: ignore[return-value]
