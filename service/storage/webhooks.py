"""What webhooks are to be told: a row for each end of a run or a study, and each address.

A row is made once, whatever is killed meanwhile: who looks for ends goes back by an hour from the
newest that is known, so that transactions that began earlier and ended later are seen, too.
Nothing of this hour is removed, however old it is, because it would be taken for new.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID, uuid4

from sqlalchemy import (
    CheckConstraint,
    Index,
    UniqueConstraint,
    and_,
    delete,
    func,
    literal,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from service.storage.study_tables import Study
from service.storage.tables import Base, Run

#: Longer than any transaction lasts.
OVERLAP = timedelta(hours=1)
#: How long it is tried to deliver something, and how long it can be looked at afterwards.
TRIED_FOR = timedelta(hours=24)
KEPT_FOR = timedelta(days=30)
#: Pauses double from the first to the longest.
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=10), timedelta(hours=1)


class Webhook(Base):
    """An address that is told of ends, since it was first known."""

    __tablename__ = "webhooks"

    url: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[datetime] = mapped_column(server_default=func.now())


class Delivery(Base):
    """The end of a run or a study, as one address is told of it."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    url: Mapped[str]
    #: `run` or `study`, its id, and how it ended.
    kind: Mapped[str]
    subject: Mapped[UUID]
    state: Mapped[str]
    reason: Mapped[str | None]
    ended_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    tries: Mapped[int] = mapped_column(server_default="0")
    #: When it is tried next.
    due_at: Mapped[datetime] = mapped_column(server_default=func.now())
    delivered_at: Mapped[datetime | None]
    given_up_at: Mapped[datetime | None]
    #: Why the last try failed.
    error: Mapped[str | None]

    __table_args__ = (
        CheckConstraint("kind in ('run', 'study')", name="kind"),
        # a study that is extended ends once more
        UniqueConstraint("url", "ended_at", "kind", "subject"),
        Index(
            "ix_webhook_deliveries_due",
            "due_at",
            postgresql_where=text("delivered_at is null and given_up_at is null"),
        ),
    )


_IS_OPEN = and_(Delivery.delivered_at.is_(None), Delivery.given_up_at.is_(None))


async def notice(session: AsyncSession, url: str) -> None:
    """Make a row for each end that this address has not been told of."""
    await session.execute(insert(Webhook).values(url=url).on_conflict_do_nothing())
    since = (await session.scalars(select(Webhook.since).where(Webhook.url == url))).one()
    newest = await session.scalar(select(func.max(Delivery.ended_at)).where(Delivery.url == url))
    begin = max(since, newest - OVERLAP) if newest else since
    for kind, table in (("run", Run), ("study", Study)):
        columns = [table.id, table.state, table.status_reason, table.finished_at]
        ends = select(func.gen_random_uuid(), literal(url), literal(kind), *columns).where(
            table.finished_at >= begin
        )
        ends = ends.order_by(table.finished_at, table.id)  # so that nobody waits in a circle
        names = ["id", "url", "kind", "subject", "state", "reason", "ended_at"]
        await session.execute(insert(Delivery).from_select(names, ends).on_conflict_do_nothing())
    is_old = and_(Delivery.ended_at < begin, Delivery.ended_at < func.now() - KEPT_FOR)
    await session.execute(delete(Delivery).where(Delivery.url == url, ~_IS_OPEN, is_old))


async def notice_for_all(session: AsyncSession) -> None:
    """Make these rows for all addresses, before a run or a study is deleted."""
    for url in (await session.scalars(select(Webhook.url).order_by(Webhook.url))).all():
        await notice(session, url)


async def forget_others(session: AsyncSession, urls: Sequence[str]) -> None:
    """Forget addresses besides these, which are told only of later ends if they come back."""
    await session.execute(delete(Webhook).where(Webhook.url.not_in(urls)))
    is_old = Delivery.ended_at < func.now() - KEPT_FOR
    await session.execute(delete(Delivery).where(Delivery.url.not_in(urls), or_(_IS_OPEN, is_old)))


async def due(session: AsyncSession, url: str, *, at_most: int) -> Sequence[Delivery]:
    """What this address is to be told now, the longest overdue first."""
    query = (
        select(Delivery)
        .where(Delivery.url == url, _IS_OPEN, Delivery.due_at <= func.now())
        .order_by(Delivery.due_at)
        .limit(at_most)
    )
    return (await session.scalars(query)).all()


async def note(session: AsyncSession, delivery_id: UUID, error: str | None) -> None:
    """Note how a try ended: without an error, or to be tried again until it is given up."""
    delivery = await session.get_one(Delivery, delivery_id, with_for_update=True)
    now = (await session.scalars(select(func.now()))).one()
    delivery.tries += 1
    delivery.error = error
    if error is None:
        delivery.delivered_at = now
    elif now >= delivery.created_at + TRIED_FOR:
        delivery.given_up_at = now
    else:
        delivery.due_at = now + min(FIRST_PAUSE * 2 ** (delivery.tries - 1), LONGEST_PAUSE)


async def newest(session: AsyncSession, at_most: int) -> Sequence[Delivery]:
    """The newest deliveries, whatever became of them."""
    query = select(Delivery).order_by(Delivery.created_at.desc(), Delivery.id).limit(at_most)
    return (await session.scalars(query)).all()
