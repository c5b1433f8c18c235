"""What MLflow will never take: users see the reason, and everything else goes on."""

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from sqlalchemy import text

from polar.spec import StudySpec
from service.repetition import MOST_REPETITIONS
from service.storage import tracking_failures
from service.storage.database import Database
from workers.tracking import tries
from workers.tracking.server import MLflowAway, MLflowRefused, MLflowServer
from workers.tracking.study_figures import DrawingFailed
from workers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from uuid import UUID

    from tests.workers.tracking.conftest import Story, StudyStory, TrackerMaker


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "AGAIN_S", 0.0)


async def why(database: Database, id: "UUID") -> str | None:
    async with database.transaction() as session:
        return await tracking_failures.why(session, id)


async def test_a_run_that_mlflow_has_lost_is_shown_with_the_reason_and_spares_the_others(
    story: "Story", tracker: Tracker, client: MlflowClient, database: Database
) -> None:
    lost = await story.begin()
    await tracker.tell_all()
    client.delete_run(story.in_mlflow(lost)[0].info.run_id)
    await story.train(lost)
    await story.finish(lost)
    other = await story.succeed()

    reasons = []
    for _ in range(MOST_REPETITIONS):
        await tracker.tell_all()
        reasons.append(await why(database, lost))

    assert reasons[:-1] == [None] * (MOST_REPETITIONS - 1)
    assert reasons[-1] is not None
    assert "MLflowRefused" in reasons[-1]
    assert await why(database, other) is None
    assert story.in_mlflow(other)[0].info.status == "FINISHED"


async def test_a_run_whose_spec_is_refused_by_now_is_shown_with_the_reason(
    story: "Story", tracker: Tracker, database: Database
) -> None:
    run_id = await story.begin()
    async with database.transaction() as session:
        await session.execute(text("update app.runs set spec = '{}'"))

    for _ in range(MOST_REPETITIONS):
        await tracker.tell_all()

    reason = await why(database, run_id)
    assert reason is not None
    assert "of an earlier version" in reason


async def test_what_can_be_told_after_all_is_no_longer_shown(
    story: "Story",
    make_tracker: "TrackerMaker",
    client: MlflowClient,
    database: Database,
) -> None:
    run_id = await story.begin()
    tracker = make_tracker()
    await tracker.tell_all()
    in_mlflow = story.in_mlflow(run_id)[0].info.run_id
    client.delete_run(in_mlflow)
    await story.finish(run_id)
    for _ in range(MOST_REPETITIONS):
        await tracker.tell_all()
    await tracker.close()
    shown = await why(database, run_id)

    client.restore_run(in_mlflow)
    await make_tracker().tell_all()  # a new one, as after `polar up`

    assert shown is not None
    assert await why(database, run_id) is None
    assert story.in_mlflow(run_id)[0].info.status == "FINISHED"


async def test_what_was_told_by_a_tracker_that_could_not_note_it_is_no_longer_shown(
    story: "Story", make_tracker: "TrackerMaker", database: Database
) -> None:
    # It was killed after the run was complete and before its failure was forgotten: no tracker
    # would ever look at the run again.
    run_id = await story.succeed()
    killed = make_tracker()
    await killed.tell_all()
    await killed.close()
    async with database.transaction() as session:
        await tracking_failures.note(session, run_id, "MLflowRefused: of an earlier try")

    await make_tracker().tell_all()

    assert (await story.position(run_id)).complete
    assert await why(database, run_id) is None


async def test_a_study_that_mlflow_has_lost_is_shown_with_the_reason(
    study_story: "StudyStory",
    tracker: Tracker,
    client: MlflowClient,
    study_spec: StudySpec,
    database: Database,
) -> None:
    study_id = await study_story.begin(study_spec)
    await tracker.tell_all()
    client.delete_run(study_story.in_mlflow(study_id).info.run_id)
    await study_story.end(study_id)

    for _ in range(MOST_REPETITIONS):
        await tracker.tell_all()

    assert "MLflowRefused" in (await why(database, study_id) or "")


async def test_what_fails_of_a_study_does_not_hide_what_else_fails_of_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tries, "RARELY_S", 0.0)
    study_id = uuid4()
    of_all = tries.Tries(database)

    async def refuse(_id: "UUID") -> None:
        raise MLflowRefused("GONE", "its run is gone")

    async def draw(_id: "UUID") -> None:
        raise DrawingFailed("no ink")

    async def succeed(_id: "UUID") -> None:
        pass

    seen = []
    for what, tell in (("study", refuse), ("figures of study", draw)):
        for _ in range(MOST_REPETITIONS):
            await of_all.each(what, [study_id], tell)
        seen.append(await why(database, study_id))
    for what in ("study", "figures of study"):
        await of_all.each(what, [study_id], succeed)
        seen.append(await why(database, study_id))

    refused, drawing = "MLflowRefused: GONE: its run is gone", "DrawingFailed: no ink"
    assert seen == [refused, f"{refused}; {drawing}", drawing, None]


async def test_an_mlflow_that_is_away_is_nobodys_fault(
    story: "Story",
    make_tracker: "TrackerMaker",
    monkeypatch: pytest.MonkeyPatch,
    database: Database,
) -> None:
    run_id = await story.begin()
    tracker = make_tracker()

    async def away(*_: object, **__: object) -> None:
        raise MLflowAway("nobody answers")

    with monkeypatch.context() as without_mlflow:
        without_mlflow.setattr(MLflowServer, "_call", away)
        for _ in range(MOST_REPETITIONS + 1):
            with pytest.raises(MLflowAway):
                await tracker.tell_all()

    assert await why(database, run_id) is None
