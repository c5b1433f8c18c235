"""Ids as people write them: whole, or only how they begin, or the name of what has them."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC
from enum import StrEnum
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from service.ids import DIGITS, digits_of, is_whole
from service.storage import experiments
from service.storage.deletions import is_deleted
from service.storage.errors import AmbiguousId, NotFound
from service.storage.filters import Kind
from service.storage.study_tables import Study
from service.storage.tables import Experiment, Run

#: Most ids that are named to whoever wrote how several begin.
MOST_NAMED = 10


async def id_of(session: AsyncSession, table: Kind, digits: str) -> UUID:
    """The id that begins with these digits; a whole id is not looked up.

    Args:
        session: A session.
        table: Whose id it is.
        digits: 1 to 32 hexadecimal digits.

    Raises:
        NotFound: no id begins so, or what had it was deleted.
        AmbiguousId: several ids begin so.
    """
    if is_whole(digits):
        return UUID(digits)
    first, last = UUID(digits.ljust(DIGITS, "0")), UUID(digits.ljust(DIGITS, "f"))
    begin_so = select(table.id).where(table.id.between(first, last), ~is_deleted(table.id))
    ids = (await session.scalars(begin_so.order_by(table.id).limit(MOST_NAMED + 1))).all()
    words = await _words_of(session, table, ids) if len(ids) > 1 else ()
    return only_one(table.__name__.lower(), digits, ids, words)


async def meant(session: AsyncSession, table: Kind, written: str) -> UUID:
    """The id that begins with these digits; if none does, that of what has this name.

    Args:
        session: A session.
        table: What is meant.
        written: 4 to 32 hexadecimal digits, with hyphens as in an id, or a name without blanks at
            its ends.

    Raises:
        NotFound: nothing is meant, or what was meant was deleted.
        AmbiguousId: several ids begin so, or several rows have this name.
    """
    if digits := digits_of(written):
        with suppress(NotFound):
            return await id_of(session, table, digits)
    named = select(table.id).where(table.name == written, ~is_deleted(table.id))
    newest_first = named.order_by(table.created_at.desc(), table.id)
    ids = (await session.scalars(newest_first.limit(MOST_NAMED + 1))).all()
    kind = table.__name__.lower()
    if not ids:
        raise NotFound(kind, digits or repr(written))
    if len(ids) > 1:
        words = _listed(await _words_of(session, table, ids))
        raise AmbiguousId(f"{written!r} is the name of more than one {kind}: {words}")
    return ids[0]


def only_one(kind: str, digits: str, ids: Sequence[UUID], words: Sequence[str] = ()) -> UUID:
    """The only id of this kind that begins with these digits.

    Args:
        kind: What has such an id, such as `run`.
        digits: The digits.
        ids: The ids that begin so, in ascending order; of many, more than are named is enough.
        words: What is said of each id, by which people can choose; by default the ids alone.

    Raises:
        NotFound: there is none.
        AmbiguousId: there are several.
    """
    if not ids:
        raise NotFound(kind, digits)
    if len(ids) > 1:
        named = _listed(words or [str(id) for id in ids])
        raise AmbiguousId(f"{digits} is how more than one {kind}'s id begins: {named}")
    return ids[0]


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words[:MOST_NAMED]) + ", ..." * (len(words) > MOST_NAMED)


async def _words_of(session: AsyncSession, table: Kind, ids: Sequence[UUID]) -> list[str]:
    """Each id with its state and when it was submitted."""
    rows: list[Experiment | Run | Study] = [await session.get_one(table, id) for id in ids]
    counts = await experiments.states_of_runs(session, ids) if table is Experiment else {}
    words = []
    for row in rows:
        if isinstance(row, Experiment):
            state: StrEnum = experiments.state_of(row, counts[row.id])
        else:
            state = row.state
        submitted = f"{row.created_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        words.append(f"{row.id} ({state}, submitted {submitted})")
    return words
