"""The queue: a job for every run that waits, and rescue for runs that nobody works on."""

import asyncio
import threading
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from procrastinate import App
from sqlalchemy import text

from service import queue
from service.settings import Settings
from service.storage import runs
from service.storage.database import Database
from service.storage.errors import RunLost
from service.storage.states import RunState
from service.storage.tables import Run

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Submitter, Worker

LONG_AGO_S = -1.0


class Bench:
    """What the tests do with one queued run."""

    def __init__(self, run: Run, database: Database, app: App, settings: Settings) -> None:
        self.run_id = run.id
        self.first_job = run.job_id
        self._database = database
        self._app = app
        self._settings = settings

    async def look(self) -> Run:
        async with self._database.transaction() as session:
            return await runs.get(session, self.run_id)

    async def lose(self, times: int = 1) -> None:
        """Let an agent claim the run and vanish; let others notice all but the last time."""
        for time in range(times):
            if time:
                await self.rescue()
            async with self._database.transaction() as session:
                await runs.claim(session, self.run_id, "gone", LONG_AGO_S)

    async def rescue(self) -> list[UUID]:
        async with self._database.transaction() as session:
            return [run.id for run in await queue.rescue(self._app, session, self._settings)]

    async def jobs(self) -> dict[int, str]:
        """The status of each job."""
        async with self._database.transaction() as session:
            rows = await session.execute(
                text("select id, status::text from queue.procrastinate_jobs order by id")
            )
            return {row.id: row.status for row in rows}

    async def sql(self, statement: str) -> None:
        async with self._database.transaction() as session:
            await session.execute(text(statement), {"id": self.first_job})


@pytest.fixture
async def bench(
    submit: "Submitter", spec_of: "SpecMaker", database: Database, app: App, settings: Settings
) -> Bench:
    return Bench((await submit(spec_of())).runs[0], database, app, settings)


async def test_an_attempt_that_stopped_as_it_was_asked_to_is_no_loss(
    bench: Bench, settings: Settings
) -> None:
    # as where the machine shuts down, and the database went before its agent could tell it
    await bench.lose(2)
    note = queue.note_of_stop(settings.artifacts, bench.run_id, 2)
    note.parent.mkdir(parents=True)
    note.touch()

    assert await bench.rescue() == [bench.run_id]

    run = await bench.look()
    assert (run.state, run.status_reason, run.losses) == (RunState.QUEUED, "agent_stopped", 1)
    assert list((await bench.jobs()).values())[-1] == "todo"
    await bench.lose()
    await bench.rescue()
    assert (await bench.look()).losses == 2


async def test_runs_are_rescued_where_the_folder_of_their_files_cannot_be_asked(
    bench: Bench, database: Database, app: App, settings: Settings
) -> None:
    # an error of the folder ended each agent that looked for lost runs
    await bench.lose()
    broken = settings.model_copy(update={"artifacts": Path("/" + "too long" * 100)})
    with pytest.raises(OSError, match="too long"):
        broken.artifacts.stat()

    async with database.transaction() as session:
        await queue.rescue(app, session, broken)

    run = await bench.look()
    assert (run.state, run.status_reason, run.losses) == (RunState.QUEUED, "lease_lost", 1)


async def test_runs_are_rescued_where_the_folder_of_their_files_hangs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.lose()
    goes_on = threading.Event()
    monkeypatch.setattr(queue, "FOLDER_S", 0.2)
    monkeypatch.setattr("service.queue.os.path.exists", lambda _path: goes_on.wait(60))

    try:
        await bench.rescue()
    finally:
        goes_on.set()

    run = await bench.look()
    assert (run.state, run.status_reason, run.losses) == (RunState.QUEUED, "lease_lost", 1)


async def test_a_transaction_that_fails_queues_nothing(
    bench: Bench, app: App, database: Database
) -> None:
    async def fail() -> None:
        async with database.transaction() as session:
            await queue.enqueue(app, session, [await runs.get(session, bench.run_id)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await bench.jobs() == {bench.first_job: "todo"}


async def test_a_lost_run_gets_a_new_job(bench: Bench) -> None:
    await bench.lose()

    rescued = await bench.rescue()

    run = await bench.look()
    assert rescued == [bench.run_id]
    assert (run.state, run.status_reason, run.losses) == (RunState.QUEUED, "lease_lost", 1)
    assert await bench.jobs() == {bench.first_job: "failed", run.job_id: "todo"}


async def test_a_run_is_rescued_once(bench: Bench) -> None:
    await bench.lose()

    rescued = await asyncio.gather(*(bench.rescue() for _ in range(5)))

    assert sorted(rescued) == [[], [], [], [], [bench.run_id]]
    assert (await bench.look()).losses == 1


async def test_runs_that_are_well_are_left_alone(bench: Bench, worker: "Worker") -> None:
    waiting = await bench.rescue()
    await worker.claim(bench.run_id)
    held = await bench.rescue()
    await worker.finish(bench.run_id)
    over = await bench.rescue()

    assert waiting == held == over == []


async def test_a_run_that_is_lost_too_often_fails(bench: Bench, settings: Settings) -> None:
    await bench.lose(times=settings.max_attempts)

    await bench.rescue()

    run = await bench.look()
    assert (run.state, run.status_reason) == (RunState.FAILED, "attempts_exhausted")
    assert run.attempt == settings.max_attempts
    assert "todo" not in (await bench.jobs()).values()


async def test_a_lost_run_that_is_to_be_cancelled_is(bench: Bench, database: Database) -> None:
    await bench.lose()
    async with database.transaction() as session:
        await runs.request_cancel(session, bench.run_id)

    await bench.rescue()

    assert (await bench.look()).state is RunState.CANCELLED
    assert await bench.jobs() == {bench.first_job: "failed"}


@pytest.mark.parametrize(
    "mishap",
    [
        "delete from queue.procrastinate_jobs where id = :id",
        "update queue.procrastinate_jobs set status = 'failed' where id = :id",
        # fetched by a worker that is unknown by now
        "update queue.procrastinate_jobs set status = 'doing' where id = :id",
    ],
)
async def test_a_waiting_run_whose_job_came_to_nothing_gets_another(
    mishap: str, bench: Bench
) -> None:
    await bench.sql(mishap)

    rescued = await bench.rescue()

    run = await bench.look()
    assert rescued == [bench.run_id]
    assert run.state is RunState.QUEUED
    assert run.job_id != bench.first_job
    assert (await bench.jobs())[run.job_id or 0] == "todo"


async def test_a_job_that_a_living_worker_has_fetched_is_left_to_it(bench: Bench) -> None:
    await bench.sql("insert into queue.procrastinate_workers default values")
    await bench.sql(
        "update queue.procrastinate_jobs set status = 'doing', worker_id ="
        " (select id from queue.procrastinate_workers) where id = :id"
    )

    assert await bench.rescue() == []


async def test_a_job_that_its_worker_left_behind_is_closed_when_its_run_has_ended(
    bench: Bench, worker: "Worker"
) -> None:
    await bench.sql("insert into queue.procrastinate_workers default values")
    await bench.sql(
        "update queue.procrastinate_jobs set status = 'doing', worker_id ="
        " (select id from queue.procrastinate_workers) where id = :id"
    )
    await worker.claim(bench.run_id)
    await bench.rescue()
    running = await bench.jobs()
    await worker.finish(bench.run_id)
    await bench.rescue()
    ended = await bench.jobs()
    await bench.sql("delete from queue.procrastinate_workers")

    assert await bench.rescue() == []

    assert running == ended == {bench.first_job: "doing"}  # a living worker closes it itself
    assert await bench.jobs() == {bench.first_job: "failed"}


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled", "aborted"])
async def test_jobs_that_ended_days_ago_are_removed(status: str, bench: Bench, app: App) -> None:
    long_ago = "update queue.procrastinate_events set at = now() - interval '73 hours'"
    async with app.open_async():
        await bench.sql(long_ago)
        await queue.remove_finished_jobs(app)
        waiting = await bench.jobs()
        await bench.sql("update queue.procrastinate_jobs set status = 'doing' where id = :id")
        await bench.sql(f"update queue.procrastinate_jobs set status = '{status}' where id = :id")
        await queue.remove_finished_jobs(app)
        just_ended = await bench.jobs()
        await bench.sql(long_ago)
        await queue.remove_finished_jobs(app)

    assert (waiting, just_ended) == ({bench.first_job: "todo"}, {bench.first_job: status})
    assert await bench.jobs() == {}


async def test_a_run_whose_machine_failed_waits_for_its_pause(
    bench: Bench, worker: "Worker", app: App, database: Database
) -> None:
    for attempt, reason in enumerate(("machine_fault", "agent_stopped", "oom"), start=1):
        await worker.claim(bench.run_id)
        async with database.transaction() as session:
            mine = (app, session, bench.run_id, attempt)
            await queue.release(*mine, reason=reason, message="m", pause_s=100)

    async with database.transaction() as session:
        faults = await runs.put_back_lately(session, bench.run_id, ("machine_fault", "oom"))
        job = (await runs.get(session, bench.run_id)).job_id
        wait = await session.scalar(
            text("select scheduled_at - now() from queue.procrastinate_jobs where id = :id"),
            {"id": job},
        )
    assert faults == 2
    assert 90 < wait.total_seconds() <= 100
    assert await bench.rescue() == []


async def test_a_job_that_an_agent_cannot_do_is_left_to_others_while_its_run_waits(
    bench: Bench, worker: "Worker", app: App, database: Database
) -> None:
    async def leave() -> None:
        async with database.transaction() as session:
            await queue.leave_to_others(app, session, bench.run_id)

    await leave()
    left = (await bench.look()).job_id
    await worker.claim(bench.run_id)
    await leave()

    run = await bench.look()
    assert left != bench.first_job
    assert (run.job_id, run.attempt) == (left, 1)


async def test_giving_a_run_back_queues_it_again(
    bench: Bench, worker: "Worker", app: App, database: Database
) -> None:
    await worker.claim(bench.run_id)

    async with database.transaction() as session:
        await queue.release(app, session, bench.run_id, 1, reason="agent_stopped", message="m")

    run = await bench.look()
    assert (run.state, run.losses) == (RunState.QUEUED, 0)
    assert run.job_id != bench.first_job


async def test_a_run_that_was_lost_is_not_queued_by_its_late_owner(
    bench: Bench, app: App, database: Database
) -> None:
    await bench.lose()
    await bench.rescue()
    jobs = await bench.jobs()

    with pytest.raises(RunLost):
        async with database.transaction() as session:
            await queue.release(app, session, bench.run_id, 1, reason="r", message="m")

    assert await bench.jobs() == jobs


async def test_cancelling_withdraws_the_job_of_a_waiting_run(
    bench: Bench, database: Database
) -> None:
    async with database.transaction() as session:
        await queue.cancel(session, [await runs.request_cancel(session, bench.run_id)])

    assert await bench.jobs() == {bench.first_job: "cancelled"}


async def test_cancelling_tells_the_worker_that_has_the_job(
    bench: Bench, database: Database
) -> None:
    await bench.sql("update queue.procrastinate_jobs set status = 'doing' where id = :id")

    async with database.transaction() as session:
        await queue.cancel(session, [await runs.get(session, bench.run_id)])
        asked = await session.scalar(
            text("select abort_requested from queue.procrastinate_jobs where id = :id"),
            {"id": bench.first_job},
        )

    assert asked is True
