"""Reads of what is watched, which all who watch the same share."""

import asyncio
from uuid import UUID

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from service.api import shared_reads
from service.api.shared_reads import SharedReads
from service.storage.database import Database
from service.storage.errors import DatabaseAway

ONE, OTHER = UUID(int=1), UUID(int=2)


class Looks:
    """Counts looks; each sees their number."""

    def __init__(self, *failures: int) -> None:
        self.count = 0
        self._failures = failures

    async def __call__(self, session: AsyncSession) -> str:
        del session
        self.count += 1
        await asyncio.sleep(0.01)
        if self.count in self._failures:
            raise DatabaseAway("it is away")
        return str(self.count)


async def test_all_who_watch_the_same_share_a_look(database: Database) -> None:
    reads, looks, others = SharedReads(database), Looks(), Looks()

    seen = await asyncio.gather(*(reads.of(ONE, looks) for _ in range(100)))
    later = await reads.of(ONE, looks)
    other = await reads.of(OTHER, others)

    assert set(seen) == {"1"}
    assert (later, looks.count) == ("1", 1)
    assert (other, others.count) == ("1", 1)


async def test_a_look_is_not_shared_for_long(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_reads, "LASTS_S", 0)
    reads, looks = SharedReads(database), Looks()

    assert [await reads.of(ONE, looks) for _ in range(3)] == ["1", "2", "3"]


async def test_who_leaves_takes_the_look_from_nobody(database: Database) -> None:
    reads, looks = SharedReads(database), Looks()

    leaving = asyncio.create_task(reads.of(ONE, looks))
    staying = asyncio.create_task(reads.of(ONE, looks))
    await asyncio.sleep(0)
    leaving.cancel()

    assert await staying == "1"
    assert leaving.cancelled()


async def test_a_look_that_fails_is_followed_by_another(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_reads, "LASTS_S", 0)
    reads, looks = SharedReads(database), Looks(1)

    with pytest.raises(DatabaseAway):
        await reads.of(ONE, looks)
    assert await reads.of(ONE, looks) == "2"
