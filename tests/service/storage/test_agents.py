"""Agents: whose offers count, and for how long."""

from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, update

from service.storage import agents
from service.storage.database import Database
from service.storage.tables import Agent

if TYPE_CHECKING:
    from tests.service.conftest import Worker


async def test_a_dataset_is_there_for_the_devices_of_the_agents_that_have_it(
    worker: "Worker", database: Database
) -> None:
    await worker.announce({"digits": "a"}, device="cpu", name="small")
    await worker.announce({"mnist": "b"}, device="cuda", name="large")

    async with database.transaction() as session:
        found = {queue: await agents.datasets(session, queue) for queue in ("auto", "cpu", "cuda")}

    assert found == {
        "auto": {"digits": "a", "mnist": "b"},
        "cpu": {"digits": "a"},
        "cuda": {"mnist": "b"},
    }


async def test_the_newest_word_counts(worker: "Worker", database: Database) -> None:
    await worker.announce({"digits": "old", "mnist": "m"}, name="first")
    await worker.announce({"digits": "new"}, name="second")

    async with database.transaction() as session:
        found = await agents.datasets(session)

    assert found == {"digits": "new", "mnist": "m"}


async def test_an_agent_that_speaks_again_is_one_agent(
    worker: "Worker", database: Database
) -> None:
    await worker.announce({"digits": "a"})
    await worker.announce({})

    async with database.transaction() as session:
        there = await agents.seen_lately(session)

    assert [agent.datasets for agent in there] == [{}]


async def test_an_agent_that_was_not_seen_for_long_does_not_count(
    worker: "Worker", database: Database
) -> None:
    await worker.announce()
    async with database.transaction() as session:
        await session.execute(update(Agent).values(seen_at=func.now() - timedelta(minutes=5)))

    async with database.transaction() as session:
        within_an_hour = await agents.seen_lately(session)
        within_a_minute = await agents.seen_lately(session, timedelta(minutes=1))

    assert (len(within_an_hour), len(within_a_minute)) == (1, 0)
