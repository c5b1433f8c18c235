"""In which order the trainings of several studies are begun."""

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import column, select, table

from service.storage.study_tables import Trial
from service.storage.tables import ExperimentRun, Run

if TYPE_CHECKING:
    from tests.service.conftest import Submitter
    from tests.service.studies.conftest import Lab, SpecOf

ONE_SEED = {"dataset": {"name": "digits"}, "model": {}, "seeds": [0]}
_jobs = table("procrastinate_jobs", column("id"), column("priority"), schema="queue")


async def _next_run(lab: "Lab") -> Run | None:
    """The run that the queue hands out next."""
    async with lab.database.transaction() as session:
        query = select(Run).join(_jobs, _jobs.c.id == Run.job_id).where(Run.attempt == 0)
        return await session.scalar(query.order_by(_jobs.c.priority.desc(), _jobs.c.id).limit(1))


async def _begin_next(lab: "Lab") -> UUID | None:
    """Begins the next run; returns its study, None where no study wants it."""
    run = await _next_run(lab)
    assert run is not None
    await lab.begin(run)
    async with lab.database.transaction() as session:
        wanted_by = select(ExperimentRun.experiment_id).where(ExperimentRun.run_id == run.id)
        query = select(Trial.study_id).where(Trial.experiment_id.in_(wanted_by))
        study_id = await session.scalar(query)
    if study_id is not None:
        await lab.succeed(run)
        await lab.broker.advance(study_id)
    return study_id


async def test_a_study_that_comes_later_takes_turns_with_one_that_has_enqueued_many(
    lab: "Lab", spec_of: "SpecOf"
) -> None:
    wide = spec_of(base=ONE_SEED, budget={"trials": 40}, concurrency=20)
    narrow = spec_of(base=ONE_SEED, budget={"trials": 8}, concurrency=1, sampler_seed=1)
    first = await lab.submit(wide)
    await lab.broker.advance(first)
    before = [await _begin_next(lab) for _ in range(4)]
    second = await lab.submit(narrow)
    await lab.broker.advance(second)

    order = [await _begin_next(lab) for _ in range(12)]

    assert before == [first] * 4
    assert 5 <= order.count(second) <= 7
    assert all(order[place : place + 3].count(second) >= 1 for place in range(10))


async def test_turns_are_counted_in_trainings(lab: "Lab", spec_of: "SpecOf") -> None:
    three = {**ONE_SEED, "seeds": [0, 1, 2]}
    first = await lab.submit(spec_of(base=three, budget={"trials": 30}, concurrency=10))
    second = await lab.submit(
        spec_of(base=ONE_SEED, budget={"trials": 30}, concurrency=10, sampler_seed=1)
    )
    await lab.broker.advance(first)
    await lab.broker.advance(second)

    order = [await _begin_next(lab) for _ in range(24)]

    assert 10 <= order.count(first) <= 14


async def test_an_experiment_goes_before_the_trials_of_studies(
    lab: "Lab", spec_of: "SpecOf", submit: "Submitter"
) -> None:
    spec = spec_of(base=ONE_SEED, budget={"trials": 10}, concurrency=5)
    study_id = await lab.submit(spec)
    await lab.broker.advance(study_id)
    await _begin_next(lab)
    submission = await submit(spec.base.model_copy(update={"seeds": (77,)}))

    run = await _next_run(lab)

    assert run is not None
    assert run.id == submission.runs[0].id
