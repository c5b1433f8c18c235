"""Runs are told to MLflow once and whole, wherever the telling was broken off."""

from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from mlflow import MlflowClient

from service.storage.errors import DatabaseAway
from workers.tracking.server import MLflowAway, MLflowServer
from workers.tracking.tracker import AnotherTracker, Tracker

if TYPE_CHECKING:
    from tests.workers.tracking.conftest import Story, TrackerMaker


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
async def test_what_was_sent_but_not_noted_is_not_doubled(
    story: "Story", tracker: Tracker, share: float
) -> None:
    run_id = await story.succeed()
    await tracker.tell_all()
    (told,) = story.in_mlflow(run_id)
    files = story.files_in_mlflow(told)
    last = (await story.position(run_id)).metric_sequence

    await story.move(run_id, metric_sequence=int(share * last), state=None, complete=False)
    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    assert story.numbers_in_mlflow(told) == await story.numbers(run_id)
    assert story.files_in_mlflow(told) == files
    assert told.info.status == "FINISHED"
    assert (await story.position(run_id)).complete


async def test_an_mlflow_run_that_was_begun_but_not_noted_is_found(
    story: "Story", tracker: Tracker
) -> None:
    run_id = await story.succeed()
    await tracker.tell_all()
    (before,) = story.in_mlflow(run_id)

    await story.forget(run_id)
    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    assert told.info.run_id == before.info.run_id
    assert story.numbers_in_mlflow(told) == await story.numbers(run_id)


async def test_an_mlflow_run_that_is_there_twice_is_there_once_in_the_end(
    story: "Story", tracker: Tracker, server: MLflowServer
) -> None:
    run_id = await story.begin()
    await tracker.tell_all()
    (told,) = story.in_mlflow(run_id)
    await server.create_run(
        told.info.experiment_id, name="late", start_ms=0, tags={"polar.run_id": str(run_id)}
    )

    await story.train(run_id)
    await story.finish(run_id)
    await tracker.tell_all()

    assert [found.info.run_id for found in story.in_mlflow(run_id)] == [told.info.run_id]


async def test_a_file_that_is_not_there_yet_is_sent_when_it_is(
    story: "Story",
    make_tracker: "TrackerMaker",
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    run_id = await story.succeed()
    early = make_tracker(artifacts=tmp_path)

    await early.tell_all()

    (told,) = story.in_mlflow(run_id)
    assert told.info.status == "FINISHED"
    assert not (await story.position(run_id)).complete
    assert "out/diagnostics.parquet" in caplog.text

    await early.close()
    await make_tracker().tell_all()

    (told,) = story.in_mlflow(run_id)
    assert "diagnostics.parquet" in story.files_in_mlflow(told)
    assert (await story.position(run_id)).complete


async def test_a_run_that_cannot_be_told_does_not_silence_the_others(
    story: "Story",
    tracker: Tracker,
    client: MlflowClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("workers.tracking.tracker.GATHER_S", 0.0)
    deleted = await story.begin()
    await tracker.tell_all()
    client.delete_run(story.in_mlflow(deleted)[0].info.run_id)
    await story.train(deleted)
    other = await story.succeed()

    await tracker.tell_all()
    await tracker.tell_all()

    assert story.in_mlflow(other)[0].info.status == "FINISHED"
    assert caplog.text.count(f"run {deleted} cannot be copied to MLflow") == 1
    assert not (await story.position(deleted)).complete


async def test_while_mlflow_is_away_the_position_stays(
    story: "Story", tracker: Tracker, make_tracker: "TrackerMaker", nobody: MLflowServer
) -> None:
    run_id = await story.begin()
    await tracker.tell_all()
    before = await story.position(run_id)
    await story.train(run_id)
    await tracker.close()

    with pytest.raises(MLflowAway, match="MLflow is away: ConnectError"):
        await make_tracker(server=nobody).tell_all()

    assert (await story.position(run_id)).metric_sequence == before.metric_sequence


async def test_a_second_tracker_waits_until_the_first_one_is_gone(
    tracker: Tracker, make_tracker: "TrackerMaker"
) -> None:
    second = make_tracker()
    await tracker.tell_all()

    with pytest.raises(AnotherTracker):
        await second.tell_all()
    await tracker.close()
    await second.tell_all()

    with pytest.raises(AnotherTracker):
        await tracker.tell_all()


async def test_a_tracker_that_lost_its_connection_asks_for_the_lock_again(
    tracker: Tracker, database_url: str
) -> None:
    await tracker.tell_all()
    with psycopg.connect(database_url, autocommit=True) as admin:
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )

    with pytest.raises(DatabaseAway):
        await tracker.tell_all()
    await tracker.tell_all()
