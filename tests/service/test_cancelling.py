"""What becomes of runs and their jobs when an experiment is cancelled."""

from typing import TYPE_CHECKING

from procrastinate import App
from sqlalchemy import event, text

from service import queue
from service.storage import runs
from service.storage.database import Database
from service.storage.states import RunState

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Submitter, Worker


async def test_cancelling_an_experiment_ends_what_waits_and_asks_what_runs_to_end(
    submit: "Submitter", spec_of: "SpecMaker", worker: "Worker", database: Database
) -> None:
    submission = await submit(spec_of(seeds=[0, 1, 2, 3]))
    await worker.claim(submission.runs[0].id)
    await worker.claim(submission.runs[1].id)
    await worker.finish(submission.runs[1].id)

    async with database.transaction() as session:
        await queue.cancel_experiment(session, submission.experiment.id)

    async with database.transaction() as session:
        found = [await runs.get(session, run.id) for run in submission.runs]
        history = [await runs.transitions_of(session, run.id) for run in submission.runs]
        jobs = await session.execute(
            text("select status::text, abort_requested from queue.procrastinate_jobs order by id")
        )
    assert [(run.state, run.cancel_requested, run.status_reason) for run in found] == [
        (RunState.RUNNING, True, None),
        (RunState.SUCCEEDED, False, None),
        (RunState.CANCELLED, True, "user"),
        (RunState.CANCELLED, True, "user"),
    ]
    assert [changes[-1].state for changes in history] == [run.state for run in found]
    assert [tuple(job) for job in jobs] == [
        ("cancelled", True),
        ("todo", False),
        ("cancelled", True),
        ("cancelled", True),
    ]


async def test_a_run_that_a_study_wanted_to_prune_is_pruned_when_it_is_cancelled(
    submit: "Submitter", spec_of: "SpecMaker", worker: "Worker", app: App, database: Database
) -> None:
    submission = await submit(spec_of(seeds=[0, 1]))
    pruned, other = submission.runs
    await worker.claim(pruned.id)
    async with database.transaction() as session:
        run = await runs.get(session, pruned.id)
        await runs.request_prune(session, run, "collapsed", "no latent is active")
        await queue.release(app, session, pruned.id, 1, reason="r", message="m")

    async with database.transaction() as session:
        await queue.cancel_experiment(session, submission.experiment.id)

    async with database.transaction() as session:
        assert (await runs.get(session, pruned.id)).state is RunState.PRUNED
        assert (await runs.get(session, other.id)).state is RunState.CANCELLED


async def test_cancelling_many_runs_takes_no_more_statements_than_cancelling_few(
    submit: "Submitter", spec_of: "SpecMaker", database: Database
) -> None:
    # A thousand runs, one after the other, kept the broker and others waiting for half a minute.
    async def count_statements(seeds: int) -> int:
        submission = await submit(spec_of(seeds=list(range(seeds))), force=True)
        statements: list[str] = []
        engine = database.engine.sync_engine
        note = lambda *about: statements.append(about[2])  # noqa: E731
        event.listen(engine, "before_cursor_execute", note)
        async with database.transaction() as session:
            await queue.cancel_experiment(session, submission.experiment.id)
        event.remove(engine, "before_cursor_execute", note)
        return len(statements)

    assert await count_statements(50) == await count_statements(2)
