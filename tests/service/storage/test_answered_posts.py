"""Answers to POSTs: one request at a time for each key, and for how long they are kept."""

import asyncio
from datetime import UTC, datetime, timedelta

from service.storage import answered_posts
from service.storage.answered_posts import AnsweredPost
from service.storage.database import Database


def post(key: str, **fields: object) -> AnsweredPost:
    known = {"principal": "owner", "fingerprint": "print", "status": 202, "body": b"{}"}
    return AnsweredPost(key=key, **{**known, **fields})


async def test_a_key_lets_one_request_through_at_a_time(database: Database) -> None:
    async def answer_once() -> bool:
        async with database.transaction() as session:
            known = await answered_posts.with_key(session, "owner", "key")
            if known is None:
                await answered_posts.remember(session, post("key"))
            return known is None

    answered = await asyncio.gather(*(answer_once() for _ in range(5)))

    assert sorted(answered) == [False] * 4 + [True]


async def test_everybody_has_keys_of_their_own(database: Database) -> None:
    async with database.transaction() as session:
        await answered_posts.remember(session, post("key"))

    async with database.transaction() as session:
        assert await answered_posts.with_key(session, "somebody else", "key") is None
        await answered_posts.remember(session, post("key", principal="somebody else"))


async def test_an_answer_is_kept_for_a_week(database: Database) -> None:
    for days in (8, 6):
        before = datetime.now(UTC) - timedelta(days=days)
        async with database.transaction() as session:
            await answered_posts.remember(session, post(f"{days} days", created_at=before))
    async with database.transaction() as session:
        await answered_posts.remember(session, post("now"))

    async with database.transaction() as session:
        kept = [
            await answered_posts.with_key(session, "owner", key)
            for key in ("8 days", "6 days", "now")
        ]

    assert [each and each.key for each in kept] == [None, "6 days", "now"]
