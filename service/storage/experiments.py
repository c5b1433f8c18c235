"""Experiments: what was submitted, and what became of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from polar.spec import SCIENCE_VERSION, ExperimentSpec
from service.storage.errors import Conflict, NotFound
from service.storage.runs import record_transitions
from service.storage.states import RunState
from service.storage.tables import Experiment, ExperimentRun, Run


@dataclass(frozen=True)
class Submission:
    """An experiment with its runs in the order of the seeds; `new` are those yet to be queued."""

    experiment: Experiment
    runs: Sequence[Run]
    new: Sequence[Run]


async def create(
    session: AsyncSession,
    spec: ExperimentSpec,
    dataset_digest: str,
    *,
    force: bool = False,
    priority: int = 0,
) -> Submission:
    """Store an experiment and the runs that it needs and nobody has yet.

    Args:
        session: The caller's transaction; queue the new runs in the same one.
        spec: The validated spec.
        dataset_digest: SHA-256 of the dataset that the runs will see.
        force: Run everything anew, whatever there is already.
        priority: Priority of the new runs; higher ones are begun first.
    """
    experiment = Experiment(
        name=spec.name, spec=spec.model_dump(mode="json"), spec_hash=spec.content_hash()
    )
    session.add(experiment)
    await session.flush()
    runs, new_seeds = await _runs_for(
        session, spec, dataset_digest, force=force, priority=priority
    )
    session.add_all(
        ExperimentRun(experiment_id=experiment.id, position=position, run_id=runs[seed].id)
        for position, seed in enumerate(spec.seeds)
    )
    await session.flush()
    new = [runs[seed] for seed in spec.seeds if seed in new_seeds]
    return Submission(experiment, [runs[seed] for seed in spec.seeds], new)


async def _runs_for(
    session: AsyncSession,
    spec: ExperimentSpec,
    dataset_digest: str,
    *,
    force: bool,
    priority: int,
) -> tuple[dict[int, Run], set[int]]:
    """The run of every seed, and the seeds whose run is a new one."""
    runs: dict[int, Run] = {}
    new_seeds: set[int] = set()
    # Sorted: submissions that list shared seeds in different orders would wait for each other.
    while missing := [spec.for_seed(seed) for seed in sorted(spec.seeds) if seed not in runs]:
        rows = [
            {
                "key": None if force else _content_address(one, dataset_digest),
                "spec": one.model_dump(mode="json"),
                "seed": one.seeds[0],
                "dataset_digest": dataset_digest,
                "queue": one.device,
                "priority": priority,
            }
            for one in missing
        ]
        # Two submissions of the same content at once: one inserts, the other waits and shares.
        insertion = insert(Run).values(rows).on_conflict_do_nothing().returning(Run)
        inserted = (await session.scalars(insertion)).all()
        await record_transitions(session, inserted)
        new_seeds |= {run.seed for run in inserted}
        # Locked against `cancel`, which must see that this experiment wants the runs as well.
        # One that fails or is cancelled between the two statements stays missing.
        shared = await session.scalars(
            select(Run)
            .where(Run.key.in_([row["key"] for row in rows]), *_is_reusable())
            .order_by(Run.seed)
            .with_for_update(read=True, key_share=True)
        )
        runs |= {run.seed: run for run in [*shared, *inserted]}
    return runs, new_seeds


def _content_address(spec: ExperimentSpec, dataset_digest: str) -> str:
    return f"{spec.content_hash()}:{SCIENCE_VERSION}:{dataset_digest}"


def _is_reusable() -> tuple[ColumnElement[bool], ...]:
    states = (RunState.QUEUED, RunState.RUNNING, RunState.SUCCEEDED)
    return (Run.state.in_(states), ~Run.cancel_requested)


async def reusable_runs(
    session: AsyncSession, spec: ExperimentSpec, dataset_digest: str
) -> dict[int, Run]:
    """The runs that this spec would share instead of making them, by seed."""
    addresses = [_content_address(spec.for_seed(seed), dataset_digest) for seed in spec.seeds]
    found = await session.scalars(select(Run).where(Run.key.in_(addresses), *_is_reusable()))
    return {run.seed: run for run in found}


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


async def runs_of(session: AsyncSession, experiment_id: UUID) -> Sequence[Run]:
    """The runs of an experiment, in the order of its seeds."""
    query = (
        select(Run)
        .join(ExperimentRun, ExperimentRun.run_id == Run.id)
        .where(ExperimentRun.experiment_id == experiment_id)
        .order_by(ExperimentRun.position)
    )
    return (await session.scalars(query)).all()


async def states_of_runs(
    session: AsyncSession, experiment_ids: Sequence[UUID]
) -> dict[UUID, Counter[RunState]]:
    """How many runs of these experiments are in which state."""
    rows = await session.execute(
        select(ExperimentRun.experiment_id, Run.state, func.count())
        .join(Run, Run.id == ExperimentRun.run_id)
        .where(ExperimentRun.experiment_id.in_(experiment_ids))
        .group_by(ExperimentRun.experiment_id, Run.state)
    )
    counts: dict[UUID, Counter[RunState]] = {id: Counter() for id in experiment_ids}
    for experiment_id, state, count in rows:
        counts[experiment_id][state] = count
    return counts


def state_of(experiment: Experiment, counts: Counter[RunState]) -> RunState:
    """The state of an experiment, from its runs: what is unfinished counts before what is not.

    A cancelled experiment stays so, whatever becomes of runs that it shared with others.
    """
    if experiment.cancelled_at is not None:
        return RunState.CANCELLED
    for state in (RunState.RUNNING, RunState.QUEUED, RunState.FAILED, RunState.CANCELLED):
        if counts[state]:
            return state
    return RunState.PRUNED if counts[RunState.PRUNED] else RunState.SUCCEEDED


async def cancel(session: AsyncSession, experiment_id: UUID) -> Sequence[Run]:
    """Mark an experiment as cancelled; returns its unfinished runs that nobody else wants, locked.

    Raises:
        NotFound: no experiment has this id.
        Conflict: all its runs have ended in another way.
    """
    experiment = await session.get(Experiment, experiment_id, with_for_update=True)
    if experiment is None:
        raise NotFound("experiment", experiment_id)
    unfinished = await _unfinished_runs(session, experiment_id)
    if experiment.cancelled_at is None and not unfinished:
        raise Conflict(f"experiment {experiment_id} has already ended: none of its runs goes on")
    experiment.cancelled_at = experiment.cancelled_at or await session.scalar(select(func.now()))
    await session.flush()
    return await _unwanted(session, unfinished, experiment_id)


async def unshared_runs(session: AsyncSession, experiment_id: UUID) -> Sequence[Run]:
    """The unfinished runs of an experiment that no other one wants, locked."""
    unfinished = await _unfinished_runs(session, experiment_id)
    return await _unwanted(session, unfinished, experiment_id)


async def _unfinished_runs(session: AsyncSession, experiment_id: UUID) -> Sequence[Run]:
    """Locked, in the order of `create`: nobody begins to want one of them from here on."""
    query = (
        select(Run)
        .join(ExperimentRun, ExperimentRun.run_id == Run.id)
        .where(ExperimentRun.experiment_id == experiment_id, Run.finished_at.is_(None))
        .order_by(Run.seed)
    )
    return (await session.scalars(query.with_for_update(of=Run))).all()


async def _unwanted(
    session: AsyncSession, runs: Sequence[Run], experiment_id: UUID
) -> Sequence[Run]:
    """Those of an experiment's runs that no other experiment wants."""
    wanted = await session.scalars(
        select(ExperimentRun.run_id)
        .join(Experiment, Experiment.id == ExperimentRun.experiment_id)
        .where(
            ExperimentRun.run_id.in_([run.id for run in runs]),
            Experiment.id != experiment_id,
            Experiment.cancelled_at.is_(None),
        )
    )
    others = set(wanted)
    return [run for run in runs if run.id not in others]
