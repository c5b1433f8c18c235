"""Experiments of many runs, which must keep nobody else waiting."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, text

from service import queue
from service.storage import runs
from service.storage.batches import ROWS, batches
from service.storage.database import Database
from service.storage.states import RunState

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Submitter, Worker

MANY = 2 * ROWS + 7
#: Columns of the widest row that is inserted.
WIDTH = 20


@pytest.fixture
def most_parameters(database: Database) -> Iterator[Callable[[], int]]:
    """The most parameters that a statement has had, but for the ids of runs and jobs."""
    engine, counts = database.engine.sync_engine, [0]

    def count(*arguments: Any) -> None:  # noqa: ANN401
        counts.append(len(arguments[3]))

    event.listen(engine, "before_cursor_execute", count)
    yield lambda: max(counts)
    event.remove(engine, "before_cursor_execute", count)


@pytest.fixture
def most_updated(database: Database) -> Iterator[Callable[[], int]]:
    """The most rows that a statement has changed."""
    engine, counts = database.engine.sync_engine, [0]

    def count(*arguments: Any) -> None:  # noqa: ANN401
        _, cursor, statement, *_ = arguments
        if statement.startswith("UPDATE"):
            counts.append(cursor.rowcount)

    event.listen(engine, "after_cursor_execute", count)
    yield lambda: max(counts)
    event.remove(engine, "after_cursor_execute", count)


def test_batches_are_all_rows_in_their_order() -> None:
    rows = list(range(MANY))

    taken = list(batches(rows))

    assert [row for batch in taken for row in batch] == rows
    assert [len(batch) for batch in taken] == [ROWS, ROWS, 7]
    assert list(batches([])) == []


async def test_many_seeds_are_submitted_a_few_at_a_time(
    submit: "Submitter",
    spec_of: "SpecMaker",
    database: Database,
    most_parameters: Callable[[], int],
) -> None:
    seeds = [seed * 7919 % 10_007 for seed in range(MANY)]  # in no order
    half = await submit(spec_of(seeds=seeds[: MANY // 2]))

    submission = await submit(spec_of(seeds=seeds))

    assert [run.seed for run in submission.runs] == seeds
    assert [run.id for run in submission.runs[: MANY // 2]] == [run.id for run in half.runs]
    assert [run.seed for run in submission.new] == seeds[MANY // 2 :]
    assert most_parameters() <= ROWS * WIDTH
    async with database.transaction() as session:
        jobs = await session.execute(
            text("select id, args ->> 'run_id' from queue.procrastinate_jobs order by id")
        )
        histories = [await runs.transitions_of(session, run.id) for run in submission.runs]
    assert {(id, run_id) for id, run_id in jobs} == {
        (run.job_id, str(run.id)) for run in submission.runs
    }
    by_job = sorted(submission.new, key=lambda run: run.job_id or 0)
    assert [run.id for run in by_job] == [run.id for run in submission.new]
    assert [[change.state for change in history] for history in histories] == [
        [RunState.QUEUED]
    ] * MANY


async def test_many_runs_are_cancelled_a_few_at_a_time(
    submit: "Submitter",
    spec_of: "SpecMaker",
    worker: "Worker",
    database: Database,
    most_updated: Callable[[], int],
) -> None:
    submission = await submit(spec_of(seeds=list(range(MANY))))
    begun = [run.id for run in submission.runs[:3]]
    for run_id in begun:
        await worker.claim(run_id)

    async with database.transaction() as session:
        await queue.cancel_experiment(session, submission.experiment.id)

    async with database.transaction() as session:
        found = [await runs.get(session, run.id) for run in submission.runs]
        histories = [await runs.transitions_of(session, run.id) for run in submission.runs]
    assert most_updated() == ROWS
    assert [run.id for run in found if run.state is RunState.RUNNING] == begun
    assert all(run.cancel_requested for run in found)
    assert [history[-1].state for history in histories] == [run.state for run in found]
    assert {len(history) for history in histories} == {2}
