"""Runs: their reports, and their changes of state, each of which one SQL statement decides.

Everything that a worker writes is fenced by the number of its attempt: its statement changes the
row only `where attempt = mine and state = 'running'`; where no row matches, the worker has lost
the run.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any, assert_never
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from polar.records.events import (
    ArtifactSaved,
    CheckpointSaved,
    Evaluation,
    Event,
    Progress,
    Result,
    Started,
)
from service.storage import artifacts, metrics
from service.storage.batches import batches
from service.storage.deletions import is_deleted
from service.storage.errors import Conflict, NotFound, RunLost
from service.storage.states import RunState
from service.storage.tables import EvaluationRow, FindingsRow, Run, Transition

#: Channel on which Postgres notifies listeners that a run has changed its state.
CHANGED = "runs_changed"


async def get(session: AsyncSession, run_id: UUID) -> Run:
    """The run with this id.

    Raises:
        NotFound: no run has this id, or it was deleted.
    """
    run = await session.scalar(select(Run).where(Run.id == run_id, ~is_deleted(Run.id)))
    if run is None:
        raise NotFound("run", run_id)
    return run


async def claim(session: AsyncSession, run_id: UUID, owner: str, lease_s: float) -> Run | None:
    """Begin the next attempt at a run; None if it is held, has ended or is being cancelled."""
    free = or_(
        Run.state == RunState.QUEUED,
        (Run.state == RunState.RUNNING) & (Run.lease_until < func.now()),
    )
    run = await session.scalar(
        update(Run)
        .where(Run.id == run_id, free, ~Run.cancel_requested)
        .values(
            state=RunState.RUNNING,
            attempt=Run.attempt + 1,
            owner=owner,
            lease_until=from_now(lease_s),
            started_at=func.coalesce(Run.started_at, func.now()),
            status_reason=None,
            status_message=None,
        )
        .returning(Run)
    )
    if run is not None:
        await record_transitions(session, [run])
    return run


async def renew(session: AsyncSession, run_id: UUID, attempt: int, lease_s: float) -> bool:
    """Renew the lease of a run, and return whether the run's end was requested.

    Raises:
        RunLost: this attempt no longer owns the run.
    """
    cancel_requested = await session.scalar(
        update(Run)
        .where(*_mine(run_id, attempt))
        .values(lease_until=from_now(lease_s))
        .returning(Run.cancel_requested)
    )
    if cancel_requested is None:
        raise RunLost(f"run {run_id} is no longer attempt {attempt}'s")
    return cancel_requested


async def record(session: AsyncSession, run_id: UUID, attempt: int, event: Event) -> None:
    """Store an event that the run's child reported; its paths are relative to the artifact folder.

    An attempt that repeats steps of an earlier attempt reports the same numbers again; the first
    report stands.

    Raises:
        RunLost: this attempt no longer owns the run.
    """
    match event:
        case Started():
            started = event.model_dump(mode="json")
            run = await _update_mine(session, run_id, attempt, started=started)
            if event.step:
                await metrics.inherit(session, run, attempt, event.step)
        case Progress():
            await _update_mine(session, run_id, attempt, progress=event.model_dump(mode="json"))
            await metrics.add(session, run_id, attempt, event.step, event.scalars())
        case Evaluation():
            await _update_mine(session, run_id, attempt)
            await session.execute(
                insert(EvaluationRow)
                .values(
                    run_id=run_id,
                    step=event.step,
                    attempt=attempt,
                    evaluation=event.model_dump(mode="json"),
                )
                .on_conflict_do_nothing()
            )
            await metrics.add(session, run_id, attempt, event.step, event.scalars())
        case CheckpointSaved():
            await _update_mine(
                session, run_id, attempt, checkpoint=event.path, checkpoint_step=event.step
            )
        case ArtifactSaved():
            await _update_mine(session, run_id, attempt)
            await artifacts.add(session, run_id, attempt, event)
        case Result():
            await _update_mine(session, run_id, attempt, result=event.model_dump(mode="json"))
            if event.summary is not None:
                await metrics.add(session, run_id, attempt, event.steps, event.summary.scalars())
            by_rank = enumerate(event.final.entropies_by_rank(), start=1)
            ranks = [("entropy/by_rank", rank, nats) for rank, nats in by_rank]
            await metrics.add_points(session, run_id, attempt, ranks)
        case _:
            assert_never(event)


async def finish(
    session: AsyncSession,
    run_id: UUID,
    attempt: int,
    state: RunState,
    *,
    reason: str | None = None,
    message: str | None = None,
) -> None:
    """End a run for good; the findings of a run that has succeeded are then still to come.

    Raises:
        RunLost: this attempt no longer owns the run.
    """
    run = await _update_mine(session, run_id, attempt, **_ended(state, reason, message))
    await record_transitions(session, [run])
    if state is RunState.SUCCEEDED and run.result and run.result.get("summary", {}) is None:
        session.add(FindingsRow(run_id=run.id))
        await session.flush()


async def finish_on_request(session: AsyncSession, run_id: UUID, attempt: int) -> None:
    """End a run whose end was requested.

    Raises:
        RunLost: this attempt no longer owns the run.
    """
    run = await _update_mine(session, run_id, attempt)
    await _change(session, run, _ended(*_requested_end(run)))


async def release(
    session: AsyncSession, run_id: UUID, attempt: int, *, reason: str, message: str
) -> Run:
    """Make a run wait again; the caller queues a job for it in the same transaction.

    Raises:
        RunLost: this attempt no longer owns the run.
    """
    run = await _update_mine(session, run_id, attempt, **_waiting(reason, message))
    await record_transitions(session, [run])
    return run


async def count_loss(session: AsyncSession, run_id: UUID, attempt: int) -> int:
    """Count a death without a word of this attempt's child, and return how many there were.

    Raises:
        RunLost: this attempt no longer owns the run.
    """
    return (await _update_mine(session, run_id, attempt, losses=Run.losses + 1)).losses


async def put_back_lately(session: AsyncSession, run_id: UUID, reasons: Sequence[str]) -> int:
    """How often within an hour a run was made to wait again for one of these reasons."""
    query = select(func.count()).where(
        Transition.run_id == run_id,
        Transition.state == RunState.QUEUED,
        Transition.reason.in_(reasons),
        Transition.at > from_now(-3600),
    )
    return await session.scalar(query) or 0


async def request_cancel(session: AsyncSession, run_id: UUID) -> Run:
    """Cancel a waiting run at once, or ask the owner of a running run to stop it.

    Raises:
        NotFound: no run has this id.
        Conflict: the run has ended in another way.
    """
    await get(session, run_id)
    # The row is locked because a worker may be recording the end of this very run.
    run = await session.get(Run, run_id, with_for_update=True, populate_existing=True)
    if run is None:
        raise NotFound("run", run_id)
    if run.state is RunState.CANCELLED:
        return run
    if run.state.is_final:
        raise Conflict(f"run {run_id} has already ended as {run.state}")
    await request_ends(session, [run])
    return run


async def request_prune(session: AsyncSession, run: Run, reason: str, message: str) -> None:
    """Prune an unfinished run, for a reason of its study; the caller has locked the row."""
    run.prune_reason, run.prune_message = reason, message
    await session.flush()
    await request_ends(session, [run])


async def request_ends(session: AsyncSession, unfinished: Sequence[Run]) -> None:
    """End these runs as `request_cancel` does, in few statements; the caller locked their rows."""
    held = [run.id for run in unfinished if run.state is RunState.RUNNING]
    for ids in batches(held):
        await _update(session, ids, cancel_requested=True)
    waiting = [run for run in unfinished if run.state is RunState.QUEUED]
    for end_requested, group in groupby(sorted(waiting, key=_requested_end), key=_requested_end):
        for ids in batches([run.id for run in group]):
            ended = await _update(session, ids, cancel_requested=True, **_ended(*end_requested))
            await record_transitions(session, ended)


async def _update(session: AsyncSession, run_ids: Sequence[UUID], **values: object) -> list[Run]:
    statement = update(Run).where(Run.id.in_(run_ids)).values(values).returning(Run)
    light = statement.options(defer(Run.spec))
    return list(await session.scalars(light, execution_options={"populate_existing": True}))


async def end_on_request(session: AsyncSession, run: Run) -> None:
    """End a run, held by no living worker, as was requested; the caller has locked its row."""
    await end(session, run, *_requested_end(run))


def _requested_end(run: Run) -> tuple[RunState, str, str]:
    if run.prune_reason is not None and run.prune_message is not None:
        return RunState.PRUNED, run.prune_reason, run.prune_message
    return RunState.CANCELLED, "user", "cancelled on request"


async def end(session: AsyncSession, run: Run, state: RunState, reason: str, message: str) -> None:
    """End a run that no living worker holds; the caller has locked its row."""
    await _change(session, run, _ended(state, reason, message))


async def queue_lost(session: AsyncSession, run: Run) -> None:
    """Make a run wait again whose worker is gone; the caller has locked its row and queues it."""
    message = f"attempt {run.attempt} ended without a word; the run goes on from its checkpoint"
    await _change(session, run, {**_waiting("lease_lost", message), "losses": run.losses + 1})


async def queue_stopped(session: AsyncSession, run: Run) -> None:
    """Make a run wait again, as `queue_lost` does, that its agent gave up as it was asked to."""
    message = f"attempt {run.attempt} was asked to stop; the run goes on from its checkpoint"
    await _change(session, run, _waiting("agent_stopped", message))


async def _change(session: AsyncSession, run: Run, values: Mapping[str, object]) -> None:
    for field, value in values.items():
        setattr(run, field, value)
    await session.flush()
    await session.refresh(run)
    await record_transitions(session, [run])


async def record_transitions(session: AsyncSession, changed: Iterable[Run]) -> None:
    """Add the present state of these runs to their histories, and notify those who listen."""
    rows = [
        {
            "run_id": run.id,
            "attempt": run.attempt,
            "state": run.state,
            "reason": run.status_reason,
            "message": run.status_message,
        }
        for run in changed
    ]
    if rows:
        await session.execute(insert(Transition), rows)
    await session.execute(select(func.pg_notify(CHANGED, "")))


async def transitions_of(session: AsyncSession, run_id: UUID) -> Sequence[Transition]:
    """The changes of a run's state, oldest first."""
    query = select(Transition).where(Transition.run_id == run_id).order_by(Transition.id)
    return (await session.scalars(query)).all()


def _mine(run_id: UUID, attempt: int) -> tuple[ColumnElement[bool], ...]:
    return (Run.id == run_id, Run.attempt == attempt, Run.state == RunState.RUNNING)


def from_now(seconds: float) -> ColumnElement[Any]:
    """A time so many seconds from now by the database's clock, which all workers share."""
    return func.now() + timedelta(seconds=seconds)


async def _update_mine(session: AsyncSession, run_id: UUID, attempt: int, **values: object) -> Run:
    """Change a run that this attempt owns; the row stays locked until the commit."""
    statement = update(Run).where(*_mine(run_id, attempt))
    run = await session.scalar(statement.values(values or {"attempt": attempt}).returning(Run))
    if run is None:
        raise RunLost(f"run {run_id} is no longer attempt {attempt}'s")
    return run


def _ended(state: RunState, reason: str | None, message: str | None) -> dict[str, object]:
    return {
        "state": state,
        "status_reason": reason,
        "status_message": message,
        "owner": None,
        "lease_until": None,
        "finished_at": func.now(),
    }


def _waiting(reason: str, message: str) -> dict[str, object]:
    return {
        "state": RunState.QUEUED,
        "status_reason": reason,
        "status_message": message,
        "owner": None,
        "lease_until": None,
    }
