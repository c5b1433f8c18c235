"""Removes from MLflow what was deleted; repeating it changes nothing."""

from collections.abc import Iterator, Mapping

from service.storage import deletions
from service.storage.database import Database
from service.storage.deletions import Deletion
from workers.tracking import run_entries, saved_view, study_entries
from workers.tracking.server import MLflowRefused, MLflowServer


async def remove_deleted(database: Database, mlflow: MLflowServer) -> None:
    """Remove the runs of everything that was deleted, and experiments that have no run left.

    They are found by their tags, because MLflow may have a run whose id was never stored.

    Raises:
        DatabaseAway: the database does not answer.
        MLflowAway: MLflow does not answer.
        MLflowRefused: MLflow does not remove some of it; all else is removed.
    """
    async with database.transaction() as session:
        deleted = await deletions.in_mlflow(session)
    if not deleted:
        return
    gone, refusal = [], None
    for deletion in deleted:
        try:
            for marks in _marks(deletion):
                await mlflow.remove_runs(marks)
        except MLflowRefused as error:
            refusal = error
        else:
            gone.append(deletion.id)
    (of_ours,) = saved_view.experiment_tags()
    await mlflow.remove_empty_experiments(tag=of_ours)
    async with database.transaction() as session:
        for id in gone:
            await deletions.removed(session, id, in_mlflow=False)
    if refusal is not None:
        raise refusal


def _marks(deletion: Deletion) -> Iterator[Mapping[str, str]]:
    """The tags of its runs: those of a study are the study and its trials, not their runs."""
    if deletion.kind == deletions.RUN:
        yield run_entries.marks(deletion.id)
    if deletion.kind == deletions.STUDY:
        yield from study_entries.marks_of_all(deletion.id)
