"""Experiments: what was submitted, and what became of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec import SCIENCE_VERSION, ExperimentSpec
from service.storage.errors import NotFound
from service.storage.runs import record_transition
from service.storage.tables import Experiment, ExperimentRun, IdempotencyKey, Run, RunState


@dataclass(frozen=True)
class Submission:
    """An experiment with its runs in the order of the seeds; `new` are those yet to be queued."""

    experiment: Experiment
    runs: Sequence[Run]
    new: Sequence[Run]


async def create(
    session: AsyncSession, spec: ExperimentSpec, dataset_digest: str, *, force: bool = False
) -> Submission:
    """Store an experiment and the runs that it needs and nobody has yet.

    Args:
        session: The caller's transaction; queue the new runs in the same one.
        spec: The validated spec.
        dataset_digest: SHA-256 of the dataset that the runs will see.
        force: Run everything anew, whatever there is already.
    """
    experiment = Experiment(
        name=spec.name, spec=spec.model_dump(mode="json"), spec_hash=spec.content_hash()
    )
    session.add(experiment)
    await session.flush()
    runs, new = [], []
    for position, seed in enumerate(spec.seeds):
        run, is_new = await _run_for(session, spec.for_seed(seed), dataset_digest, force=force)
        session.add(ExperimentRun(experiment_id=experiment.id, position=position, run_id=run.id))
        runs.append(run)
        if is_new:
            new.append(run)
    await session.flush()
    return Submission(experiment, runs, new)


async def _run_for(
    session: AsyncSession, spec: ExperimentSpec, dataset_digest: str, *, force: bool
) -> tuple[Run, bool]:
    """The run with this content, and whether it is a new one."""
    key = None if force else f"{spec.content_hash()}:{SCIENCE_VERSION}:{dataset_digest}"
    inserted = await session.scalar(
        insert(Run)
        .values(
            key=key,
            spec=spec.model_dump(mode="json"),
            seed=spec.seeds[0],
            dataset_digest=dataset_digest,
            queue=spec.device,
        )
        # Two submissions of the same content at once: one inserts, the other waits and shares.
        .on_conflict_do_nothing()
        .returning(Run)
    )
    if inserted is not None:
        await record_transition(session, inserted)
        return inserted, True
    reusable = (RunState.QUEUED, RunState.RUNNING, RunState.SUCCEEDED)
    run = await session.scalar(select(Run).where(Run.key == key, Run.state.in_(reusable)))
    if run is None:  # it failed or was cancelled between the two statements
        return await _run_for(session, spec, dataset_digest, force=force)
    return run, False


async def get(session: AsyncSession, experiment_id: UUID) -> Experiment:
    """One experiment.

    Raises:
        NotFound: no experiment has this id.
    """
    experiment = await session.get(Experiment, experiment_id)
    if experiment is None:
        raise NotFound("experiment", experiment_id)
    return experiment


async def page(
    session: AsyncSession, *, size: int, after: tuple[datetime, UUID] | None
) -> Sequence[Experiment]:
    """Up to `size` experiments, newest first, that come after this creation time and id."""
    query = select(Experiment).order_by(Experiment.created_at.desc(), Experiment.id.desc())
    if after is not None:
        query = query.where(tuple_(Experiment.created_at, Experiment.id) < after)
    return (await session.scalars(query.limit(size))).all()


async def runs_of(session: AsyncSession, experiment_ids: Sequence[UUID]) -> dict[UUID, list[Run]]:
    """The runs of these experiments, in the order of their seeds."""
    rows = await session.execute(
        select(ExperimentRun.experiment_id, Run)
        .join(Run, Run.id == ExperimentRun.run_id)
        .where(ExperimentRun.experiment_id.in_(experiment_ids))
        .order_by(ExperimentRun.experiment_id, ExperimentRun.position)
    )
    runs: dict[UUID, list[Run]] = {experiment_id: [] for experiment_id in experiment_ids}
    for experiment_id, run in rows:
        runs[experiment_id].append(run)
    return runs


def state_of(runs: Sequence[Run]) -> RunState:
    """The state of an experiment, from its runs: what is unfinished counts before what is not."""
    counts = Counter(run.state for run in runs)
    for state in (RunState.RUNNING, RunState.QUEUED, RunState.FAILED, RunState.CANCELLED):
        if counts[state]:
            return state
    return RunState.PRUNED if counts[RunState.PRUNED] else RunState.SUCCEEDED


async def cancel(session: AsyncSession, experiment_id: UUID) -> list[UUID]:
    """Mark an experiment as cancelled; returns its unfinished runs that nobody else wants.

    Raises:
        NotFound: no experiment has this id.
    """
    experiment = await session.get(Experiment, experiment_id, with_for_update=True)
    if experiment is None:
        raise NotFound("experiment", experiment_id)
    experiment.cancelled_at = experiment.cancelled_at or await session.scalar(select(func.now()))
    await session.flush()
    wanted = (
        select(ExperimentRun.run_id)
        .join(Experiment, Experiment.id == ExperimentRun.experiment_id)
        .where(Experiment.cancelled_at.is_(None))
    )
    unwanted = await session.scalars(
        select(Run.id)
        .join(ExperimentRun, ExperimentRun.run_id == Run.id)
        .where(
            ExperimentRun.experiment_id == experiment_id,
            Run.finished_at.is_(None),
            Run.id.not_in(wanted),
        )
    )
    return list(unwanted)


async def with_key(session: AsyncSession, key: str) -> IdempotencyKey | None:
    """What a POST with this idempotency key made before, if there was one."""
    # Two POSTs with one key at once: the second waits here until the first has committed.
    await session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
    return await session.get(IdempotencyKey, key)


async def remember_key(
    session: AsyncSession, key: str, fingerprint: str, experiment: Experiment
) -> None:
    """Remember what a POST with this idempotency key made."""
    session.add(IdempotencyKey(key=key, fingerprint=fingerprint, experiment_id=experiment.id))
    await session.flush()
