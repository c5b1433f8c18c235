"""`polar clean` on a real database and a real folder: what it says, and what it removes."""

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from procrastinate.exceptions import ConnectorException
from sqlalchemy import select, text
from typer.testing import CliRunner, Result

from polar.records.events import LAST_STATE_FILE, ArtifactSaved
from service.settings import Settings
from service.storage import findings, runs
from service.storage.database import Database
from service.storage.last_states import last_states_for
from service.storage.states import RunState
from service.storage.tables import Artifact
from tests.service.cli.specs import as_json

if TYPE_CHECKING:
    from uuid import UUID

    from tests.conftest import Reports
    from tests.service.conftest import SpecMaker, Submitter, Worker

#: What every attempt leaves, besides what a finished run keeps.
LEFT = ("log.txt", "checkpoints/step-10.pt", "out/.a.part", "out/notes.txt")


def look(*options: str) -> Result:
    from service.cli import app

    return CliRunner().invoke(app, ["clean", *options])


@pytest.fixture(autouse=True)
def artifacts(settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The artifact folder of the service that the environment describes."""
    monkeypatch.setenv("POLAR_DATABASE_URL", settings.database_url.get_secret_value())
    monkeypatch.setenv("POLAR_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("POLAR_MLFLOW_URL", "")
    (tmp_path / "artifacts").mkdir()
    return tmp_path / "artifacts"


class Runs:
    """Runs of two attempts in any state, with files."""

    def __init__(
        self,
        artifacts: Path,
        database: Database,
        submit: "Submitter",
        worker: "Worker",
        reports: "Reports",
        spec_of: "SpecMaker",
    ) -> None:
        self._artifacts, self._database = artifacts, database
        self._submit, self._worker, self._reports = submit, worker, reports
        self._spec = spec_of()

    async def begin(self) -> "UUID":
        """A run in its second attempt, which goes on from the checkpoint of the first."""
        run_id = (await self._submit(self._spec, force=True)).runs[0].id
        await self._worker.claim(run_id)
        async with self._database.transaction() as session:
            await runs.release(session, run_id, 1, reason="agent_stopped", message="it stopped")
        await self._worker.claim(run_id)
        for attempt in (1, 2):
            for name in LEFT:
                self.write(run_id, f"attempt-{attempt}/{name}")
        return run_id

    async def end(self, state: RunState, *, with_findings_to_come: bool = False) -> "UUID":
        run_id = await self.begin()
        if state is RunState.SUCCEEDED:
            path = self.write(run_id, f"attempt-2/out/{LAST_STATE_FILE}")
            saved = ArtifactSaved(name=LAST_STATE_FILE, path=path)
            result = self._reports.result(self._spec)
            if with_findings_to_come:
                result = result.model_copy(update={"summary": None})
            await self._worker.record(run_id, saved, result, attempt=2)
        await self._worker.finish(run_id, state, attempt=2)
        return run_id

    def write(self, run_id: "UUID", name: str) -> str:
        path = f"runs/{run_id}/{name}"
        (self._artifacts / path).parent.mkdir(parents=True, exist_ok=True)
        (self._artifacts / path).write_bytes(b"x" * 1024)
        return path

    def write_old(self, run_id: "UUID", name: str) -> None:
        path = self._artifacts / self.write(run_id, name)
        os.utime(path, (time.time() - 25 * 3600,) * 2)

    def files(self, run_id: "UUID") -> set[str]:
        folder = self._artifacts / "runs" / str(run_id)
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@pytest.fixture
def made(
    artifacts: Path,
    database: Database,
    submit: "Submitter",
    worker: "Worker",
    reports: "Reports",
    spec_of: "SpecMaker",
) -> Runs:
    return Runs(artifacts, database, submit, worker, reports, spec_of)


def test_where_there_is_nothing_to_remove_it_says_so() -> None:
    said, rows = look(), look("-o", "json")

    assert (said.exit_code, said.stdout) == (0, "")
    assert said.stderr.endswith("there is nothing to remove\n")
    assert as_json(rows) == []


async def test_nothing_is_removed_before_somebody_says_yes(made: Runs) -> None:
    run_id = await made.end(RunState.FAILED)
    before = made.files(run_id)

    said = await asyncio.to_thread(look)
    rows = as_json(await asyncio.to_thread(look, "-o", "json"))

    assert said.exit_code == 0
    assert "nothing was removed; say --yes to remove this" in said.stderr
    assert made.files(run_id) == before
    assert [(row["what"], row["count"], row["bytes"]) for row in rows] == [
        ("attempts before the last, of runs that have ended", 3, 3 * 1024),
        ("checkpoints of runs that have ended", 2, 2 * 1024),
        ("unfinished files of runs that have ended", 1, 1024),
    ]


async def test_runs_in_every_state_keep_what_they_need(made: Runs, database: Database) -> None:
    running = await made.begin()
    waiting = await made.begin()
    async with database.transaction() as session:
        await runs.release(session, waiting, 2, reason="agent_stopped", message="it stopped")
    failed = await made.end(RunState.FAILED)
    succeeded = await made.end(RunState.SUCCEEDED)
    in_writing = await made.end(RunState.SUCCEEDED, with_findings_to_come=True)
    all_of_them = {f"attempt-{attempt}/{name}" for attempt in (1, 2) for name in LEFT}
    without_checkpoints = {name for name in all_of_them if "checkpoints" not in name}

    removed = await asyncio.to_thread(look, "--yes")
    again = as_json(await asyncio.to_thread(look, "--yes", "-o", "json"))

    assert removed.exit_code == 0
    assert made.files(running) == made.files(waiting) == all_of_them
    assert made.files(failed) == {"attempt-2/log.txt", "attempt-2/out/notes.txt"}
    last = f"attempt-2/out/{LAST_STATE_FILE}"
    assert made.files(succeeded) == {"attempt-2/log.txt", "attempt-2/out/notes.txt", last}
    assert made.files(in_writing) == {*without_checkpoints, last}
    assert again == []


async def test_longer_runs_still_go_on_from_what_is_left(
    made: Runs, database: Database, submit: "Submitter", spec_of: "SpecMaker", artifacts: Path
) -> None:
    run = (await submit(spec_of())).runs[0]
    path = made.write(run.id, f"attempt-1/out/{LAST_STATE_FILE}")
    made.write(run.id, "attempt-1/checkpoints/step-10.pt")
    async with database.transaction() as session:
        await runs.claim(session, run.id, "agent", 30.0)
        await runs.record(session, run.id, 1, ArtifactSaved(name=LAST_STATE_FILE, path=path))
        await runs.record(session, run.id, 1, made._reports.result(spec_of()))
        await runs.finish(session, run.id, 1, RunState.SUCCEEDED)

    await asyncio.to_thread(look, "--yes")

    longer = (await submit(spec_of(training={"steps": 9000}))).runs[0]
    async with database.transaction() as session:
        offered = await last_states_for(session, longer)
    assert offered == [path]
    assert (artifacts / path).exists()
    assert not (artifacts / "runs" / str(run.id) / "attempt-1" / "checkpoints").exists()


async def test_files_that_no_row_knows_are_removed_only_on_demand_and_what_rows_name_stays(
    made: Runs, database: Database, artifacts: Path
) -> None:
    kept, gone, recent = await made.end(RunState.SUCCEEDED), uuid4(), uuid4()
    for run_id in (gone, recent):
        made.write_old(run_id, "attempt-1/out/model.safetensors")
    made.write(recent, "attempt-1/log.txt")

    without = await asyncio.to_thread(look, "--yes")
    assert made.files(gone) == {"attempt-1/out/model.safetensors"}
    said = await asyncio.to_thread(look, "--yes", "--unknown")

    what = "files of runs that were deleted, or that no row knows"
    assert what not in without.stdout
    assert f"1 {what} stay (0.0 MiB)" in without.stderr
    assert "say --unknown" in without.stderr
    assert f"{what}  1" in said.stdout
    assert "2 files of runs that no row knows stay" in said.stderr
    assert not (artifacts / "runs" / str(gone)).exists()
    assert made.files(recent) == {"attempt-1/log.txt", "attempt-1/out/model.safetensors"}
    async with database.transaction() as session:
        paths = await session.scalars(select(Artifact.path).where(Artifact.run_id == kept))
        assert all((artifacts / path).exists() for path in paths)


async def test_the_folder_of_another_database_is_refused(
    made: Runs, database: Database, submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    gone = uuid4()
    made.write_old(gone, "attempt-1/log.txt")
    await submit(spec_of())
    await end_all_jobs_long_ago(database)

    said = await asyncio.to_thread(look, "--yes", "--unknown")

    assert said.exit_code == 2
    assert "which may be another's" in said.stderr
    assert made.files(gone) == {"attempt-1/log.txt"}
    async with database.transaction() as session:
        assert await session.scalar(text("select count(*) from queue.procrastinate_jobs")) == 1


async def end_all_jobs_long_ago(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("update queue.procrastinate_jobs set status = 'failed'"))
        old = "update queue.procrastinate_events set at = now() - interval '80 hours'"
        await session.execute(text(old))


def test_a_folder_that_is_missing_or_unreadable_is_not_taken_for_empty(artifacts: Path) -> None:
    (artifacts / "runs").write_text("this is no folder")
    unreadable = look("--yes")
    (artifacts / "runs").unlink()
    artifacts.rmdir()
    missing = look("--yes")

    assert (unreadable.exit_code, missing.exit_code) == (1, 2)
    assert f"'{artifacts / 'runs'}'" in unreadable.stderr
    assert f"{artifacts} is no folder of this machine; mount it" in missing.stderr


async def test_a_queue_that_does_not_answer_is_said(
    database: Database,
    submit: "Submitter",
    spec_of: "SpecMaker",
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await submit(spec_of())
    await end_all_jobs_long_ago(database)

    async def away(_app: object) -> None:
        raise ConnectorException("the database has just gone")

    monkeypatch.setattr("service.queue.remove_finished_jobs", away)
    said = await asyncio.to_thread(look, "--yes")

    assert said.exit_code == 1
    assert "error: the database has just gone" in said.stderr


def test_it_names_database_and_folder_first_and_refuses_a_home_beside_them(
    artifacts: Path, settings: Settings, tmp_path: Path
) -> None:
    said = look()
    refused = look("--yes", "--home", str(tmp_path))

    password = settings.database_url.get_secret_value().split(":")[2].partition("@")[0]
    first = said.stderr.splitlines()[0]
    assert first.startswith("database ")
    assert first.endswith(f"and files below {artifacts / 'runs'}")
    assert password not in first
    assert refused.exit_code == 2
    assert "unset POLAR_DATABASE_URL" in " ".join(refused.stderr.split())


async def test_findings_that_are_being_made_keep_their_unfinished_files(
    made: Runs, database: Database
) -> None:
    run_id = await made.end(RunState.SUCCEEDED, with_findings_to_come=True)
    async with database.transaction() as session:
        assert await findings.claim(session, ["d" * 64], 30.0, max_attempts=5)

    await asyncio.to_thread(look, "--yes")

    assert "attempt-2/out/.a.part" in made.files(run_id)


async def test_jobs_that_ended_long_ago_are_counted_and_removed(
    database: Database, submit: "Submitter", spec_of: "SpecMaker"
) -> None:
    await submit(spec_of(seeds=[0, 1]))
    async with database.transaction() as session:
        old = "update queue.procrastinate_events set at = now() - interval '80 hours'"
        await session.execute(
            text("update queue.procrastinate_jobs set status = 'failed' where id % 2 = 0")
        )
        await session.execute(text(old))

    said = as_json(await asyncio.to_thread(look, "--yes", "-o", "json"))
    again = as_json(await asyncio.to_thread(look, "-o", "json"))

    assert [(row["what"], row["count"]) for row in said] == [("jobs that ended long ago", 1)]
    assert again == []
    async with database.transaction() as session:
        assert await session.scalar(text("select count(*) from queue.procrastinate_jobs")) == 1


def test_it_says_where_the_database_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("POLAR_DATABASE_URL")
    monkeypatch.setenv("POLAR_HOME", str(tmp_path / "new"))

    said = look("--yes")

    assert said.exit_code == 2
    assert "database.json" in said.stderr
