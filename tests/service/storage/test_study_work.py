"""What is counted of the work of studies, and what does not count twice."""

import random
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from sqlalchemy import text, update

from polar.spec import StudySpec
from service.storage import deletions, points, runs, studies, study_work
from service.storage.database import Database
from service.storage.states import TrialState
from service.storage.study_tables import Trial
from service.storage.study_work import Spent

if TYPE_CHECKING:
    from tests.service.conftest import SpecMaker, StudyMaker, Submitter, Trials, Worker

Create = Callable[..., Awaitable[UUID]]

#: What may become of a trial that runs; None if it goes on.
ENDS = (None, TrialState.COMPLETED, TrialState.PRUNED, TrialState.FAILED, TrialState.CANCELLED)


@pytest.fixture
def create(database: Database, study_of: "StudyMaker") -> Create:
    async def create(**fields: Any) -> UUID:  # noqa: ANN401
        spec = StudySpec.model_validate(study_of(**fields))
        async with database.transaction() as session:
            return (await studies.create(session, spec, "d" * 64)).id

    return create


async def spent(database: Database, *ids: UUID) -> dict[UUID, Spent]:
    async with database.reading() as session:
        return await study_work.spent_of(session, ids)


async def test_the_database_counts_what_was_spent_as_the_broker_does(
    create: Create, trials: "Trials", spec_of: "SpecMaker", database: Database
) -> None:
    chance = random.Random(7)
    of_range = await create(budget={"steps": 10_000})
    of_seeds = await create(
        base=spec_of.as_json(seeds=[0, 1, 2]), sampler="random", budget={"steps": 10_000}
    )
    for _ in range(40):
        training = {"seed": chance.randrange(2), "training.steps": chance.choice([50, 100, 200])}
        for study_id, more in ((of_range, training), (of_seeds, {})):
            trial = await trials.begin(study_id, beta=chance.choice([1, 1.0, 2.5]), **more)
            state = chance.choice(ENDS)
            if state is not None:
                await trials.end(trial, 0.5, state=state)

    superseded = (Trial.state == TrialState.COMPLETED) & (Trial.number % 3 == 0)
    async with database.transaction() as session:
        await session.execute(update(Trial).where(superseded).values(state=TrialState.SUPERSEDED))

    counted = await spent(database, of_range, of_seeds)

    async with database.reading() as session:
        for study_id in (of_range, of_seeds):
            its = await studies.trials_of(session, study_id)
            expected = Spent(points.count_completed(its), points.count_steps(its))
            assert counted[study_id] == expected
            assert 1 < expected.points < 20
            assert expected.steps > 100


async def test_steps_are_counted_for_a_budget_of_steps_alone_and_nothing_is_zero(
    create: Create, trials: "Trials", database: Database
) -> None:
    without, new = await create(), await create(budget={"steps": 100})
    await trials.end(await trials.begin(without, beta=2.0), 0.5)

    assert await spent(database, without, new) == {without: Spent(1, 0), new: Spent()}


@pytest.mark.parametrize("point", ['"seed"', '["seed"]', "7", "null"])
async def test_points_that_were_broken_by_hand_are_counted(
    point: str, create: Create, trials: "Trials", database: Database
) -> None:
    study_id = await create(budget={"steps": 9000})
    await trials.end(await trials.begin(study_id, beta=2.0), 0.5)
    async with database.transaction() as session:
        await session.execute(
            text("update app.trials set point = cast(:p as jsonb)"), {"p": point}
        )

    assert await spent(database, study_id) == {study_id: Spent(1, 3000)}


async def test_a_run_that_two_trials_share_is_left_once(
    create: Create, trials: "Trials", database: Database
) -> None:
    study_id, other_id = await create(), await create()
    for id in (study_id, study_id, other_id):
        await trials.begin(id, beta=2.0)

    async with database.reading() as session:
        works = await study_work.work_of(session, [study_id, other_id])
        assert await study_work.count_unfinished_runs(session) == 1

    assert [len(work.unfinished) for work in works] == [1, 1]


async def test_a_deleted_run_is_no_longer_counted_though_its_training_has_yet_to_end(
    submit: "Submitter", spec_of: "SpecMaker", worker: "Worker", database: Database
) -> None:
    run_id = (await submit(spec_of())).runs[0].id
    await worker.claim(run_id)
    async with database.transaction() as session:
        await runs.request_cancel(session, run_id)
        assert await study_work.count_unfinished_runs(session) == 1
        await deletions.delete_run(session, run_id)
        assert await study_work.count_unfinished_runs(session) == 0
