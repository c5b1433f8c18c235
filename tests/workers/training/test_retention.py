"""What is removed of runs that ended long ago, and what never is."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import func, update

from polar.data import catalogue
from polar.records.events import LAST_STATE_FILE, MODEL_FILE, ArtifactSaved
from polar.spec import ExperimentSpec
from service.storage import experiments, runs
from service.storage.artifacts import artifacts_of
from service.storage.states import FindingsState, RunState
from service.storage.tables import FindingsRow, Run, Tracking
from workers.training import retention
from workers.training.patience import PatientDatabase
from workers.training.retention import keep_removing, remove_outdated

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conftest import Reports
    from tests.processes import Stage

SPEC = ExperimentSpec.model_validate({"dataset": {"name": "digits"}, "model": {}})
WEIGHTS = {MODEL_FILE, LAST_STATE_FILE}
FILES = {*WEIGHTS, "result.json", "figures/a.png"}


class Ended:
    """Makes runs that ended so many days ago, with all their files."""

    def __init__(self, stage: "Stage", reports: "Reports") -> None:
        self.stage = stage
        self._result = reports.result(SPEC)

    async def __call__(
        self,
        days: float,
        findings: FindingsState = FindingsState.MADE,
        *,
        is_tracked: bool | None = True,
    ) -> "UUID":
        async with self.stage.database.transaction() as session:
            digest = catalogue.digest("digits")
            (run,) = (await experiments.create(session, SPEC, digest, force=True)).runs
        folder = self.stage.settings.artifacts / "runs" / str(run.id)
        async with self.stage.database.transaction() as session:
            await runs.claim(session, run.id, "agent", 30.0)
            for name in FILES:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_text("content")
                saved = ArtifactSaved(name=name, path=f"runs/{run.id}/{name}")
                await runs.record(session, run.id, 1, saved)
            await runs.record(session, run.id, 1, self._result)
            await runs.finish(session, run.id, 1, RunState.SUCCEEDED)
            ended_at = func.now() - timedelta(days=days)
            await session.execute(update(Run).where(Run.id == run.id).values(finished_at=ended_at))
            await session.merge(FindingsRow(run_id=run.id, state=findings))
            if is_tracked is not None:
                position = Tracking(run_id=run.id, complete=is_tracked)
                position.mlflow_experiment_id = position.mlflow_run_id = "1"
                session.add(position)
        return run.id

    async def kept(self, run_id: "UUID") -> set[str]:
        """The names of the files of a run in the database, which are those on the disk."""
        async with self.stage.database.transaction() as session:
            known = {file.name for file in await artifacts_of(session, run_id)}
        folder = self.stage.settings.artifacts / "runs" / str(run_id)
        assert {str(path.relative_to(folder)) for path in folder.rglob("*.*")} == known
        return known

    async def remove(self, days: float = 7) -> None:
        """Let an agent look once."""
        database = PatientDatabase(self.stage.database)
        await remove_outdated(self.stage.settings.artifacts, days, database)


@pytest.fixture
def ended(stage: "Stage", reports: "Reports") -> Ended:
    return Ended(stage, reports)


async def test_only_weights_are_removed_and_only_after_their_time(ended: Ended) -> None:
    old, young = await ended(days=8), await ended(days=6)

    await ended.remove()

    assert await ended.kept(old) == FILES - WEIGHTS
    assert await ended.kept(young) == FILES


class Looked(Exception):
    """Ends the loop of an agent after its first look."""


@pytest.mark.parametrize("days", [None, 7.0])
async def test_an_agent_removes_weights_only_where_a_time_is_set(
    days: float | None, stage: "Stage", monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[float] = []

    async def remove(_artifacts: Path, days: float, _database: PatientDatabase) -> None:
        removed.append(days)

    async def pause(_seconds: float) -> None:
        raise Looked

    monkeypatch.setattr(retention, "remove_outdated", remove)
    monkeypatch.setattr(asyncio, "sleep", pause)
    settings = stage.settings.model_copy(update={"keep_weights_days": days})
    with pytest.raises(Looked):
        await keep_removing(settings, PatientDatabase(stage.database), stage.app)

    assert removed == ([] if days is None else [days])


async def test_weights_stay_until_the_findings_are_made_and_mlflow_has_its_copy(
    ended: Ended,
) -> None:
    without_findings = await ended(days=8, findings=FindingsState.TO_COME)
    to_ask_again = await ended(days=8, findings=FindingsState.FAILED)
    not_in_mlflow = await ended(days=8, is_tracked=False)
    unknown_to_mlflow = await ended(days=8, is_tracked=None)
    done = await ended(days=8)

    await ended.remove()

    assert await ended.kept(without_findings) == FILES
    assert await ended.kept(to_ask_again) == FILES
    assert await ended.kept(not_in_mlflow) == FILES
    assert await ended.kept(unknown_to_mlflow) == FILES
    assert await ended.kept(done) == FILES - WEIGHTS


async def test_more_files_than_fit_a_transaction_are_all_removed(
    ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.storage.artifacts.BATCH", 3)
    old = [await ended(days=8 + place) for place in range(3)]

    await ended.remove()

    assert [await ended.kept(run_id) for run_id in old] == [FILES - WEIGHTS] * 3


async def test_a_file_that_is_gone_already_leaves_no_row(ended: Ended) -> None:
    old = await ended(days=8)
    (ended.stage.settings.artifacts / "runs" / str(old) / MODEL_FILE).unlink()

    await ended.remove()

    assert await ended.kept(old) == FILES - WEIGHTS


async def test_what_cannot_be_removed_is_said_and_keeps_nothing_else(
    ended: Ended, caplog: pytest.LogCaptureFixture
) -> None:
    stuck, other = await ended(days=9), await ended(days=8)
    model = ended.stage.settings.artifacts / "runs" / str(stuck) / MODEL_FILE
    model.unlink()
    (model / "in the way.d").mkdir(parents=True)

    await ended.remove()

    assert caplog.text.count("outdated weights cannot be removed") == 1
    assert await ended.kept(other) == FILES - WEIGHTS
    (model / "in the way.d").rmdir()
    model.rmdir()
    await ended.remove()
    assert await ended.kept(stuck) == FILES - WEIGHTS
