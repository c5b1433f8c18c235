"""Agents: who is there to take runs, and which datasets they have."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.tables import Agent

#: What an agent offers counts for so long after it was last seen: a restart must not make the
#: service refuse specs.
OFFER_LASTS = timedelta(hours=1)
#: An agent says every 15 s that it is there; four of those may go missing.
AGENT_LASTS = timedelta(seconds=60)


async def announce(
    session: AsyncSession,
    *,
    name: str,
    host: str,
    pid: int,
    device: str,
    queues: Sequence[str],
    datasets: Mapping[str, str],
) -> None:
    """An agent says that it lives, and what it has."""
    values = {
        "host": host,
        "pid": pid,
        "device": device,
        "queues": ",".join(queues),
        "datasets": dict(datasets),
    }
    await session.execute(
        insert(Agent)
        .values(name=name, **values)
        .on_conflict_do_update(index_elements=[Agent.name], set_={**values, "seen_at": func.now()})
    )


async def seen_lately(session: AsyncSession, within: timedelta = OFFER_LASTS) -> Sequence[Agent]:
    """The agents that were seen within this time, the newest sign of life first."""
    return (
        await session.scalars(
            select(Agent)
            .where(Agent.seen_at > func.now() - within)
            .order_by(Agent.seen_at.desc(), Agent.name)
        )
    ).all()


async def datasets(session: AsyncSession, queue: str = "auto") -> dict[str, str]:
    """Name -> digest of what the agents of this queue have; the freshest word of each counts."""
    found: dict[str, str] = {}
    for agent in await seen_lately(session):
        if queue in agent.queues.split(","):
            found = {**agent.datasets, **found}
    return found
