"""Tokens, and the sessions of browsers: who may ask the API for what, and until when.

Nothing that is stored shows a token: it is kept as a digest. The token of the owner has no row,
because the API gets it from its environment.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    ForeignKey,
    Index,
    and_,
    delete,
    exists,
    func,
    not_,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, aliased, mapped_column

from service.storage.errors import Conflict, NotFound
from service.storage.tables import Base
from service.tokens import Kind, Scope, digest_of, new_token

#: How long a login link can be opened, and how long a browser then stays logged in.
LINK_LASTS = timedelta(minutes=5)
SESSION_LASTS = timedelta(days=30)


class Token(Base):
    """A token that somebody holds, or held."""

    __tablename__ = "tokens"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    #: By which people tell it from others that have not been revoked.
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    kind: Mapped[str]
    scope: Mapped[str]
    #: The token whose holder logged a browser in, or the digest of the owner's token with which
    #: they did it.
    made_by: Mapped[UUID | None] = mapped_column(ForeignKey("app.tokens.id"))
    owners_digest: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]

    __table_args__ = (
        CheckConstraint("kind in ('bearer', 'link', 'cookie')", name="kind"),
        CheckConstraint("scope in ('read', 'submit', 'steer', 'admin')", name="scope"),
        Index("ix_tokens_name", "name", unique=True, postgresql_where=text("revoked_at is null")),
    )


async def create(
    session: AsyncSession, name: str, scope: Scope, lasts: timedelta
) -> tuple[Token, str]:
    """Make a token, and return its row and the token itself, which cannot be read again.

    It may have the name of a token that has expired, which is then over for good.

    Raises:
        Conflict: another token has this name, and has neither expired nor been revoked.
    """
    token = new_token()
    await session.execute(
        update(Token)
        .where(Token.name == name, Token.revoked_at.is_(None), Token.expires_at <= func.now())
        .values(revoked_at=func.now())
        .execution_options(synchronize_session=False)
    )
    query = (
        insert(Token)
        .values(
            name=name,
            digest=digest_of(token),
            kind=Kind.BEARER,
            scope=scope,
            expires_at=func.now() + lasts,
        )
        .on_conflict_do_nothing(
            index_elements=[Token.name], index_where=text("revoked_at is null")
        )
        .returning(Token)
    )
    row = (await session.scalars(query)).one_or_none()
    if row is None:
        raise Conflict(
            f"there is a token named {name} already; choose another name, or revoke that one, "
            "also if you have just made it and its answer was lost"
        )
    return row, token


class Maker(NamedTuple):
    """Who lets a browser in: the holder of a token, or else the owner."""

    token_id: UUID | None
    owners_digest: str | None


class Found(NamedTuple):
    """A token that somebody shows."""

    row: Token
    is_over: bool
    #: Whether the token with which it was made cannot be used any more.
    is_orphaned: bool


async def find(
    session: AsyncSession, token: str, kind: Kind, owners_digest: str | None
) -> Found | None:
    """The row of a token, and what speaks against it; None if there is no such token.

    Args:
        session: The transaction.
        token: What somebody shows.
        kind: How it is shown.
        owners_digest: Digest of the token of the owner, as it is now.
    """
    query = select(Token, Token.expires_at <= func.now(), _is_orphaned(owners_digest)).where(
        Token.digest == digest_of(token), Token.kind == kind
    )
    row = (await session.execute(query)).one_or_none()
    return Found(*row) if row else None


def _is_orphaned(owners_digest: str | None) -> ColumnElement[bool]:
    """Whether what let a browser in was revoked, also while the link was being made."""
    maker = aliased(Token)
    revoked = exists().where(maker.id == Token.made_by, maker.revoked_at.is_not(None))
    of_owner = and_(Token.kind != Kind.BEARER, Token.made_by.is_(None))
    return or_(revoked, and_(of_owner, Token.owners_digest.is_distinct_from(owners_digest)))


async def all_of_them(session: AsyncSession) -> Sequence[tuple[Token, bool]]:
    """All tokens and sessions that are not revoked, the newest first, and whether they expired."""
    query = select(Token, Token.expires_at <= func.now()).where(Token.revoked_at.is_(None))
    rows = await session.execute(query.order_by(Token.created_at.desc()))
    return [(token, has_expired) for token, has_expired in rows]


async def revoke(session: AsyncSession, name: str) -> Token:
    """End a token, and with it the browsers that its holder has logged in.

    A token that was revoked before stays as it is, because that answer may have been lost.

    Raises:
        NotFound: there is no such token.
    """
    query = select(Token).where(Token.name == name)
    newest_first = query.order_by(Token.revoked_at.desc().nulls_first()).limit(1)
    token = await session.scalar(newest_first.with_for_update())
    if token is None:
        raise NotFound("token named", name)
    await end(session, token.id)
    await session.refresh(token)
    return token


async def end(session: AsyncSession, token_id: UUID) -> None:
    """End a token that was not revoked before, and the browsers that its holder has logged in."""
    await session.execute(
        update(Token)
        .where(or_(Token.id == token_id, Token.made_by == token_id), Token.revoked_at.is_(None))
        .values(revoked_at=func.now())
        .execution_options(synchronize_session=False)
    )


async def make_link(session: AsyncSession, scope: Scope, maker: Maker) -> tuple[Token, str]:
    """Make the token that a login link carries, and return its row and the token itself."""
    await session.execute(
        delete(Token).where(Token.kind == Kind.LINK, Token.expires_at < func.now())
    )
    token = new_token()
    query = (
        insert(Token)
        .values(
            name=f"browser-{uuid4().hex[:8]}",
            digest=digest_of(token),
            kind=Kind.LINK,
            scope=scope,
            made_by=maker.token_id,
            owners_digest=maker.owners_digest,
            expires_at=func.now() + LINK_LASTS,
        )
        .returning(Token)
    )
    return (await session.scalars(query)).one(), token


async def open_link(
    session: AsyncSession, token: str, owners_digest: str | None
) -> tuple[Token, str] | None:
    """Turn a link into the session of a browser, once; None if it cannot be opened (any more).

    A session ends with the token whose holder asked for the link, at the latest.
    """
    cookie, maker = new_token(), aliased(Token)
    end_of_maker = select(maker.expires_at).where(maker.id == Token.made_by).scalar_subquery()
    query = (
        update(Token)
        .where(
            Token.digest == digest_of(token),
            Token.kind == Kind.LINK,
            Token.expires_at > func.now(),
            Token.revoked_at.is_(None),
            not_(_is_orphaned(owners_digest)),
        )
        .values(
            digest=digest_of(cookie),
            kind=Kind.COOKIE,
            expires_at=func.least(func.now() + SESSION_LASTS, end_of_maker),  # skips a null
        )
        .returning(Token)
    )
    row = (await session.scalars(query)).one_or_none()
    return (row, cookie) if row else None
