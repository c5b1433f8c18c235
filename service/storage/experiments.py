"""Experiments: which specs were submitted, and what became of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import defer

from polar.spec import SCIENCE_VERSION, ExperimentSpec
from polar.spec.course import course
from service.descriptions import NOTHING_SAID, Description
from service.storage.batches import batches
from service.storage.errors import Conflict, NotFound
from service.storage.filters import BY_RANK, EVERYTHING, Wanted, newest_first
from service.storage.runs import record_transitions
from service.storage.states import RunState
from service.storage.tables import Experiment, ExperimentRun, Run
from service.storage.telling import tell_again


@dataclass(frozen=True)
class Submission:
    """An experiment and its runs."""

    experiment: Experiment
    #: All runs, in the order of the spec's seeds.
    runs: Sequence[Run]
    #: The runs that no earlier experiment had and that are still to be queued, in the same order.
    new: Sequence[Run]


async def create(
    session: AsyncSession,
    spec: ExperimentSpec,
    dataset_digest: str,
    *,
    force: bool = False,
    priority: int = 0,
    said: Description = NOTHING_SAID,
) -> Submission:
    """Store an experiment, and those of its runs that do not exist yet.

    Args:
        session: The caller's transaction; queue the new runs in the same one.
        spec: The validated spec.
        dataset_digest: SHA-256 of the dataset that the runs will use.
        force: Whether to make all runs anew instead of sharing existing runs.
        priority: Priority of the new runs; runs of higher priority begin first.
        said: Tags and note of the experiment, not of its runs, which others may share.
    """
    experiment = Experiment(
        name=spec.name,
        spec=spec.model_dump(mode="json"),
        spec_hash=spec.content_hash(),
        tags=said.tags,
        note=said.note,
    )
    session.add(experiment)
    await session.flush()
    runs, new_seeds = await _runs_for(
        session, spec, dataset_digest, force=force, priority=priority
    )
    rows = [
        {"experiment_id": experiment.id, "position": position, "run_id": runs[seed].id}
        for position, seed in enumerate(spec.seeds)
    ]
    for batch in batches(rows):
        await session.execute(insert(ExperimentRun), batch)
    if said.tags or said.note:
        await tell_again(session, experiment)  # some of its runs may be in MLflow already
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
    """The run of every seed, and the seeds whose runs are new."""
    runs: dict[int, Run] = {}
    new_seeds: set[int] = set()
    # Sorted, because two submissions that share seeds would deadlock if they inserted them in
    # different orders.
    while missing := [seed for seed in sorted(spec.seeds) if seed not in runs]:
        for seeds in batches(missing):
            inserted, shared = await _insert_or_share(
                session,
                [spec.for_seed(seed) for seed in seeds],
                dataset_digest,
                force=force,
                priority=priority,
            )
            new_seeds |= {run.seed for run in inserted}
            runs |= {run.seed: run for run in [*shared, *inserted]}
    return runs, new_seeds


async def _insert_or_share(
    session: AsyncSession,
    specs: Sequence[ExperimentSpec],
    dataset_digest: str,
    *,
    force: bool,
    priority: int,
) -> tuple[Sequence[Run], Sequence[Run]]:
    """The new runs of specs of one seed, in ascending order, and those that exist already."""
    rows = [
        {
            "key": None if force else _content_address(spec, dataset_digest),
            "problem": problem_address(spec, dataset_digest),
            "course": course_address(spec, dataset_digest),
            "spec": spec.model_dump(mode="json"),
            "seed": spec.seeds[0],
            "dataset_digest": dataset_digest,
            "queue": spec.device,
            "priority": priority,
        }
        for spec in specs
    ]
    # If the same content is submitted twice at once, one submission inserts the runs, and the
    # other waits and shares them.
    insertion = insert(Run).on_conflict_do_nothing().returning(Run)
    inserted = (await session.scalars(insertion, rows)).all()
    await record_transitions(session, inserted)
    # The lock makes `cancel` wait until it can see that this experiment wants the runs too. A run
    # that fails or is cancelled between the two statements is in neither answer, and the caller
    # inserts it anew.
    shared = await session.scalars(
        select(Run)
        .where(Run.key.in_([row["key"] for row in rows]), *_is_reusable())
        .order_by(Run.seed)
        .with_for_update(read=True, key_share=True)
    )
    return inserted, shared.all()


def _content_address(spec: ExperimentSpec, dataset_digest: str) -> str:
    return f"{spec.content_hash()}:{SCIENCE_VERSION}:{dataset_digest}"


def problem_address(spec: ExperimentSpec, dataset_digest: str) -> str:
    """Where all runs of the same problem are, whatever their weight, seed and training."""
    return f"{spec.problem_hash()}:{SCIENCE_VERSION}:{dataset_digest}"


def course_address(spec: ExperimentSpec, dataset_digest: str) -> str:
    """Where all runs of the same course are, wherever they end."""
    return f"{course(spec)}:{SCIENCE_VERSION}:{dataset_digest}"


def _is_reusable() -> tuple[ColumnElement[bool], ...]:
    states = (RunState.QUEUED, RunState.RUNNING, RunState.SUCCEEDED)
    return (Run.state.in_(states), ~Run.cancel_requested)


async def reusable_runs(
    session: AsyncSession, spec: ExperimentSpec, dataset_digest: str
) -> dict[int, Run]:
    """The existing runs that an experiment of this spec would share, by seed."""
    addresses = [_content_address(spec.for_seed(seed), dataset_digest) for seed in spec.seeds]
    reusable = await session.scalars(select(Run).where(Run.key.in_(addresses), *_is_reusable()))
    return {run.seed: run for run in reusable}


async def get(session: AsyncSession, experiment_id: UUID) -> Experiment:
    """The experiment with this id.

    Raises:
        NotFound: no experiment has this id.
    """
    experiment = await session.get(Experiment, experiment_id)
    if experiment is None:
        raise NotFound("experiment", experiment_id)
    return experiment


async def page(
    session: AsyncSession,
    *,
    size: int,
    after: tuple[datetime, UUID] | None,
    wanted: Wanted = EVERYTHING,
) -> Sequence[Experiment]:
    """Up to `size` experiments, without specs and notes, newest first, after this time and id."""
    light = select(Experiment).options(
        defer(Experiment.spec, raiseload=True), defer(Experiment.note, raiseload=True)
    )
    return (await session.scalars(newest_first(light, Experiment, wanted, size, after))).all()


async def runs_of(session: AsyncSession, experiment_id: UUID) -> Sequence[Run]:
    """The runs of an experiment, in the order of their seeds."""
    query = (
        select(Run)
        .join(ExperimentRun, ExperimentRun.run_id == Run.id)
        .where(ExperimentRun.experiment_id == experiment_id)
        .order_by(ExperimentRun.position)
    )
    return (await session.scalars(query)).all()


async def of_run(session: AsyncSession, run_id: UUID) -> Sequence[Experiment]:
    """The experiments that asked for a run, the oldest first."""
    query = (
        select(Experiment)
        .join(ExperimentRun, ExperimentRun.experiment_id == Experiment.id)
        .where(ExperimentRun.run_id == run_id)
        .order_by(Experiment.created_at)
    )
    return (await session.scalars(query)).all()


async def states_of_runs(
    session: AsyncSession, experiment_ids: Sequence[UUID]
) -> dict[UUID, Counter[RunState]]:
    """How many runs of each experiment are in each state."""
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
    """The state of an experiment, derived from the states of its runs; unfinished runs come first.

    A cancelled experiment stays cancelled, whatever becomes of runs that it shares with others.
    """
    if experiment.cancelled_at is not None:
        return RunState.CANCELLED
    return next((state for state in BY_RANK if counts[state]), BY_RANK[-1])


async def cancel(session: AsyncSession, experiment_id: UUID) -> Sequence[Run]:
    """Mark an experiment as cancelled, and lock its unfinished runs.

    Returns:
        The unfinished runs that no other experiment wants.

    Raises:
        NotFound: no experiment has this id.
        Conflict: the experiment was not cancelled, and all its runs have ended.
    """
    experiment = await session.get(
        Experiment, experiment_id, with_for_update=True, populate_existing=True
    )
    if experiment is None:
        raise NotFound("experiment", experiment_id)
    unfinished = await _unfinished_runs(session, experiment_id)
    if experiment.cancelled_at is None and not unfinished:
        raise Conflict(f"experiment {experiment_id} has already ended: none of its runs goes on")
    experiment.cancelled_at = experiment.cancelled_at or await session.scalar(select(func.now()))
    await session.flush()
    return await _unwanted(session, unfinished, experiment_id)


async def unshared_runs(session: AsyncSession, experiment_id: UUID) -> Sequence[Run]:
    """The unfinished runs of an experiment that no other experiment wants, locked."""
    unfinished = await _unfinished_runs(session, experiment_id)
    return await _unwanted(session, unfinished, experiment_id)


async def _unfinished_runs(session: AsyncSession, experiment_id: UUID) -> Sequence[Run]:
    """The unfinished runs of an experiment, locked so that no other experiment can adopt them.

    They are locked by seed, as `create` locks them, so that the two cannot deadlock. An agent may
    have claimed one since the session read it, so all are read anew, but for their specs, which
    are most of what there is to read.
    """
    query = (
        select(Run)
        .join(ExperimentRun, ExperimentRun.run_id == Run.id)
        .where(ExperimentRun.experiment_id == experiment_id, Run.finished_at.is_(None))
        .order_by(Run.seed)
        .with_for_update(of=Run)
        .options(defer(Run.spec))
        .execution_options(populate_existing=True)
    )
    return (await session.scalars(query)).all()


async def _unwanted(
    session: AsyncSession, runs: Sequence[Run], experiment_id: UUID
) -> Sequence[Run]:
    """The runs among these that no experiment but this one wants."""
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
