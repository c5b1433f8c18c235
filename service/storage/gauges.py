"""What a service is watched by: its runs in each state, those that wait, and what was lost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, extract, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage import agents, tracking
from service.storage.states import RunState
from service.storage.tables import Run, Transition


@dataclass(frozen=True)
class Waiting:
    """The runs that wait in one queue."""

    runs: int
    #: Seconds since the oldest of them was submitted.
    oldest_s: float


@dataclass(frozen=True)
class Gauges:
    """The rows of a service at one moment, counted."""

    runs: Mapping[str, int]  #: by state
    queues: Mapping[
        str, Waiting
    ]  #: by the name of the queue; queues in which no run waits are missing
    lost_attempts: Mapping[str, int]  #: since the first run, by reason
    agents: int
    #: Runs of which MLflow has yet to be told something.
    untold_runs: int


async def read(session: AsyncSession) -> Gauges:
    """Count the rows."""
    waiting = await session.execute(
        select(
            Run.queue,
            func.count(),
            extract("epoch", func.now() - func.min(Run.created_at)),
        )
        .where(Run.state == RunState.QUEUED)
        .group_by(Run.queue)
    )
    put_back = (Transition.state == RunState.QUEUED, Transition.reason.is_not(None))
    return Gauges(
        runs=await _counts(session, select(Run.state, func.count()).group_by(Run.state)),
        queues={queue: Waiting(runs, float(oldest_s)) for queue, runs, oldest_s in waiting},
        lost_attempts=await _counts(
            session,
            select(Transition.reason, func.count()).where(*put_back).group_by(Transition.reason),
        ),
        agents=len(await agents.seen_lately(session, agents.AGENT_LASTS)),
        untold_runs=len(await tracking.runs_to_tell(session)),
    )


async def _counts(session: AsyncSession, query: Select[Any, int]) -> dict[str, int]:
    return {str(name): count for name, count in await session.execute(query)}
