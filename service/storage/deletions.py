"""Deletions: what is gone for users at once, and what is still to be removed of it elsewhere.

In the transaction of a request, an experiment or a study loses its rows, and each of its runs that
nothing else refers to gets a row here, which hides it and keeps others from using it. Whoever may
write somewhere removes what is there, and may be killed and repeat it: the agents the files of
runs that nobody works on any more, the broker their rows after that and what Optuna has, the
tracker what MLflow has. The rows here stay, so that a repeated request gets the first answer.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ColumnElement,
    Index,
    delete,
    exists,
    func,
    select,
    text,
    update,
)
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import InstrumentedAttribute, Mapped, mapped_column

from service.storage import webhooks
from service.storage.answered_posts import AnsweredPost
from service.storage.errors import Conflict, NotFound
from service.storage.states import FindingsState, StudyState
from service.storage.study_tables import Study, Trial
from service.storage.tables import (
    Artifact,
    Base,
    EvaluationRow,
    Experiment,
    ExperimentRun,
    FindingsRow,
    Metric,
    Run,
    Tracking,
    Transition,
)
from service.storage.telling import tell_of_runs_again
from service.storage.tracking_tables import StudyTracking, TrackingFailure

EXPERIMENT, RUN, STUDY = "experiment", "run", "study"
#: Most runs that are removed, or things that MLflow is rid of, between two looks at the table.
BATCH = 50


class Deletion(Base):
    """An experiment, a run or a study that was deleted, and who still has something of it."""

    __tablename__ = "deletions"

    #: Id of what was deleted.
    id: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    deleted_at: Mapped[datetime] = mapped_column(server_default=func.now())
    #: Whether there may be files of a run, and after them rows.
    in_files: Mapped[bool] = mapped_column(default=False)
    in_rows: Mapped[bool] = mapped_column(default=False)
    in_mlflow: Mapped[bool] = mapped_column(default=False)
    in_optuna: Mapped[bool] = mapped_column(default=False)

    __table_args__ = (
        CheckConstraint("kind in ('experiment', 'run', 'study')", name="kind"),
        Index(
            "ix_deletions_unfinished",
            "id",
            postgresql_where=text("in_files or in_rows or in_mlflow or in_optuna"),
        ),
    )


def is_deleted(id: ColumnElement[UUID] | InstrumentedAttribute[UUID]) -> ColumnElement[bool]:
    """Whether what has this id was deleted, although some of its rows may still be there."""
    return exists().where(Deletion.id == id)


async def of(session: AsyncSession, id: UUID) -> Deletion | None:
    """The deletion of what had this id; None if it was not deleted, or never existed."""
    return await session.get(Deletion, id)


async def delete_experiment(session: AsyncSession, experiment_id: UUID) -> Deletion:
    """Delete an experiment, and those of its runs that no other experiment has.

    Raises:
        NotFound: no experiment has or had this id.
        Conflict: it goes on, or is a trial of a study.
    """
    experiment = await session.get(Experiment, experiment_id, with_for_update=True)
    if experiment is None:
        return await _deleted_before(session, EXPERIMENT, experiment_id)
    trial = await session.scalar(select(Trial).where(Trial.experiment_id == experiment_id))
    if trial is not None:
        raise Conflict(_belongs_to(f"experiment {experiment_id}", trial))
    shared = await _delete_experiments(session, f"experiment {experiment_id}", [experiment_id])
    await tell_of_runs_again(session, shared)  # they lose what it has said of them
    return await session.get_one(Deletion, experiment_id)


async def delete_run(session: AsyncSession, run_id: UUID) -> Deletion:
    """Delete a run that one experiment has, which is deleted as well if it has no other.

    Raises:
        NotFound: no run has or had this id.
        Conflict: it goes on, several experiments have it, or a study has it.
    """
    owners = await _owners_locked(session, run_id)
    run = await session.get(Run, run_id, with_for_update=True, populate_existing=True)
    if run is None or await of(session, run_id):
        return await _deleted_before(session, RUN, run_id)
    what = f"run {run_id}"
    if run.finished_at is None and not run.cancel_requested:
        raise Conflict(_goes_on(what, run_id, run.state))
    query = select(ExperimentRun.experiment_id).where(ExperimentRun.run_id == run_id)
    if set(await session.scalars(query)) != set(owners) or len(owners) > 1:
        raise Conflict(f"{what} belongs to several experiments; delete those: {_named(owners)}")
    trial = await session.scalar(select(Trial).where(Trial.experiment_id.in_(owners)))
    if trial is not None:
        raise Conflict(_belongs_to(what, trial))
    runs_of_owner = (
        select(func.count()).select_from(ExperimentRun)
        .where(ExperimentRun.experiment_id.in_(owners))
    )  # fmt: skip
    if await session.scalar(runs_of_owner) == 1:
        await _delete_experiments(session, what, owners)
    else:
        await session.execute(delete(ExperimentRun).where(ExperimentRun.run_id == run_id))
        await _hide_runs(session, [run_id])
    return await session.get_one(Deletion, run_id)


async def delete_study(session: AsyncSession, study_id: UUID) -> Deletion:
    """Delete a study with its trials, and those of their runs that no other experiment has.

    Raises:
        NotFound: no study has or had this id.
        Conflict: the study or one of its runs goes on.
    """
    study = await session.get(Study, study_id, with_for_update=True)
    if study is None:
        return await _deleted_before(session, STUDY, study_id)
    what = f"study {study_id}"
    if study.state in (StudyState.RUNNING, StudyState.PAUSED):
        raise Conflict(
            f"{what} is {study.state}; cancel it first: `polar study cancel {study_id}`"
        )
    await webhooks.notice_for_all(session)
    tried = select(Trial.experiment_id).where(Trial.study_id == study_id)
    experiment_ids = list(await session.scalars(tried))
    await session.execute(delete(StudyTracking).where(StudyTracking.study_id == study_id))
    await session.execute(delete(Trial).where(Trial.study_id == study_id))
    await _delete_experiments(session, what, experiment_ids)
    await session.execute(delete(Study).where(Study.id == study_id))
    deletion = Deletion(id=study_id, kind=STUDY, in_mlflow=True, in_optuna=True)
    await _note(session, [deletion])
    return deletion


async def _deleted_before(session: AsyncSession, kind: str, id: UUID) -> Deletion:
    deletion = await of(session, id)
    if deletion is None or deletion.kind != kind:
        raise NotFound(kind, id)
    return deletion


async def _owners_locked(session: AsyncSession, run_id: UUID) -> Sequence[UUID]:
    """The experiments that have a run, locked before it, as `experiments.cancel` does."""
    query = (
        select(Experiment.id)
        .join(ExperimentRun, ExperimentRun.experiment_id == Experiment.id)
        .where(ExperimentRun.run_id == run_id)
        .order_by(Experiment.id)
        .with_for_update(of=Experiment)
    )
    return (await session.scalars(query)).all()


async def _delete_experiments(
    session: AsyncSession, what: str, experiment_ids: Collection[UUID]
) -> Collection[UUID]:
    """Delete experiments that are no trials (any more), and the runs that only they have.

    The runs are locked by seed, as `experiments.create` locks them, so that no new experiment can
    share one that is about to disappear.

    Returns:
        The ids of their runs that other experiments have, too.
    """
    rows = await session.execute(
        select(Run.id, Run.state, Run.cancel_requested, Experiment.cancelled_at)
        .join(ExperimentRun, ExperimentRun.run_id == Run.id)
        .join(Experiment, Experiment.id == ExperimentRun.experiment_id)
        .where(Experiment.id.in_(experiment_ids))
        .order_by(Run.seed, Run.id)
        .with_for_update(of=Run)
    )
    run_ids = []
    for run_id, state, cancel_requested, cancelled_at in rows:
        if not (state.is_final or cancel_requested or cancelled_at):
            raise Conflict(_goes_on(what, run_id, state))
        run_ids.append(run_id)
    await session.execute(
        delete(ExperimentRun).where(ExperimentRun.experiment_id.in_(experiment_ids))
    )
    await session.execute(delete(Experiment).where(Experiment.id.in_(experiment_ids)))
    await _note(session, [Deletion(id=id, kind=EXPERIMENT) for id in experiment_ids])
    others = select(ExperimentRun.run_id).where(ExperimentRun.run_id.in_(run_ids))
    shared = set(await session.scalars(others))
    await _hide_runs(session, set(run_ids) - shared)
    return shared


async def _hide_runs(session: AsyncSession, run_ids: Collection[UUID]) -> None:
    """Let nobody see, share, or go on from these runs, nor make their findings."""
    nowhere = {"key": None, "problem": None, "course": None}
    hidden = await session.execute(
        update(Run).where(Run.id.in_(run_ids)).values(nowhere).returning(Run.id, Run.attempt)
    )
    deletions = [
        Deletion(id=id, kind=RUN, in_files=True, in_rows=True, in_mlflow=attempt > 0)
        for id, attempt in hidden
    ]
    await _end_findings(session, run_ids)
    await _note(session, deletions)


async def _end_findings(session: AsyncSession, run_ids: Collection[UUID]) -> None:
    """End these findings; a lease stays, so that nothing is removed while somebody may write."""
    await session.execute(
        update(FindingsRow)
        .where(FindingsRow.run_id.in_(run_ids), FindingsRow.state == FindingsState.TO_COME)
        .values(state=FindingsState.FAILED, reason="deleted", message="the run was deleted")
    )


async def _note(session: AsyncSession, deletions: Sequence[Deletion]) -> None:
    ids = [deletion.id for deletion in deletions]
    await session.execute(delete(TrackingFailure).where(TrackingFailure.id.in_(ids)))
    # A repeated POST would be answered with what is gone; so it is carried out anew.
    made = func.right(AnsweredPost.location, 36)
    await session.execute(delete(AnsweredPost).where(made.in_([str(id) for id in ids])))
    session.add_all(deletions)
    await session.flush()


def _goes_on(what: str, run_id: UUID, state: str) -> str:
    whose = "it" if what == f"run {run_id}" else f"its run {run_id}"
    return f"{what} cannot be deleted while {whose} is {state}; cancel it first, or wait"


def _belongs_to(what: str, trial: Trial) -> str:
    return (
        f"{what} belongs to trial {trial.number} of a study; delete the whole study: "
        f"`polar study delete {trial.study_id}`"
    )


def _named(ids: Sequence[UUID]) -> str:
    more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
    return ", ".join(map(str, ids[:5])) + more


async def in_files(session: AsyncSession, without: Collection[UUID] = ()) -> Sequence[UUID]:
    """Deleted runs whose files may be removed: nobody trains them or makes their findings."""
    is_trained = exists().where(Run.id == Deletion.id, Run.finished_at.is_(None))
    is_looked_at = exists().where(
        FindingsRow.run_id == Deletion.id, FindingsRow.lease_until > func.now()
    )
    query = (
        select(Deletion.id)
        .where(Deletion.in_files, Deletion.id.not_in(without), ~is_trained, ~is_looked_at)
        .limit(BATCH)
    )
    return (await session.scalars(query)).all()


async def in_rows(session: AsyncSession) -> Sequence[UUID]:
    """Deleted runs whose files are gone, so that their rows may follow."""
    query = select(Deletion.id).where(Deletion.in_rows, ~Deletion.in_files).limit(BATCH)
    return (await session.scalars(query)).all()


async def remove_rows(session: AsyncSession, run_id: UUID) -> None:
    """Delete all rows of a deleted run."""
    await webhooks.notice_for_all(session)
    for table in (FindingsRow, Metric, EvaluationRow, Artifact, Transition, Tracking):
        await session.execute(delete(table).where(table.run_id == run_id))
    await session.execute(delete(Run).where(Run.id == run_id))
    await removed(session, run_id, in_rows=False)


async def in_mlflow(session: AsyncSession) -> Sequence[Deletion]:
    """Some of the deleted things that MLflow may still have.

    They are drawn, so that many that MLflow refuses to remove are not in the way of others.
    """
    query = select(Deletion).where(Deletion.in_mlflow).order_by(func.random())
    return (await session.scalars(query.limit(BATCH))).all()


async def in_optuna(session: AsyncSession) -> Sequence[UUID]:
    """The deleted studies that Optuna may still have."""
    return (await session.scalars(select(Deletion.id).where(Deletion.in_optuna))).all()


async def removed(session: AsyncSession, id: UUID, **nowhere: bool) -> None:
    """Note where nothing is left of what was deleted, such as `in_mlflow=False`."""
    await session.execute(update(Deletion).where(Deletion.id == id).values(**nowhere))
