"""Stores how an attempt has ended."""

from procrastinate import App
from sqlalchemy.ext.asyncio import AsyncSession

from service import queue
from service.storage import runs
from service.storage.states import RunState
from service.storage.tables import Run
from workers.training.retry import PAUSED, Again, Finish, pause_s


async def conclude(
    session: AsyncSession, app: App, run: Run, decision: Finish | Again, fault_pause_s: float
) -> None:
    """Store what follows for a run from the end of the attempt that has claimed it.

    Raises:
        RunLost: this attempt no longer owns the run.
    """
    mine = (session, run.id, run.attempt)
    match decision:
        case Finish(RunState.CANCELLED):
            await runs.finish_on_request(*mine)
        case Finish(state, reason, message):
            await runs.finish(*mine, state, reason=reason, message=message)
        case Again(reason, message):
            if decision.is_loss:
                await runs.count_loss(*mine)
            pause = 0.0
            if decision.follows_a_fault:
                faults = await runs.put_back_lately(session, run.id, PAUSED)
                pause = pause_s(faults, fault_pause_s)
            await queue.release(app, *mine, reason=reason, message=message, pause_s=pause)
