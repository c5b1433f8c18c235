"""Where lists stand: words that change whenever what the first page of a list shows changes.

Each is read every 2 s for all who look, so none reads all rows: it takes the rows of the page
and the newest of those on which their numbers depend.
"""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    cast,
    func,
    literal,
    literal_column,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.sql.selectable import ScalarSelect, Subquery

from service.storage import agents
from service.storage.filters import Wanted, newest_first
from service.storage.pages import oldest_wanters
from service.storage.showing import listed_runs
from service.storage.states import RunState
from service.storage.study_tables import Study, Trial
from service.storage.tables import Agent, Experiment, Run, Transition

#: Newest changes of states that are looked at, and newest trials of each study that goes on.
#: A number alone, such as the last id, would miss a change that is committed after a later one.
NEWEST = 100


async def of_runs(session: AsyncSession, wanted: Wanted, size: int) -> str:
    listed = listed_runs(size, None, wanted)
    return await _all_of(session, listed, oldest_wanters(listed.with_only_columns(Run.id)))


async def of_experiments(session: AsyncSession, wanted: Wanted, size: int) -> str:
    return await _all_of(session, _newest(Experiment, wanted, size), _changes_of_runs())


async def of_studies(session: AsyncSession, wanted: Wanted, size: int) -> str:
    newest = _newest(Study, wanted, size)
    shown = newest.add_columns(Study.is_told).subquery()
    of_study = (
        select(Trial.number, Trial.state)
        .where(Trial.study_id == shown.c.id)
        .order_by(Trial.number.desc())
        .limit(NEWEST)
        .lateral()
    )
    # the trials of a study that has ended, and of which Optuna was told, change no more
    trials = select(shown.c.id, *of_study.c).join(of_study, true()).where(~shown.c.is_told)
    return await _all_of(session, newest, trials, _changes_of_runs(), _in_work())


async def of_agents(session: AsyncSession) -> str:
    offers = (Agent.host, Agent.device, Agent.queues, Agent.datasets, Agent.fault)
    there = select(Agent.name, *offers).where(Agent.seen_at > func.now() - agents.OFFER_LASTS)
    # what the page says of times is at most a minute old
    minute = select(func.date_trunc("minute", func.now()))
    return await _all_of(session, there, minute, _changes_of_runs(), _in_work())


def _newest(kind: type[Experiment] | type[Study], wanted: Wanted, size: int) -> Select[Any, str]:
    """The newest rows, with the transaction that has last changed each."""
    changed: ColumnElement[str] = literal_column(f"{kind.__tablename__}.xmin::text")
    return newest_first(select(kind.id, changed.label("changed")), kind, wanted, size)


def _changes_of_runs() -> Select[int]:
    return select(Transition.id).order_by(Transition.id.desc()).limit(NEWEST)


def _in_work() -> Select[Any, Any]:
    return select(Run.id, Run.progress).where(
        Run.finished_at.is_(None), Run.state == RunState.RUNNING
    )


async def _all_of(session: AsyncSession, *parts: Select[*tuple[Any, ...]]) -> str:
    return await session.scalar(select(func.concat_ws(" ", *map(_digest, parts)))) or ""


def _digest(rows: Select[*tuple[Any, ...]]) -> ScalarSelect[str | None]:
    """A digest of these rows, in whatever order they come."""
    of: Subquery = rows.subquery()
    row = cast(func.row(*of.c), Text)
    joined = func.string_agg(row, literal("\n"))
    return select(func.md5(joined)).scalar_subquery()
