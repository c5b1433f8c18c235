"""Runs: one statement decides each change of state.

Everything that a worker writes is fenced by its attempt: the row is changed
`where attempt = mine and state = 'running'`, or the run is lost to this worker.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any, assert_never
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import (
    ArtifactSaved,
    CheckpointSaved,
    Evaluation,
    Event,
    Progress,
    Result,
    Started,
)
from service.storage.errors import Conflict, NotFound, RunLost
from service.storage.states import RunState
from service.storage.tables import Artifact, EvaluationRow, Metric, Run, Transition

#: Channel on which Postgres tells that a run has changed its state.
CHANGED = "runs_changed"


async def get(session: AsyncSession, run_id: UUID) -> Run:
    """One run.

    Raises:
        NotFound: no run has this id.
    """
    run = await session.get(Run, run_id)
    if run is None:
        raise NotFound("run", run_id)
    return run


async def claim(session: AsyncSession, run_id: UUID, owner: str, lease_s: float) -> Run | None:
    """Begin the next attempt at a run that is free; None when it is held, over or unwanted."""
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
    """Keep the lease; returns whether the run is to be cancelled.

    Raises:
        RunLost: this attempt does not own the run any more.
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
    """Store what the run's child told; paths are relative to the artifact folder.

    An attempt that repeats steps of an earlier one repeats its numbers: the first report stands.

    Raises:
        RunLost: this attempt does not own the run any more.
    """
    match event:
        case Started():
            await _update_mine(session, run_id, attempt, started=event.model_dump(mode="json"))
        case Progress():
            await _update_mine(session, run_id, attempt, progress=event.model_dump(mode="json"))
            await _add_metrics(session, run_id, attempt, event.step, event.scalars())
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
            await _add_metrics(session, run_id, attempt, event.step, event.scalars())
        case CheckpointSaved():
            await _update_mine(
                session, run_id, attempt, checkpoint=event.path, checkpoint_step=event.step
            )
        case ArtifactSaved():
            await _update_mine(session, run_id, attempt)
            statement = insert(Artifact).values(
                run_id=run_id, name=event.name, path=event.path, attempt=attempt
            )
            await session.execute(
                statement.on_conflict_do_update(
                    index_elements=[Artifact.run_id, Artifact.name],
                    set_={"path": event.path, "attempt": attempt},
                )
            )
        case Result():
            await _update_mine(session, run_id, attempt, result=event.model_dump(mode="json"))
            await _add_metrics(session, run_id, attempt, event.steps, event.summary.scalars())
            by_rank = enumerate(event.final.entropies_by_rank(), start=1)
            ranks = [("entropy/by_rank", rank, nats) for rank, nats in by_rank]
            await _add_points(session, run_id, attempt, ranks)
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
    """End a run for good.

    Raises:
        RunLost: this attempt does not own the run any more.
    """
    run = await _update_mine(session, run_id, attempt, **_ended(state, reason, message))
    await record_transitions(session, [run])


async def finish_on_request(session: AsyncSession, run_id: UUID, attempt: int) -> None:
    """End a run whose end was requested.

    Raises:
        RunLost: this attempt does not own the run any more.
    """
    run = await _update_mine(session, run_id, attempt)
    await _change(session, run, _ended(*_requested_end(run)))


async def release(
    session: AsyncSession, run_id: UUID, attempt: int, *, reason: str, message: str
) -> Run:
    """Give a run back; the caller queues it again in the same transaction.

    Raises:
        RunLost: this attempt does not own the run any more.
    """
    run = await _update_mine(session, run_id, attempt, **_waiting(reason, message))
    await record_transitions(session, [run])
    return run


async def count_loss(session: AsyncSession, run_id: UUID, attempt: int) -> int:
    """Note that this attempt's child died without a word; returns how many have so far.

    Raises:
        RunLost: this attempt does not own the run any more.
    """
    return (await _update_mine(session, run_id, attempt, losses=Run.losses + 1)).losses


async def request_cancel(session: AsyncSession, run_id: UUID) -> Run:
    """Cancel a waiting run at once; ask the owner of a running one to stop it.

    Raises:
        NotFound: no run has this id.
        Conflict: the run has ended in another way.
    """
    # Locked: its worker may be recording the end of this very run.
    run = await session.get(Run, run_id, with_for_update=True)
    if run is None:
        raise NotFound("run", run_id)
    if run.state is RunState.CANCELLED:
        return run
    if run.state.is_final:
        raise Conflict(f"run {run_id} has already ended: it {run.state}")
    await request_ends(session, [run])
    return run


async def request_prune(session: AsyncSession, run: Run, reason: str, message: str) -> None:
    """Stop an unfinished run, whose row the caller has locked, for the reason of a study."""
    run.prune_reason, run.prune_message = reason, message
    await session.flush()
    await request_ends(session, [run])


async def request_ends(session: AsyncSession, unfinished: Sequence[Run]) -> None:
    """As `request_cancel`, for runs whose rows the caller has locked, in a few statements."""
    held = [run.id for run in unfinished if run.state is RunState.RUNNING]
    await _update(session, held, cancel_requested=True)
    waiting = [run for run in unfinished if run.state is RunState.QUEUED]
    for end_requested, group in groupby(sorted(waiting, key=_requested_end), key=_requested_end):
        ids = [run.id for run in group]
        ended = await _update(session, ids, cancel_requested=True, **_ended(*end_requested))
        await record_transitions(session, ended)


async def _update(session: AsyncSession, run_ids: Sequence[UUID], **values: object) -> list[Run]:
    statement = update(Run).where(Run.id.in_(run_ids)).values(values).returning(Run)
    return list(await session.scalars(statement, execution_options={"populate_existing": True}))


async def end_on_request(session: AsyncSession, run: Run) -> None:
    """End a run that no living worker holds, as was requested; the caller has locked its row."""
    await end(session, run, *_requested_end(run))


def _requested_end(run: Run) -> tuple[RunState, str, str]:
    if run.prune_reason is not None and run.prune_message is not None:
        return RunState.PRUNED, run.prune_reason, run.prune_message
    return RunState.CANCELLED, "user", "cancelled on request"


async def end(session: AsyncSession, run: Run, state: RunState, reason: str, message: str) -> None:
    """End a run that no living worker holds; the caller has locked its row."""
    await _change(session, run, _ended(state, reason, message))


async def queue_lost(session: AsyncSession, run: Run) -> None:
    """Take a run from a worker that is gone; the caller has locked its row and queues it."""
    message = f"attempt {run.attempt} ended without a word; the run goes on from its checkpoint"
    await _change(session, run, {**_waiting("lease_lost", message), "losses": run.losses + 1})


async def _change(session: AsyncSession, run: Run, values: Mapping[str, object]) -> None:
    for field, value in values.items():
        setattr(run, field, value)
    await session.flush()
    await session.refresh(run)
    await record_transitions(session, [run])


async def record_transitions(session: AsyncSession, changed: Iterable[Run]) -> None:
    """Note in the history of these runs the state that they have now."""
    session.add_all(
        Transition(
            run_id=run.id,
            attempt=run.attempt,
            state=run.state,
            reason=run.status_reason,
            message=run.status_message,
        )
        for run in changed
    )
    await session.flush()
    await session.execute(select(func.pg_notify(CHANGED, "")))


async def transitions_of(session: AsyncSession, run_id: UUID) -> Sequence[Transition]:
    """The history of a run, oldest first."""
    query = select(Transition).where(Transition.run_id == run_id).order_by(Transition.id)
    return (await session.scalars(query)).all()


def _mine(run_id: UUID, attempt: int) -> tuple[ColumnElement[bool], ...]:
    return (Run.id == run_id, Run.attempt == attempt, Run.state == RunState.RUNNING)


def from_now(seconds: float) -> ColumnElement[Any]:
    """A time by the database's clock: the only one that all workers share."""
    return func.now() + timedelta(seconds=seconds)


async def _update_mine(session: AsyncSession, run_id: UUID, attempt: int, **values: object) -> Run:
    """Change the run while this attempt owns it; the row stays locked until the commit."""
    statement = update(Run).where(*_mine(run_id, attempt))
    run = await session.scalar(statement.values(values or {"attempt": attempt}).returning(Run))
    if run is None:
        raise RunLost(f"run {run_id} is no longer attempt {attempt}'s")
    return run


async def _add_metrics(
    session: AsyncSession, run_id: UUID, attempt: int, step: int, values: Mapping[str, float]
) -> None:
    await _add_points(
        session, run_id, attempt, [(key, step, value) for key, value in values.items()]
    )


async def _add_points(
    session: AsyncSession, run_id: UUID, attempt: int, points: Iterable[tuple[str, int, float]]
) -> None:
    """Key, step and value of each; one statement for all would take seconds to compile."""
    rows = [
        {"run_id": run_id, "key": key, "step": step, "value": value, "attempt": attempt}
        for key, step, value in points
    ]
    await session.execute(insert(Metric).on_conflict_do_nothing(), rows)


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
