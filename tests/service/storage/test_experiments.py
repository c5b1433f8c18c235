"""Experiments: which runs they make, which they share, and what cancelling one does to others."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from sqlalchemy import func, select, text

from service.storage import experiments, runs
from service.storage.database import Database
from service.storage.errors import Conflict, NotFound
from service.storage.experiments import Submission
from service.storage.states import RunState
from service.storage.tables import Experiment, Run

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, Submitter, Worker


def ids(submission: Submission) -> list[object]:
    return [run.id for run in submission.runs]


async def test_every_seed_is_a_run_in_the_order_of_the_spec(
    submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    submission = await submit(spec_of(seeds=[7, 2, 5]))

    assert [run.seed for run in submission.runs] == [7, 2, 5]
    assert [run.spec["seeds"] for run in submission.runs] == [[7], [2], [5]]
    assert submission.new == list(submission.runs)
    assert {run.state for run in submission.runs} == {RunState.QUEUED}


async def test_the_same_content_shares_its_runs(submit: "Submitter", spec_of: "SpecMaker") -> None:
    first = await submit(spec_of(name="first", seeds=[0, 1]))

    second = await submit(spec_of(name="second", seeds=[1, 2]))

    assert second.runs[0].id == first.runs[1].id
    assert [run.seed for run in second.new] == [2]


async def test_other_data_or_another_spec_shares_nothing(
    submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    first = await submit(spec_of())

    other_data = await submit(spec_of(), "e" * 64)
    other_spec = await submit(spec_of(model={"beta": 2.0}))

    assert len({*ids(first), *ids(other_data), *ids(other_spec)}) == 3


async def test_force_makes_new_runs_which_nobody_shares(
    submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    first = await submit(spec_of())

    forced = await submit(spec_of(), force=True)
    third = await submit(spec_of())

    assert ids(forced) != ids(first)
    assert ids(third) == ids(first)


@pytest.mark.parametrize(
    ("end", "is_shared"),
    [
        (RunState.SUCCEEDED, True),
        (RunState.FAILED, False),
        (RunState.PRUNED, False),
        (RunState.CANCELLED, False),
    ],
)
async def test_of_the_runs_that_ended_only_succeeded_ones_are_shared(
    end: RunState, is_shared: bool, submit: "Submitter", spec_of: "SpecMaker", worker: "Worker"
) -> None:
    first = await submit(spec_of())
    await worker.claim(first.runs[0].id)
    await worker.finish(first.runs[0].id, end)

    second = await submit(spec_of())

    assert (ids(second) == ids(first)) is is_shared


async def test_a_run_that_is_being_cancelled_is_not_shared(
    submit: "Submitter", spec_of: "SpecMaker", worker: "Worker", database: Database
) -> None:
    # It was, once: the second experiment lost its run to the cancelling of the first.
    first = await submit(spec_of())
    await worker.claim(first.runs[0].id)
    async with database.transaction() as session:
        await runs.request_cancel(session, first.runs[0].id)

    second = await submit(spec_of())

    assert ids(second) != ids(first)
    assert second.runs[0].state is RunState.QUEUED


async def test_submissions_at_once_make_every_run_once(
    submit: "Submitter", spec_of: "SpecMaker", database: Database
) -> None:
    # In opposite orders: each would wait for the other's run, if they were not sorted.
    orders = [list(range(8)), list(reversed(range(8)))] * 3

    submissions = await asyncio.gather(*(submit(spec_of(seeds=order)) for order in orders))

    async with database.transaction() as session:
        count = await session.scalar(select(func.count()).select_from(Run))
    assert count == 8
    assert sum(len(submission.new) for submission in submissions) == 8
    assert [[run.seed for run in each.runs] for each in submissions] == orders


async def test_a_submission_that_fails_leaves_nothing(
    spec_of: "SpecMaker", database: Database
) -> None:
    async def fail() -> None:
        async with database.transaction() as session:
            await experiments.create(session, spec_of(), "d" * 64)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    async with database.transaction() as session:
        for table in (Experiment, Run):
            assert await session.scalar(select(func.count()).select_from(table)) == 0


async def test_reusable_runs_are_those_that_a_submission_would_share(
    submit: "Submitter", spec_of: "SpecMaker", database: Database
) -> None:
    first = await submit(spec_of(seeds=[0, 1]))

    async with database.transaction() as session:
        found = await experiments.reusable_runs(session, spec_of(seeds=[1, 2]), "d" * 64)

    assert {seed: run.id for seed, run in found.items()} == {1: first.runs[1].id}


async def test_cancelling_spares_the_runs_that_another_experiment_wants(
    submit: "Submitter", spec_of: "SpecMaker", database: Database
) -> None:
    first = await submit(spec_of(seeds=[0, 1]))
    second = await submit(spec_of(seeds=[1, 2]))

    async with database.transaction() as session:
        unwanted = await experiments.cancel(session, first.experiment.id)
    async with database.transaction() as session:
        unwanted_then = await experiments.cancel(session, second.experiment.id)

    assert [run.id for run in unwanted] == [first.runs[0].id]
    assert {run.id for run in unwanted_then} == set(ids(second))


async def test_a_run_that_was_claimed_since_it_was_read_is_stopped_by_its_worker(
    submit: "Submitter", spec_of: "SpecMaker", worker: "Worker", database: Database
) -> None:
    submission = await submit(spec_of())
    run_id = submission.runs[0].id
    async with database.transaction() as session:
        before = await runs.get(session, run_id)
        await worker.claim(run_id)

        (run,) = await experiments.unshared_runs(session, submission.experiment.id)
        await runs.request_prune(session, run, "median", "worse than the others")

    assert run is before  # the session keeps what it has read
    assert (run.state, run.cancel_requested) == (RunState.RUNNING, True)


async def test_cancelling_again_changes_nothing(
    submit: "Submitter", spec_of: "SpecMaker", database: Database
) -> None:
    submission = await submit(spec_of())

    times = []
    for _ in range(2):
        async with database.transaction() as session:
            await experiments.cancel(session, submission.experiment.id)
            experiment = await experiments.get(session, submission.experiment.id)
            times.append(experiment.cancelled_at)

    assert times[0] is not None
    assert times[0] == times[1]


async def test_an_experiment_whose_runs_have_ended_cannot_be_cancelled(
    submit: "Submitter", spec_of: "SpecMaker", worker: "Worker", database: Database
) -> None:
    submission = await submit(spec_of())
    await worker.claim(submission.runs[0].id)
    await worker.finish(submission.runs[0].id)

    with pytest.raises(Conflict, match="already ended"):
        async with database.transaction() as session:
            await experiments.cancel(session, submission.experiment.id)


async def test_who_shares_a_run_at_the_moment_of_its_cancelling_gets_another(
    submit: "Submitter", spec_of: "SpecMaker", database: Database
) -> None:
    # The lock of `cancel` decides: the submission waits for it, and finds the run cancelled.
    first = await submit(spec_of())
    async with database.transaction() as session:
        unwanted = await experiments.cancel(session, first.experiment.id)
        second = asyncio.create_task(submit(spec_of()))
        await until_someone_waits_for_a_lock(database)
        await runs.request_ends(session, unwanted)

    assert ids(await second) != ids(first)
    assert (await second).runs[0].state is RunState.QUEUED


async def until_someone_waits_for_a_lock(database: Database) -> None:
    while True:
        async with database.transaction() as session:
            if await session.scalar(text("select 1 from pg_locks where not granted limit 1")):
                return
        await asyncio.sleep(0.01)


async def test_what_is_not_there_is_not_found(database: Database) -> None:
    async with database.transaction() as session:
        with pytest.raises(NotFound, match="there is no experiment"):
            await experiments.get(session, uuid4())
        with pytest.raises(NotFound, match="there is no experiment"):
            await experiments.cancel(session, uuid4())


async def test_pages_are_newest_first_and_stable_while_others_submit(
    submit: "Submitter", spec_of: "SpecMaker", database: Database
) -> None:
    made = [(await submit(spec_of())).experiment for _ in range(5)]

    async with database.transaction() as session:
        first = await experiments.page(session, size=2, after=None)
    await submit(spec_of())
    async with database.transaction() as session:
        last = first[-1]
        rest = await experiments.page(session, size=9, after=(last.created_at, last.id))

    assert [each.id for each in [*first, *rest]] == [each.id for each in reversed(made)]


async def test_runs_are_counted_by_state(
    submit: "Submitter", spec_of: "SpecMaker", worker: "Worker", database: Database
) -> None:
    submission = await submit(spec_of(seeds=[0, 1, 2]))
    await worker.claim(submission.runs[1].id)

    async with database.transaction() as session:
        counts = await experiments.states_of_runs(session, [submission.experiment.id])

    assert counts[submission.experiment.id] == {RunState.QUEUED: 2, RunState.RUNNING: 1}


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ("queued running failed", "running"),
        ("queued failed succeeded", "queued"),
        ("succeeded failed cancelled", "failed"),
        ("succeeded cancelled", "cancelled"),
        ("succeeded pruned", "pruned"),
        ("succeeded succeeded", "succeeded"),
    ],
)
def test_the_state_of_an_experiment_follows_from_its_runs(states: str, expected: str) -> None:
    counts = Counter(RunState(state) for state in states.split())

    assert experiments.state_of(Experiment(cancelled_at=None), counts) == expected


def test_a_cancelled_experiment_stays_cancelled_while_others_go_on_with_its_runs() -> None:
    experiment = Experiment(cancelled_at=datetime.now(UTC))

    state = experiments.state_of(experiment, Counter({RunState.RUNNING: 1}))

    assert state is RunState.CANCELLED
