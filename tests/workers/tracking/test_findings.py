"""Findings in MLflow: they come after the end of their run, and nobody has to ask for them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from polar.records.events import (
    DIAGNOSTICS_FILE,
    LAST_STATE_FILE,
    MODEL_FILE,
    ArtifactSaved,
    Result,
)
from service.storage import findings, runs, tracking
from service.storage.database import Database
from workers.tracking.server import MLflowServer
from workers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from tests.conftest import Training
    from tests.workers.tracking.conftest import Story, TrackerMaker

DIGEST = "d" * 64
AT_ONCE = (DIAGNOSTICS_FILE, LAST_STATE_FILE, MODEL_FILE)


class TwoParts:
    """A real training that ends with its verdict, and its findings later."""

    def __init__(self, database: Database, story: "Story", training: "Training") -> None:
        self._database = database
        self._story = story
        self._events = training.events
        *_, self.whole = (event for event in training.events if isinstance(event, Result))

    async def end(self) -> UUID:
        run_id = await self._story.begin()
        for event in self._events:
            if not isinstance(event, ArtifactSaved) or event.name in AT_ONCE:
                early = {"summary": None, "explanation": "Short."}
                told = event.model_copy(update=early) if isinstance(event, Result) else event
                async with self._database.transaction() as session:
                    await runs.record(session, run_id, 1, told)
        await self._story.finish(run_id)
        return run_id

    async def claim(self) -> None:
        async with self._database.transaction() as session:
            assert await findings.claim(session, [DIGEST], 30.0, max_attempts=5)

    async def make(self, run_id: UUID, attempt: int = 1) -> None:
        await self.claim()
        files = [event for event in self._events if isinstance(event, ArtifactSaved)]
        async with self._database.transaction() as session:
            await findings.record(session, run_id, attempt, files, self.whole)

    async def fail(self, run_id: UUID) -> None:
        await self.claim()
        async with self._database.transaction() as session:
            await findings.fail(session, run_id, 1, "dataset_missing", "digits is not here")

    async def is_to_tell(self, run_id: UUID) -> bool:
        async with self._database.transaction() as session:
            return run_id in await tracking.runs_to_tell(session)


@pytest.fixture
def two_parts(database: Database, story: "Story", training: "Training") -> TwoParts:
    return TwoParts(database, story, training)


async def test_a_run_is_finished_in_mlflow_before_its_findings_and_whole_after_them(
    two_parts: TwoParts, story: "Story", tracker: Tracker
) -> None:
    run_id = await two_parts.end()

    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    assert told.info.status == "FINISHED"
    assert told.data.tags["polar.findings"] == "to_come"
    assert told.data.tags["mlflow.note.content"].startswith("Short.")
    assert story.files_in_mlflow(told) == [DIAGNOSTICS_FILE, MODEL_FILE, "spec.yaml"]
    assert not await two_parts.is_to_tell(run_id)  # so waiting costs nothing
    await two_parts.make(run_id)
    assert await two_parts.is_to_tell(run_id)

    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    assert told.data.tags["polar.findings"] == "made"
    assert told.data.tags["mlflow.note.content"].startswith(two_parts.whole.explanation)
    assert story.numbers_in_mlflow(told) == await story.numbers(run_id)
    files = story.files_in_mlflow(told)
    assert "figures/sorted_entropies.png" in files
    assert any(name.startswith("images/figures~sorted_entropies") for name in files)
    assert {"measurement.json", "result.json", "estimators.parquet"} <= set(files)
    assert (await story.position(run_id)).complete
    assert not await two_parts.is_to_tell(run_id)


async def test_findings_that_were_made_first_are_told_with_the_run(
    two_parts: TwoParts, story: "Story", tracker: Tracker
) -> None:
    run_id = await two_parts.end()
    await two_parts.make(run_id)

    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    assert told.data.tags["polar.findings"] == "made"
    assert "figures/sorted_entropies.png" in story.files_in_mlflow(told)
    assert (await story.position(run_id)).complete


async def test_failed_findings_are_told_with_their_reason_and_told_anew_once_they_are_made(
    two_parts: TwoParts, story: "Story", tracker: Tracker, database: Database
) -> None:
    run_id = await two_parts.end()
    await tracker.tell_all()
    await two_parts.fail(run_id)

    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    assert (told.info.status, told.data.tags["polar.state"]) == ("FINISHED", "succeeded")
    assert told.data.tags["polar.findings"] == "failed: digits is not here"
    assert (await story.position(run_id)).complete
    async with database.transaction() as session:
        await findings.ask(session, run_id)
    await two_parts.make(run_id, attempt=2)
    await tracker.tell_all()
    (told,) = story.in_mlflow(run_id)
    assert told.data.tags["polar.findings"] == "made"
    assert "figures/sorted_entropies.png" in story.files_in_mlflow(told)


async def test_findings_that_somebody_asks_for_while_mlflow_is_told_are_told_when_they_are_made(
    two_parts: TwoParts,
    story: "Story",
    tracker: Tracker,
    server: MLflowServer,
    database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run_id = await two_parts.end()
    await two_parts.fail(run_id)
    delete_doubles = server.delete_doubles

    async def after_a_request(*arguments: Any) -> None:  # noqa: ANN401
        async with database.transaction() as session:
            await findings.ask(session, run_id)
        await delete_doubles(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(server, "delete_doubles", after_a_request)
        await tracker.tell_all()

    assert not (await story.position(run_id)).complete
    await two_parts.make(run_id, attempt=2)
    await tracker.tell_all()
    (told,) = story.in_mlflow(run_id)
    assert told.data.tags["polar.findings"] == "made"
    assert (await story.position(run_id)).complete


async def test_a_file_that_is_not_there_yet_does_not_wait_for_the_findings(
    two_parts: TwoParts, story: "Story", make_tracker: "TrackerMaker", tmp_path: Path
) -> None:
    run_id = await two_parts.end()
    early = make_tracker(artifacts=tmp_path)
    await early.tell_all()
    (told,) = story.in_mlflow(run_id)
    assert (told.info.status, story.files_in_mlflow(told)) == ("FINISHED", ["spec.yaml"])
    assert await two_parts.is_to_tell(run_id)
    await early.close()

    await make_tracker().tell_all()

    assert DIAGNOSTICS_FILE in story.files_in_mlflow(told)
    assert not await two_parts.is_to_tell(run_id)
