"""Answers to POSTs with an idempotency key, which a repeated POST gets again."""

from datetime import datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from service.storage.tables import Base

#: How long an answer is kept; nobody repeats a request for longer.
KEPT = timedelta(days=7)


class AnsweredPost(Base):
    """A POST with an idempotency key, and the answer to it."""

    __tablename__ = "idempotency_keys"

    #: Who has sent it: the id of their token, or `owner`. The keys of others are none of theirs.
    principal: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    #: Digest of everything that was asked.
    fingerprint: Mapped[str]
    status: Mapped[int]
    #: Address of what the POST has made; null if it has made nothing that has one.
    location: Mapped[str | None]
    #: The answer's JSON, byte for byte.
    body: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


async def with_key(session: AsyncSession, principal: str, key: str) -> AnsweredPost | None:
    """The POST of this principal with this idempotency key that was answered; None without."""
    # If two POSTs with the same key come at once, the second waits here for the first to commit.
    lock = func.hashtextextended(f"{principal} {key}", 0)
    await session.execute(select(func.pg_advisory_xact_lock(lock)))
    return await session.get(AnsweredPost, (principal, key))


async def remember(session: AsyncSession, post: AnsweredPost) -> None:
    """Store the answer to a POST, and delete those that are older than a week."""
    session.add(post)
    await session.execute(delete(AnsweredPost).where(AnsweredPost.created_at < func.now() - KEPT))
    await session.flush()
