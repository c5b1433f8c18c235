"""What is to be told of ends: once, however old they are, and also of what is deleted soon."""

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import func, select, update

from polar.spec import ExperimentSpec, StudySpec
from service.storage import deletions, studies, webhooks
from service.storage.database import Database
from service.storage.states import RunState
from service.storage.tables import Run
from service.storage.webhooks import Delivery, Webhook

if TYPE_CHECKING:
    from tests.service.conftest import StudyMaker, Submitter, Trials, Worker

URL, OTHER = "https://a.example", "https://b.example"


async def end_one(submit: "Submitter", worker: "Worker", seed: int = 0) -> UUID:
    spec = {"dataset": {"name": "digits"}, "model": {}, "seeds": [seed]}
    (run,) = (await submit(ExperimentSpec.model_validate(spec))).new
    await worker.claim(run.id)
    await worker.finish(run.id, RunState.FAILED)
    return run.id


async def notice(database: Database, *urls: str) -> set[UUID]:
    """The ids of all messages, after a look at the ends."""
    async with database.transaction() as session:
        for url in urls:
            await webhooks.notice(session, url)
        return set(await session.scalars(select(Delivery.id)))


async def test_after_a_quiet_month_nothing_is_told_once_more(
    database: Database, submit: "Submitter", worker: "Worker"
) -> None:
    await notice(database, URL)
    for seed in range(2):
        await end_one(submit, worker, seed)
    before = await notice(database, URL)
    month = timedelta(days=31)
    async with database.transaction() as session:
        await session.execute(update(Webhook).values(since=Webhook.since - month))
        await session.execute(update(Run).values(finished_at=Run.finished_at - month))
        delivered = {"ended_at": Delivery.ended_at - month, "delivered_at": func.now()}
        await session.execute(update(Delivery).values(delivered))
    after = [await notice(database, URL) for _ in range(3)]

    assert len(before) == 2
    assert after == [before] * 3


async def test_what_was_told_long_before_the_newest_end_is_removed(
    database: Database, submit: "Submitter", worker: "Worker"
) -> None:
    await notice(database, URL)
    old = await end_one(submit, worker)
    await notice(database, URL)
    async with database.transaction() as session:
        passed = {"ended_at": Delivery.ended_at - timedelta(days=31), "delivered_at": func.now()}
        await session.execute(update(Delivery).values(passed))
        await session.execute(
            update(Run).where(Run.id == old).values(finished_at=func.now() - timedelta(days=31))
        )
    new = await end_one(submit, worker, 1)
    await notice(database, URL)
    await notice(database, URL)

    async with database.transaction() as session:
        assert list(await session.scalars(select(Delivery.subject))) == [new]


async def test_the_end_of_a_run_that_is_deleted_at_once_is_told(
    database: Database, submit: "Submitter", worker: "Worker"
) -> None:
    await notice(database, URL, OTHER)
    run_id = await end_one(submit, worker)
    async with database.transaction() as session:
        await deletions.delete_run(session, run_id)
        await deletions.remove_rows(session, run_id)
    await notice(database, URL, OTHER)

    async with database.transaction() as session:
        told = list(await session.execute(select(Delivery.url, Delivery.subject)))
    assert sorted(map(tuple, told)) == [(URL, run_id), (OTHER, run_id)]


async def test_the_end_of_a_study_that_is_deleted_at_once_is_told(
    database: Database, study_of: "StudyMaker", trials: "Trials"
) -> None:
    await notice(database, URL)
    async with database.transaction() as session:
        study = await studies.create(session, StudySpec.model_validate(study_of()), "d" * 64)
    await trials.end_study(study.id)
    async with database.transaction() as session:
        await deletions.delete_study(session, study.id)
    await notice(database, URL)

    async with database.transaction() as session:
        (told,) = await session.scalars(select(Delivery))
    assert (told.kind, told.subject, told.state) == ("study", study.id, "completed")


async def test_an_address_that_comes_back_is_not_told_of_what_it_missed(
    database: Database, submit: "Submitter", worker: "Worker"
) -> None:
    await notice(database, URL, OTHER)
    await end_one(submit, worker)
    await notice(database, URL, OTHER)
    async with database.transaction() as session:
        await webhooks.forget_others(session, [URL])
    await end_one(submit, worker, 1)
    await notice(database, URL, OTHER)
    last = await end_one(submit, worker, 2)
    await notice(database, URL, OTHER)

    async with database.transaction() as session:
        told = await session.scalars(select(Delivery.subject).where(Delivery.url == OTHER))
        assert list(told) == [last]
        assert len(await webhooks.due(session, URL, at_most=9)) == 3
