"""What pages need to know of rows besides what the API answers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import Select, Text, cast, func, literal, select, type_coerce
from sqlalchemy.dialects.postgresql import JSONB, aggregate_order_by, distinct_on
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.deletions import is_deleted
from service.storage.errors import NotFound
from service.storage.evaluations import evaluations_at, newest_steps
from service.storage.filters import dataset_of, model_of
from service.storage.states import RunState
from service.storage.study_tables import Study, Trial
from service.storage.tables import Experiment, ExperimentRun, FindingsRow, Run

K = TypeVar("K", Run, Study)


async def rows_of(session: AsyncSession, kind: type[K], ids: Sequence[UUID]) -> list[K]:
    """The runs or studies with these ids, in this order.

    Raises:
        NotFound: there is none with one of these ids, or it was deleted.
    """
    query = select(kind).where(kind.id.in_(ids), ~is_deleted(kind.id))
    found = {row.id: row for row in await session.scalars(query)}
    missing = [id for id in ids if id not in found]
    if missing:
        raise NotFound(kind.__name__.lower(), missing[0])
    return [found[id] for id in ids]


async def standing_of_runs(session: AsyncSession, runs: Select[UUID]) -> str | None:
    """A word that changes whenever the state or the progress of one of these runs changes.

    Args:
        session: Reads rows alone.
        runs: The ids of the runs that count.
    """
    of_run = func.concat_ws(" ", Run.id, Run.state, Run.attempt, cast(Run.progress, Text))
    of_runs = select(func.md5(func.string_agg(of_run, aggregate_order_by(literal("\n"), Run.id))))
    return await session.scalar(of_runs.where(Run.id.in_(runs)))


async def standing_of_run(session: AsyncSession, run_id: UUID) -> tuple[str | None, str | None]:
    """Words that change whenever the run does, or when its findings are asked for or made."""
    findings = cast(func.row(FindingsRow.state, FindingsRow.asked_at), Text)
    of_findings = await session.scalar(select(findings).where(FindingsRow.run_id == run_id))
    return await standing_of_runs(session, select(Run.id).where(Run.id == run_id)), of_findings


@dataclass(frozen=True)
class StudyStanding:
    """Words, each of which changes whenever what it stands for changes; None for what is not."""

    itself: str | None
    trials: str | None
    #: The runs of its trials, with their progress.
    runs: str | None


async def standing_of_study(session: AsyncSession, study_id: UUID) -> StudyStanding:
    row = cast(func.row(*Study.__table__.columns), Text)
    itself = await session.scalar(select(func.md5(row)).where(Study.id == study_id))
    of_trial = func.concat_ws(" ", Trial.number, Trial.state)
    of_trials = select(
        func.md5(func.string_agg(of_trial, aggregate_order_by(literal("\n"), Trial.number)))
    )
    trials = await session.scalar(of_trials.where(Trial.study_id == study_id))
    its_runs = (
        select(ExperimentRun.run_id)
        .join(Trial, Trial.experiment_id == ExperimentRun.experiment_id)
        .where(Trial.study_id == study_id)
    )
    return StudyStanding(itself, trials, await standing_of_runs(session, its_runs))


async def newest_evaluations(
    session: AsyncSession, run_ids: Sequence[UUID]
) -> dict[UUID, Mapping[str, Any]]:
    """The newest evaluation of each run; runs without evaluations are missing."""
    steps = await newest_steps(session, run_ids)
    rows = await evaluations_at(session, steps.items())
    return {row.run_id: row.evaluation for row in rows}


async def in_work(session: AsyncSession) -> Sequence[Run]:
    """The runs that are trained now, the oldest attempt first."""
    query = select(Run).where(Run.state == RunState.RUNNING).order_by(Run.started_at, Run.id)
    return (await session.scalars(query)).all()


@dataclass(frozen=True)
class TrialRun:
    """What is shown of a run of a trial; a `Run` of each of thousands would take much longer."""

    id: UUID
    seed: int
    state: RunState
    status_message: str | None
    progress: Mapping[str, Any] | None


async def runs_of_study(session: AsyncSession, study_id: UUID) -> dict[UUID, list[TrialRun]]:
    """The runs of each experiment of a study, in the order of their seeds."""
    rows = await session.execute(
        select(Trial.experiment_id, Run.id, Run.seed, Run.state, Run.status_message, Run.progress)
        .join(ExperimentRun, ExperimentRun.experiment_id == Trial.experiment_id)
        .join(Run, Run.id == ExperimentRun.run_id)
        .where(Trial.study_id == study_id)
        .order_by(Trial.number, ExperimentRun.position)
    )
    runs: dict[UUID, list[TrialRun]] = {}
    for row in rows:
        shown = TrialRun(row.id, row.seed, row.state, row.status_message, row.progress)
        runs.setdefault(row.experiment_id, []).append(shown)
    return runs


@dataclass(frozen=True)
class TrialOf:
    """The trial of a study that an experiment is."""

    study_id: UUID
    #: Empty if nobody has named the study.
    study: str
    number: int


async def tried_by(session: AsyncSession, experiment_ids: Sequence[UUID]) -> dict[UUID, TrialOf]:
    """The trial that each of these experiments is; those that no study began are missing."""
    rows = await session.execute(
        select(Trial.experiment_id, Study.id, Study.name, Trial.number)
        .join(Study, Study.id == Trial.study_id)
        .where(Trial.experiment_id.in_(experiment_ids))
    )
    return {row.experiment_id: TrialOf(row.id, row.name, row.number) for row in rows}


@dataclass(frozen=True)
class Wanter:
    """The oldest of the experiments that asked for a run."""

    id: UUID
    name: str
    #: The trial that it is; None if no study began it.
    trial: TrialOf | None
    #: How many more experiments asked for the run.
    others: int


async def wanted_by(session: AsyncSession, run_ids: Sequence[UUID]) -> dict[UUID, Wanter]:
    """The oldest experiment that asked for each run; every run has one until it is deleted."""
    wanters = {}
    for run_id, id, name, study_id, study, trial, others in await session.execute(
        oldest_wanters(run_ids)
    ):
        of_study = TrialOf(study_id, study, trial) if study_id else None
        wanters[run_id] = Wanter(id, name, of_study, others)
    return wanters


def oldest_wanters(runs: Sequence[UUID] | Select[UUID]) -> Select[*tuple[Any, ...]]:
    """Each of these runs with what `wanted_by` says of it."""
    run = ExperimentRun.run_id
    return (
        select(
            run,
            Experiment.id.label("experiment_id"),
            Experiment.name.label("experiment"),
            Study.id.label("study_id"),
            Study.name.label("study"),
            Trial.number.label("trial"),
            (func.count().over(partition_by=run) - 1).label("others"),
        )
        .ext(distinct_on(run))
        .select_from(ExperimentRun)
        .join(Experiment, Experiment.id == ExperimentRun.experiment_id)
        .outerjoin(Trial, Trial.experiment_id == Experiment.id)
        .outerjoin(Study, Study.id == Trial.study_id)
        .where(run.in_(runs))
        .order_by(run, Experiment.created_at, Experiment.id)
    )


@dataclass(frozen=True)
class Trained:
    """What an experiment or a study trains."""

    dataset: str
    model: str
    #: The part of the spec that says what the model is.
    network: Mapping[str, Any]
    #: The searched fields of a study; None for an experiment.
    search: Mapping[str, Any] | None


async def trained(
    session: AsyncSession, kind: type[Experiment] | type[Study], ids: Sequence[UUID]
) -> dict[UUID, Trained]:
    """What each of these experiments or studies trains, without the rest of its spec."""
    spec = type_coerce(kind.spec, JSONB)
    network = spec["base"]["model"] if kind is Study else spec["model"]
    rows = await session.execute(
        select(kind.id, dataset_of(kind), model_of(kind), network, spec["search"]).where(
            kind.id.in_(ids)
        )
    )
    return {row[0]: Trained(*row[1:]) for row in map(tuple, rows)}


async def runs_by_state(
    session: AsyncSession, study_ids: Sequence[UUID]
) -> dict[UUID, Counter[RunState]]:
    """How many runs of each study are in each state."""
    rows = await session.execute(
        select(Trial.study_id, Run.state, func.count(Run.id.distinct()))
        .join(ExperimentRun, ExperimentRun.experiment_id == Trial.experiment_id)
        .join(Run, Run.id == ExperimentRun.run_id)
        .where(Trial.study_id.in_(study_ids))
        .group_by(Trial.study_id, Run.state)
    )
    counts: dict[UUID, Counter[RunState]] = {id: Counter() for id in study_ids}
    for study_id, state, count in rows:
        counts[study_id][state] = count
    return counts
