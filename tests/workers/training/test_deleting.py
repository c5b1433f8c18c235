"""The files of deleted runs, which agents remove once nobody works on them, and their rows."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from optuna.storages import InMemoryStorage
from sqlalchemy import func, select, update

from polar.data import catalogue
from polar.records.events import ArtifactSaved
from polar.spec import ExperimentSpec
from service import queue
from service.storage import deletions, experiments, findings, runs
from service.storage.errors import RunLost
from service.storage.states import RunState
from service.storage.tables import Base, FindingsRow, Run, Tracking
from service.studies.deleting import remove_deleted as remove_rows
from workers.training import deleting
from workers.training.deleting import remove_deleted
from workers.training.patience import PatientDatabase

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conftest import Reports
    from tests.processes import Stage

SPEC = ExperimentSpec.model_validate({"dataset": {"name": "digits"}, "model": {}})


class Lab:
    """Runs with rows in every table, and an agent that looks once."""

    def __init__(self, stage: "Stage", reports: "Reports") -> None:
        self._stage, self._reports = stage, reports
        self.database = stage.database
        self.artifacts = stage.settings.artifacts

    async def begin(self) -> "tuple[UUID, UUID]":
        """An experiment and its run, which writes; returns their ids."""
        async with self.database.transaction() as session:
            made = await experiments.create(session, SPEC, catalogue.digest("digits"))
            await queue.enqueue(self._stage.app, session, made.new)
            run_id = made.runs[0].id
            await runs.claim(session, run_id, "agent", 30.0)
            for event in (
                self._reports.progress(10),
                self._reports.evaluation(10),
                ArtifactSaved(name="model.safetensors", path=f"runs/{run_id}/attempt-1/out/a"),
                self._reports.result(SPEC).model_copy(update={"summary": None}),
            ):
                await runs.record(session, run_id, 1, event)
            position = Tracking(run_id=run_id, mlflow_experiment_id="1", mlflow_run_id="2")
            session.add(position)
        folder = self.folder(run_id) / "attempt-1" / "out"
        folder.mkdir(parents=True)
        (folder / "a").write_text("content")
        return made.experiment.id, run_id

    async def succeed(self) -> "tuple[UUID, UUID]":
        ids = await self.begin()
        async with self.database.transaction() as session:
            await runs.finish(session, ids[1], 1, RunState.SUCCEEDED)
        return ids

    def folder(self, run_id: "UUID") -> Path:
        return self.artifacts / "runs" / str(run_id)

    async def delete(self, experiment_id: "UUID") -> None:
        async with self.database.transaction() as session:
            await deletions.delete_experiment(session, experiment_id)

    async def look(self) -> None:
        """Let an agent and then a broker look once."""
        await remove_deleted(self.artifacts, PatientDatabase(self.database))
        await remove_rows(self.database, InMemoryStorage())

    async def rows(self, run_id: "UUID") -> set[str]:
        """The tables that know a run."""
        known = set()
        async with self.database.transaction() as session:
            for table in Base.metadata.sorted_tables:
                column = table.c.id if table.name == "runs" else table.c.get("run_id")
                if column is not None and await session.scalar(
                    select(func.count()).where(column == run_id)
                ):
                    known.add(table.name)
        return known


@pytest.fixture
def lab(stage: "Stage", reports: "Reports") -> Lab:
    return Lab(stage, reports)


async def test_nothing_is_left_of_a_deleted_run_and_all_of_others(lab: Lab) -> None:
    experiment_id, run_id = await lab.succeed()
    before = await lab.rows(run_id)
    await lab.delete(experiment_id)
    _, other = await lab.succeed()

    await lab.look()

    assert before == {
        "artifacts", "evaluations", "experiment_runs", "findings", "metrics", "runs", "tracking",
        "transitions",
    }  # fmt: skip
    assert await lab.rows(run_id) == set()
    assert not lab.folder(run_id).exists()
    assert await lab.rows(other) == before
    assert (lab.folder(other) / "attempt-1" / "out" / "a").read_text() == "content"


async def test_an_agent_that_was_killed_between_files_and_rows_is_followed_by_another(
    lab: Lab,
) -> None:
    experiment_id, run_id = await lab.succeed()
    await lab.delete(experiment_id)
    (lab.folder(run_id) / "attempt-1" / "out" / "a").unlink()
    (lab.folder(run_id) / "attempt-1" / "out").rmdir()

    await lab.look()
    await lab.look()

    assert await lab.rows(run_id) == set()
    assert not lab.folder(run_id).exists()


async def test_files_that_cannot_be_removed_keep_their_rows_until_they_can(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, stuck = await lab.succeed()
    await lab.delete(first)
    second, run_id = await lab.succeed()
    await lab.delete(second)
    with monkeypatch.context() as broken:
        broken.setattr("workers.training.deleting._remove_folder", _refusing(lab.folder(stuck)))
        await lab.look()

    assert await lab.rows(run_id) == set()
    assert "runs" in await lab.rows(stuck)
    await lab.look()
    assert await lab.rows(stuck) == set()


def _refusing(stuck: Path) -> Callable[[Path], None]:
    remove = deleting._remove_folder

    def refuse(folder: Path) -> None:
        if folder == stuck:
            raise PermissionError(f"{folder}: it is of another user")
        remove(folder)

    return refuse


async def test_a_run_that_is_being_stopped_keeps_its_files_until_it_has_ended(lab: Lab) -> None:
    experiment_id, run_id = await lab.begin()
    async with lab.database.transaction() as session:
        await queue.cancel_experiment(session, experiment_id)
    await lab.delete(experiment_id)

    await lab.look()
    while_it_stops = await lab.rows(run_id)
    async with lab.database.transaction() as session:
        assert await runs.renew(session, run_id, 1, 30.0)  # its agent is told to stop it
        await runs.finish_on_request(session, run_id, 1)
    await lab.look()

    assert "runs" in while_it_stops
    assert await lab.rows(run_id) == set()
    assert not lab.folder(run_id).exists()


async def test_a_finder_at_work_notices_and_nothing_is_removed_before_its_lease_is_over(
    lab: Lab,
) -> None:
    experiment_id, run_id = await lab.succeed()
    digests = [catalogue.digest("digits")]
    async with lab.database.transaction() as session:
        claimed = await findings.claim(session, digests, 30.0, max_attempts=5)
    assert claimed is not None
    await lab.delete(experiment_id)

    await lab.look()
    assert lab.folder(run_id).exists()
    async with lab.database.transaction() as session:
        with pytest.raises(RunLost):
            await findings.renew(session, run_id, claimed.attempt, digests, 30.0)
        assert await findings.claim(session, digests, 30.0, max_attempts=5) is None
        over = func.now() - timedelta(seconds=1)
        await session.execute(update(FindingsRow).values(lease_until=over))
    await lab.look()

    assert not lab.folder(run_id).exists()
    assert await lab.rows(run_id) == set()


async def test_no_run_goes_on_from_a_deleted_one(lab: Lab) -> None:
    experiment_id, run_id = await lab.succeed()

    await lab.delete(experiment_id)

    async with lab.database.transaction() as session:
        run = await session.get_one(Run, run_id)
    assert (run.key, run.course, run.problem) == (None, None, None)
