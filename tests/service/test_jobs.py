"""The jobs of runs: each run has its own, and workers hear of them whatever others say."""

import asyncio
from typing import TYPE_CHECKING

import psycopg
from procrastinate import App
from sqlalchemy import text

from service.storage import runs
from service.storage.database import Database

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Submitter


async def test_every_new_run_has_a_job_on_the_queue_of_its_device(
    submit: "Submitter", spec_of: "SpecMaker", database: Database
) -> None:
    submission = await submit(spec_of(seeds=[0, 1], device="cuda"))

    async with database.transaction() as session:
        rows = await session.execute(
            text("select id, queue_name, args ->> 'run_id' from queue.procrastinate_jobs")
        )
        jobs = {tuple(row) for row in rows}
    assert jobs == {(run.job_id, "cuda", str(run.id)) for run in submission.runs}


async def test_every_run_knows_its_own_job_in_whatever_order_the_jobs_were_made(
    submit: "Submitter", spec_of: "SpecMaker", database: Database, database_url: str
) -> None:
    # Postgres promises no order for the ids of rows that are inserted together.
    with psycopg.connect(database_url) as connection:
        name = "queue.procrastinate_defer_jobs_v1"
        (definition,) = connection.execute(
            f"select pg_get_functiondef(oid) from pg_proc where oid = '{name}'::regproc"
        ).fetchone() or ("",)
        backwards = definition.replace("array_agg(id)", "array_agg(id order by id desc)")
        assert backwards != definition
        connection.execute(backwards)

    submission = await submit(spec_of(seeds=list(range(5))))

    async with database.transaction() as session:
        rows = await session.execute(
            text("select id, args ->> 'run_id' from queue.procrastinate_jobs")
        )
        jobs = {tuple(row) for row in rows}
        stored = [await runs.get(session, run.id) for run in submission.runs]
    assert jobs == {(run.job_id, str(run.id)) for run in submission.runs}
    assert jobs == {(run.job_id, str(run.id)) for run in stored}


FORGED = ["no json", "[]", "{}", "1", "null", '{"type": "abort_job_requested"}', "[" * 3000]
FORGED += ['{"type": "abort_job_requested", "job_id": {}}']


async def test_forged_notifications_leave_workers_listening(app: App, database: Database) -> None:
    # Everybody who may connect can notify everybody; the worker's listener ended without a word.
    heard: asyncio.Queue[object] = asyncio.Queue()

    async def hear(*, channel: str, notification: object) -> None:
        await heard.put((channel, notification))

    channel = "procrastinate_queue_v1#forged"
    listening = app.job_manager.listen_for_jobs(on_notification=hear, queues=["forged"])
    real = '{"type": "job_inserted", "job_id": 1}'
    async with asyncio.timeout(30), app.open_async(), asyncio.TaskGroup() as group:
        listener = group.create_task(listening)
        notify = text(
            "select pg_notify(:channel, payload) from unnest(cast(:payloads as text[])) payload"
        )
        while heard.empty():  # nobody knows when it listens
            async with database.transaction() as session:
                said = {"channel": channel, "payloads": [*FORGED, real]}
                await session.execute(notify, said)
            await asyncio.sleep(0.05)
        listener.cancel()

    assert heard.get_nowait() == (channel, {"type": "job_inserted", "job_id": 1})
