"""What watchers read: places in the queue, and the evaluations that they have not seen."""

from typing import TYPE_CHECKING
from uuid import UUID

from service import queue
from service.storage import experiments, runs, watching
from service.storage.database import Database
from service.storage.evaluations import evaluations_after, newest_steps
from service.storage.states import RunState

if TYPE_CHECKING:
    from procrastinate import App

    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Worker


async def test_the_place_in_the_queue_counts_the_waiting_runs_before_it(
    submit: "Submitter", spec_of: "SpecMaker", worker: "Worker", database: Database
) -> None:
    submission = await submit(spec_of(seeds=[0, 1, 2, 3]))
    await submit(spec_of(seeds=[9], device="cuda"))
    first, second, third, fourth = (run.id for run in submission.runs)
    await worker.claim(first)
    async with database.transaction() as session:
        await runs.request_cancel(session, second)

    async with database.transaction() as session:
        found = await watching.standings(session, [first, second, fourth, third])

    places = {run_id: standing.queue_position for run_id, standing in found.items()}
    assert places == {first: None, second: None, third: 0, fourth: 1}


async def test_places_in_the_queue_are_the_order_in_which_procrastinate_hands_out_the_jobs(
    spec_of: "SpecMaker", database: Database, app: "App"
) -> None:
    # What a study began comes after what somebody submitted later by hand; and the later of two
    # studies may have the earlier turn.
    waiting: list[UUID] = []
    for seed, priority in enumerate((-7, -7, -3, 0, -12, -3, 0)):
        async with database.transaction() as session:
            spec = spec_of(seeds=[seed])
            created = await experiments.create(session, spec, "d" * 64, priority=priority)
            await queue.enqueue(app, session, created.new)
            waiting.append(created.runs[0].id)

    async with database.transaction() as session:
        standings = await watching.standings(session, waiting)
    handed_out: list[UUID] = []
    async with app.open_async():
        worker_id = await app.job_manager.register_worker()
        while job := await app.job_manager.fetch_job(queues=["auto"], worker_id=worker_id):
            handed_out.append(UUID(str(job.task_kwargs["run_id"])))

    assert [standings[run_id].queue_position for run_id in waiting] == [4, 5, 2, 0, 6, 3, 1]
    assert [standings[run_id].queue_position for run_id in handed_out] == list(range(7))


async def test_a_run_that_goes_back_to_the_queue_keeps_its_priority_and_has_its_new_place(
    submit: "Submitter", spec_of: "SpecMaker", worker: "Worker", database: Database, app: "App"
) -> None:
    async with database.transaction() as session:
        of_a_study = await experiments.create(session, spec_of(), "d" * 64, priority=-5)
        await queue.enqueue(app, session, of_a_study.new)
    by_hand = await submit(spec_of(seeds=[1, 2]))
    returned, waiting = (run.id for run in by_hand.runs)
    await worker.claim(returned)

    async with database.transaction() as session:
        await queue.release(app, session, returned, 1, reason="stopped", message="given back")
        ids = [of_a_study.runs[0].id, returned, waiting]
        standings = await watching.standings(session, ids)

    assert [standings[run_id].queue_position for run_id in ids] == [2, 1, 0]


async def test_a_standing_tells_state_and_progress(
    run_id: UUID, worker: "Worker", reports: "Reports", database: Database
) -> None:
    await worker.record(run_id, reports.progress(10))

    async with database.transaction() as session:
        standing = (await watching.standings(session, [run_id]))[run_id]

    assert (standing.state, standing.attempt, standing.reason) == (RunState.RUNNING, 1, None)
    assert standing.progress == reports.progress(10).model_dump(mode="json")


async def test_evaluations_are_told_from_the_step_on_that_a_watcher_has(
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    reports: "Reports",
    database: Database,
) -> None:
    submission = await submit(spec_of(seeds=[0, 1, 2]))
    first, second, third = (run.id for run in submission.runs)
    for run_id in (first, second):
        await worker.claim(run_id)
        await worker.record(run_id, *(reports.evaluation(step) for step in (0, 10, 20)))

    async with database.transaction() as session:
        after = await evaluations_after(session, {first: 0, second: 20, third: -1})
        newest = await newest_steps(session, [first, third])
        none = await evaluations_after(session, {})

    steps = {
        run_id: [(step, each["step"]) for step, each in found.items()]
        for run_id, found in after.items()
    }
    assert steps == {first: [(10, 10), (20, 20)]}
    assert newest == {first: 20}
    assert none == {}
