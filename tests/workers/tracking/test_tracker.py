"""What MLflow has been told of runs."""

import base64
import filecmp
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from mlflow import MlflowClient

from polar.records.events import LAST_STATE_FILE, ArtifactSaved, Result
from polar.spec import ExperimentSpec
from service.storage import experiments, runs
from service.storage.database import Database
from service.storage.metrics import add_of_system
from service.storage.states import RunState
from service.storage.tables import Metric
from workers.tracking import run_entries, saved_view
from workers.tracking.server import BATCH, MLflowServer
from workers.tracking.tracker import Tracker

if TYPE_CHECKING:
    from tests.conftest import Training
    from tests.workers.tracking.conftest import Story, TrackerMaker

DIGEST = "d" * 64


async def test_a_run_that_succeeded_is_in_mlflow_whole(
    story: "Story", tracker: Tracker, client: MlflowClient, training: "Training", tmp_path: Path
) -> None:
    run_id = await story.succeed()

    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    (result,) = (event for event in training.events if isinstance(event, Result))
    assert told.info.run_name == "beta=0.5 seed 0 (the smallest)"
    assert client.get_experiment(told.info.experiment_id).name == "beta_vae-digits"
    assert told.info.status == "FINISHED"
    assert told.data.params == run_entries.parameters(training.spec, seed=0)
    assert told.data.tags["polar.regime"] == result.final.verdict.regime
    assert told.data.tags["polar.spec_hash"] == training.spec.content_hash()
    assert told.data.tags["polar.dataset_sha256"] == DIGEST
    assert told.data.tags["mlflow.note.content"].startswith(result.explanation)
    assert told.inputs is not None
    assert [found.dataset.name for found in told.inputs.dataset_inputs] == ["digits"]
    numbers = await story.numbers(run_id)
    assert [rank for rank, _ in numbers["entropy/by_rank"]] == [1, 2, 3]
    assert story.numbers_in_mlflow(told) == numbers
    saved = [event.name for event in training.events if isinstance(event, ArtifactSaved)]
    saved.remove(LAST_STATE_FILE)  # only Polar can read it, from its own folder
    figures = [name for name in saved if name.endswith(".png")]
    files = story.files_in_mlflow(told)
    own = [name for name in files if not name.startswith("images/")]
    assert figures
    assert sorted(own) == sorted(["spec.yaml", *saved])
    assert len(files) == len(own) + 2 * len(figures)
    sent = client.download_artifacts(told.info.run_id, "result.json", str(tmp_path))
    assert filecmp.cmp(sent, training.folder / "out" / "result.json", shallow=False)
    spec = client.download_artifacts(told.info.run_id, "spec.yaml", str(tmp_path))
    assert ExperimentSpec.from_file(spec) == training.spec


async def test_the_saved_view_shows_what_runs_have(story: "Story", tracker: Tracker) -> None:
    run_id = await story.succeed()

    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    (tag,) = saved_view.experiment_tags().values()
    packed = json.loads(tag)["state"].removeprefix("deflate;")
    view = json.loads(zlib.decompress(base64.b64decode(packed)))
    columns = {f"metrics.`{key}`" for key in told.data.metrics}
    columns |= {f"tags.`{key}`" for key in told.data.tags}
    assert set(view["selectedColumns"]) <= columns
    for chart in view["compareRunCharts"]:
        metrics = {chart[axis]["key"] for axis in ("xaxis", "yaxis") if axis in chart}
        assert metrics | {chart.get("metricKey", "weight")} <= set(told.data.metrics)
        figures = {f"{key}.png" for key in chart.get("imageKeys", [])}
        assert figures <= set(story.files_in_mlflow(told))


async def test_its_times_are_ours(story: "Story", tracker: Tracker, database: Database) -> None:
    run_id = await story.succeed()

    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    async with database.transaction() as session:
        run = await runs.get(session, run_id)
    assert run.started_at is not None
    assert run.finished_at is not None
    assert told.info.start_time == run_entries.milliseconds(run.started_at)
    assert told.info.end_time == run_entries.milliseconds(run.finished_at)


async def test_all_attempts_are_one_mlflow_run(story: "Story", tracker: Tracker) -> None:
    seen = []

    run_id = await story.begin()
    await tracker.tell_all()
    seen += story.in_mlflow(run_id)
    await story.release(run_id)
    await tracker.tell_all()
    seen += story.in_mlflow(run_id)
    await story.claim(run_id)
    await story.train(run_id, attempt=2)
    await tracker.tell_all()
    seen += story.in_mlflow(run_id)
    await story.finish(run_id, attempt=2)
    await tracker.tell_all()
    seen += story.in_mlflow(run_id)

    assert len({told.info.run_id for told in seen}) == 1
    assert [told.info.status for told in seen] == ["RUNNING", "SCHEDULED", "RUNNING", "FINISHED"]
    assert [told.data.tags["polar.attempt"] for told in seen] == ["1", "1", "2", "2"]
    assert [told.data.tags["polar.status_reason"] for told in seen] == [
        "none",
        "lease_lost",
        "none",
        "none",
    ]
    lost = [told.data.tags["polar.lost_attempts"] for told in seen]
    assert lost == ["none", "1 (lease_lost)", "1 (lease_lost)", "1 (lease_lost)"]
    assert story.numbers_in_mlflow(seen[-1]) == await story.numbers(run_id)


async def test_an_attempt_that_was_asked_to_stop_is_not_lost(
    story: "Story", tracker: Tracker
) -> None:
    run_id = await story.begin()
    await story.release(run_id, reason="agent_stopped")
    await story.claim(run_id)
    await story.release(run_id, attempt=2, reason="child_killed")

    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    assert told.data.tags["polar.lost_attempts"] == "2 (child_killed)"


@pytest.mark.parametrize(
    ("state", "reason", "status"),
    [
        (RunState.FAILED, "dataset_corrupt", "FAILED"),
        (RunState.CANCELLED, "user", "KILLED"),
        (RunState.PRUNED, "median", "KILLED"),
    ],
)
async def test_a_run_that_ends_before_it_trains_says_why(
    story: "Story", tracker: Tracker, state: RunState, reason: str, status: str
) -> None:
    run_id = await story.begin()
    await story.finish(run_id, state, reason=reason, message="digits.csv.gz is not 440f…")

    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    assert told.info.status == status
    assert told.data.tags["polar.state"] == state
    assert told.data.tags["polar.status_reason"] == reason
    assert "digits.csv.gz is not 440f…" in told.data.tags["mlflow.note.content"]
    assert (await story.position(run_id)).complete


async def test_a_run_that_was_cancelled_before_it_began_does_not_appear(
    story: "Story", tracker: Tracker, database: Database, training: "Training"
) -> None:
    async with database.transaction() as session:
        submission = await experiments.create(session, training.spec, DIGEST)
        await runs.request_cancel(session, submission.runs[0].id)

    await tracker.tell_all()

    assert story.in_mlflow(submission.runs[0].id) == []


async def test_more_numbers_than_one_request_takes_arrive(
    story: "Story", tracker: Tracker, database: Database
) -> None:
    run_id = await story.begin()
    await _add_numbers(database, run_id, 2 * BATCH + 1)

    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    assert story.numbers_in_mlflow(told) == await story.numbers(run_id)


async def test_a_pass_with_nothing_new_asks_nothing_of_mlflow(
    story: "Story", tracker: Tracker, make_tracker: "TrackerMaker", nobody: MLflowServer
) -> None:
    run_id = await story.begin()
    await story.train(run_id)
    await tracker.tell_all()
    before = await story.position(run_id)
    await tracker.close()

    await make_tracker(server=nobody).tell_all()

    assert (await story.position(run_id)).metric_sequence == before.metric_sequence


async def test_a_running_run_is_told_now_and_then_and_its_end_at_once(
    story: "Story", tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = await story.begin()
    await tracker.tell_all()
    await story.train(run_id)

    await tracker.tell_all()
    assert "train/loss" not in story.numbers_in_mlflow(story.in_mlflow(run_id)[0])
    assert tracker.is_busy

    monkeypatch.setattr("workers.tracking.tracker.GATHER_S", 0.0)
    await tracker.tell_all()
    assert (
        story.numbers_in_mlflow(story.in_mlflow(run_id)[0]).items()
        >= (await story.numbers(run_id)).items()
    )

    monkeypatch.undo()
    await story.finish(run_id)
    await tracker.tell_all()
    assert story.in_mlflow(run_id)[0].info.status == "FINISHED"


async def test_what_a_run_took_of_its_machine_is_where_mlflow_looks_for_it(
    story: "Story", tracker: Tracker, database: Database
) -> None:
    run_id = await story.succeed()
    sample = {"cpu_utilization_percentage": 97.5, "gpu_0_utilization_percentage": 50.0}
    async with database.transaction() as session:
        await add_of_system(session, run_id, 1, [(5, sample), (10, sample)])
        await add_of_system(session, run_id, 2, [(10, dict.fromkeys(sample, 1.0))])

    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    numbers = story.numbers_in_mlflow(told)
    assert numbers["system/cpu_utilization_percentage"] == [(5, 97.5), (10, 97.5)]
    assert numbers["system/gpu_0_utilization_percentage"] == [(5, 50.0), (10, 50.0)]


async def _add_numbers(database: Database, run_id: UUID, count: int) -> None:
    async with database.transaction() as session:
        session.add_all(
            Metric(run_id=run_id, key="train/loss", step=step, value=1 / step, attempt=1)
            for step in range(1, count + 1)
        )
