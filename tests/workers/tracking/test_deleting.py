"""What was deleted disappears from a real MLflow, and nothing else does."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest
from mlflow import MlflowClient
from sqlalchemy import select

from polar.spec import StudySpec
from service.storage import deletions, experiments
from service.storage.database import Database
from service.storage.deletions import Deletion
from service.storage.tables import ExperimentRun
from workers.tracking import run_entries
from workers.tracking.server import MLflowAway, MLflowRefused, MLflowServer
from workers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from tests.processes import Mlflow
    from tests.workers.tracking.conftest import Story, StudyStory, TrackerMaker

DIGEST = "d" * 64

Delete = Callable[[UUID], Awaitable[Deletion]]


@pytest.fixture(autouse=True)
def _nothing_is_in_mlflow(client: MlflowClient) -> None:
    """All tests share a server, on which others may have left runs."""
    for found in client.search_experiments():
        if found.name != "Default":
            client.rename_experiment(found.experiment_id, f"left by others {uuid4()}")
            client.delete_experiment(found.experiment_id)


@pytest.fixture
def delete(database: Database) -> Delete:
    """Deletes the experiment of a run."""

    async def delete(run_id: UUID) -> Deletion:
        query = select(ExperimentRun.experiment_id).where(ExperimentRun.run_id == run_id)
        async with database.transaction() as session:
            for experiment_id in await session.scalars(query):
                deletion = await deletions.delete_experiment(session, experiment_id)
        return deletion

    return delete


@pytest.fixture
def files(mlflow: "Mlflow") -> Callable[[], set[Path]]:
    def files() -> set[Path]:
        return {path for path in mlflow._folder.rglob("*.*") if path.name != "mlflow.log"}

    before = files()
    return lambda: files() - before


async def awaited(database: Database) -> list[UUID]:
    async with database.transaction() as session:
        return [deletion.id for deletion in await deletions.in_mlflow(session)]


def experiments_of(client: MlflowClient) -> set[str]:
    return {found.name for found in client.search_experiments()} - {"Default"}


async def test_a_deleted_run_and_its_files_and_then_its_experiment_disappear(
    tracker: Tracker,
    story: "Story",
    delete: Delete,
    database: Database,
    client: MlflowClient,
    files: Callable[[], set[Path]],
) -> None:
    first, second = await story.succeed(), await story.succeed()
    await tracker.tell_all()
    before = files()

    await delete(first)
    await tracker.tell_all()
    half = files()

    assert story.in_mlflow(first) == []
    assert len(story.in_mlflow(second)) == 1
    assert half < before
    assert experiments_of(client) == {"beta_vae-digits"}
    await delete(second)
    await tracker.tell_all()
    assert files() == set()
    assert experiments_of(client) == set()
    assert await awaited(database) == []
    again = await story.succeed()
    await tracker.tell_all()
    assert len(story.in_mlflow(again)) == 1
    assert story.in_mlflow(first) == story.in_mlflow(second) == []
    assert experiments_of(client) == {"beta_vae-digits"}


async def test_a_tracker_that_was_killed_before_it_could_trash_an_experiment_does_it_later(
    tracker: Tracker, story: "Story", delete: Delete, client: MlflowClient
) -> None:
    run_id = await story.succeed()
    await tracker.tell_all()
    (found,) = [each for each in client.search_experiments() if each.name != "Default"]
    renamed = f"{found.name} (deleted, {found.experiment_id})"
    client.rename_experiment(found.experiment_id, renamed)
    await delete(run_id)

    await tracker.tell_all()

    assert experiments_of(client) == set()
    trashed = client.get_experiment(found.experiment_id)
    assert trashed.name == renamed


async def test_what_mlflow_refuses_is_tried_again_later_and_hinders_nothing(
    tracker: Tracker,
    story: "Story",
    delete: Delete,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second, other = [await story.succeed() for _ in range(3)]
    await tracker.tell_all()
    await delete(first)
    await delete(other)
    remove = MLflowServer.remove_runs

    async def refuse(server: MLflowServer, marks: Mapping[str, str]) -> None:
        if marks == run_entries.marks(first):
            raise MLflowRefused("PERMISSION_DENIED", "not with this token")
        await remove(server, marks)

    with monkeypatch.context() as refusing:
        refusing.setattr(MLflowServer, "remove_runs", refuse)
        third = await story.succeed()
        for _ in range(2):
            await tracker.tell_all()

    assert caplog.text.count("MLflow keeps what was deleted") == 1
    assert await awaited(database) == [first]
    assert all(len(story.in_mlflow(run_id)) == 1 for run_id in (first, second, third))
    assert story.in_mlflow(other) == []


async def test_what_mlflow_was_never_told_of_is_not_looked_for(
    story: "Story", delete: Delete, database: Database, tracker: Tracker
) -> None:
    run_id = await story.succeed()
    await delete(run_id)

    await tracker.tell_all()

    assert story.in_mlflow(run_id) == []
    assert await awaited(database) == []


async def test_a_run_whose_place_was_never_stored_disappears_too(
    make_tracker: "TrackerMaker", story: "Story", delete: Delete
) -> None:
    run_id = await story.succeed()
    await (tracker := make_tracker()).tell_all()
    await story.forget(run_id)  # as if the tracker had been killed before it could store it
    await delete(run_id)

    await tracker.tell_all()

    assert story.in_mlflow(run_id) == []


async def test_mlflow_may_be_away_when_something_is_deleted(
    make_tracker: "TrackerMaker",
    story: "Story",
    delete: Delete,
    nobody: MLflowServer,
    database: Database,
) -> None:
    run_id = await story.succeed()
    await (tracker := make_tracker()).tell_all()
    await tracker.close()
    await delete(run_id)

    with pytest.raises(MLflowAway):
        await (lonely := make_tracker(server=nobody)).tell_all()
    await lonely.close()

    assert await awaited(database) == [run_id]
    await make_tracker().tell_all()
    assert story.in_mlflow(run_id) == []


async def test_a_study_disappears_with_its_trials_but_not_with_runs_that_others_have(
    tracker: Tracker,
    study_story: "StudyStory",
    story: "Story",
    study_spec_of_two_seeds: StudySpec,
    database: Database,
) -> None:
    study_id = await study_story.begin(study_spec_of_two_seeds)
    mine, shared = await study_story.begin_trial(study_id, 0, 0.1)
    for run_id in (mine, shared):
        await story.finish(run_id)
    await study_story.end_trial(study_id, 0)
    await study_story.end(study_id)
    async with database.transaction() as session:
        spec = study_spec_of_two_seeds.experiment({"model.beta": 0.1}).for_seed(1)
        assert (await experiments.create(session, spec, DIGEST)).new == []
    await tracker.tell_all()
    assert len(study_story.trials_in_mlflow(study_id)) == 1

    async with database.transaction() as session:
        await deletions.delete_study(session, study_id)
    await tracker.tell_all()

    with pytest.raises(ValueError, match="not enough values"):
        study_story.in_mlflow(study_id)
    assert study_story.trials_in_mlflow(study_id) == []
    assert story.in_mlflow(mine) == []
    assert len(story.in_mlflow(shared)) == 1
    assert await awaited(database) == []
    assert await study_story.is_told()
