"""What a service is watched by: its runs in each state, those that wait, and what was lost."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, extract, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage import agents, tracking
from service.storage.deletions import is_deleted
from service.storage.states import LOSSES, RunState
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

    #: Runs by their state.
    runs: Mapping[str, int]
    #: What waits, by the name of the queue; queues in which no run waits are missing.
    queues: Mapping[str, Waiting]
    #: Attempts that were lost and that another followed, since the first run, by reason.
    lost_attempts: Mapping[str, int]
    agents: int
    #: Seconds until the first lease of a running run is over, which renewals keep from falling to
    #: 0; None while nothing runs.
    least_lease_s: float | None
    #: Running runs whose lease is over, and which nobody has put back yet.
    overdue_leases: int
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
        .where(Run.state == RunState.QUEUED, ~is_deleted(Run.id))
        .group_by(Run.queue)
    )
    left_s = extract("epoch", Run.lease_until - func.now())
    leases = select(func.min(left_s), func.count().filter(left_s < 0))
    least_s, overdue = (await session.execute(leases.where(Run.state == RunState.RUNNING))).one()
    by_state = select(Run.state, func.count()).where(~is_deleted(Run.id))
    lost = (Transition.state == RunState.QUEUED, Transition.reason.in_(LOSSES))
    return Gauges(
        runs=await _counts(session, by_state.group_by(Run.state)),
        queues={queue: Waiting(runs, float(oldest_s)) for queue, runs, oldest_s in waiting},
        lost_attempts=await _counts(
            session,
            select(Transition.reason, func.count()).where(*lost).group_by(Transition.reason),
        ),
        agents=len(await agents.seen_lately(session, agents.AGENT_LASTS)),
        least_lease_s=None if least_s is None else float(least_s),
        overdue_leases=overdue,
        untold_runs=await tracking.count_untold(session),
    )


async def _counts(session: AsyncSession, query: Select[Any, int]) -> dict[str, int]:
    return {str(name): count for name, count in await session.execute(query)}
