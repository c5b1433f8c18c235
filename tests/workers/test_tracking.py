"""What MLflow has been told of runs, wherever the telling was broken off."""

import asyncio
import base64
import filecmp
import json
import math
import re
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.entities import Run as MlflowRun
from sqlalchemy import delete

from polar.events import ArtifactSaved, Result
from polar.spec import ExperimentSpec
from service.storage import experiments, runs, tracking
from service.storage.database import Database
from service.storage.errors import DatabaseAway
from service.storage.tables import Artifact, Metric, Run, RunState, Tracking
from workers import mlflow_run, mlflow_view
from workers.mlflow_server import BATCH, MLflowAway, MLflowRefused, MLflowServer
from workers.tracking import AnotherTracker, Tracker

if TYPE_CHECKING:
    from tests.conftest import Mlflow, Training

DIGEST = "d" * 64
NOON = datetime(2026, 11, 22, 12, 0, 0, 123_456, tzinfo=UTC)


def spec_of(**fields: Any) -> ExperimentSpec:  # noqa: ANN401
    return ExperimentSpec.model_validate({"dataset": {"name": "digits"}, "model": {}, **fields})


def run_in_state(state: RunState, **fields: Any) -> Run:  # noqa: ANN401
    spec = spec_of()
    return Run(
        id=uuid4(),
        spec=spec.model_dump(mode="json"),
        seed=0,
        dataset_digest=DIGEST,
        state=state,
        attempt=1,
        **fields,
    )


@pytest.mark.parametrize(
    ("beta", "name"),
    [
        (0.5, "beta_vae-digits-b0.5-s3"),
        (10.0, "beta_vae-digits-b10-s3"),
        (1e-5, "beta_vae-digits-b1e-05-s3"),
        (0.0, "beta_vae-digits-b0-s3"),
    ],
)
def test_a_run_is_named_by_its_weight_and_seed(beta: float, name: str) -> None:
    spec = spec_of(model={"beta": beta})

    assert mlflow_run.experiment_name(spec) == "beta_vae-digits"
    assert mlflow_run.run_name(spec, seed=3) == name


def test_the_parameters_are_the_whole_spec_with_dotted_names() -> None:
    spec = spec_of(name="a sweep", model={"beta": 0.001})

    assert mlflow_run.parameters(spec, seed=0) == {
        "name": "a sweep",
        "seed": "0",
        "seeds": "[0]",
        "device": "auto",
        "dataset.name": "digits",
        "dataset.images": "1797",
        "model.name": "beta_vae",
        "model.beta": "0.001",
        "model.latent_dim": "16",
        "model.widths": "[32, 32, 64, 64, 128]",
        "model.likelihood.name": "bernoulli",
        "training.steps": "3000",
        "training.batch_size": "64",
        "training.learning_rate": "0.001",
        "training.checkpoint_every": "500",
        "diagnostics.evaluations": "16",
        "diagnostics.epochs": "none",
        "diagnostics.images": "10000",
        "diagnostics.sigma": "0.5",
        "diagnostics.renyi_alpha": "1.01",
        "diagnostics.tau": "0.25",
        "diagnostics.tau_rule": "fixed",
        "diagnostics.information_images": "1000",
        "downstream": "none",
    }


@given(epochs=st.lists(st.integers(1, 10**7), min_size=1, max_size=1000))
def test_no_parameter_is_longer_than_mlflow_takes(epochs: list[int]) -> None:
    one_batch_an_epoch = {"steps": 10**7, "batch_size": 1797}
    spec = spec_of(diagnostics={"epochs": epochs}, training=one_batch_an_epoch)

    told = mlflow_run.parameters(spec, seed=0)["diagnostics.epochs"]

    assert len(told) <= 6000
    assert told == json.dumps(epochs) or (told.endswith("…") and len(told) == 6000)


def test_a_weight_of_zero_has_no_logarithm() -> None:
    assert mlflow_run.weights(spec_of(model={"beta": 0.0})) == {"weight": 0.0}
    assert mlflow_run.weights(spec_of(model={"beta": 100.0})) == {
        "weight": 100.0,
        "weight_log10": 2.0,
    }


@pytest.mark.parametrize(
    ("state", "status"),
    [
        (RunState.QUEUED, "SCHEDULED"),
        (RunState.RUNNING, "RUNNING"),
        (RunState.SUCCEEDED, "FINISHED"),
        (RunState.FAILED, "FAILED"),
        (RunState.CANCELLED, "KILLED"),
        (RunState.PRUNED, "KILLED"),
    ],
)
def test_every_state_has_a_status(state: RunState, status: str) -> None:
    assert mlflow_run.status(state) == status


def test_a_long_message_ends_with_an_ellipsis() -> None:
    run = run_in_state(RunState.FAILED, status_reason="bug", status_message="x" * 10_000)

    note = mlflow_run.tags(run, spec_of())["mlflow.note.content"]

    assert note.startswith("**failed** (bug): xxx")
    assert len(note) == 5000
    assert note.endswith("x…")


def test_a_figure_has_the_names_of_a_logged_image_and_other_files_have_none() -> None:
    run_id = UUID(int=7)
    figure = Artifact(run_id=run_id, name="figures/sorted_entropies.png", at=NOON)
    table = Artifact(run_id=run_id, name="diagnostics.parquet", at=NOON)

    stem = f"images/figures~sorted_entropies+step+0+timestamp+1795348800123+{run_id}"
    assert mlflow_run.image_names(figure) == [f"{stem}.png", f"{stem}+compressed.png"]
    assert mlflow_run.image_names(table) == []


def test_a_tracker_without_its_settings_names_them_all() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workers.tracking"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 1
    for name in ("POLAR_DATABASE_URL", "POLAR_ARTIFACTS", "POLAR_MLFLOW_URL"):
        assert f"{name}: Field required" in done.stderr


@pytest.fixture
async def server(mlflow: "Mlflow") -> AsyncIterator[MLflowServer]:
    async with MLflowServer(mlflow.url) as server:
        yield server


@pytest.fixture
def client(mlflow: "Mlflow") -> MlflowClient:
    """MLflow's own client: another way to the same server."""
    return MlflowClient(mlflow.url)


@pytest.fixture(params=["Postgres", "SQLite"])
def mlflow_on_each(
    request: pytest.FixtureRequest, mlflow: "Mlflow", tmp_path: Path
) -> Iterator["Mlflow"]:
    if request.param == "Postgres":
        yield mlflow
        return
    on_sqlite = type(mlflow)(f"sqlite:///{tmp_path}/mlflow.db", tmp_path)
    on_sqlite.start()
    yield on_sqlite
    on_sqlite.kill()


async def test_mlflow_keeps_numbers_that_are_sent_twice_once(mlflow_on_each: "Mlflow") -> None:
    values = [0.1, 1 / 3, -2.5e-300, 5e-324, 1.7e308, 3.0, 708.4293487548828]
    numbers = [
        {"key": "loss", "value": value, "step": step, "timestamp": 1_795_348_800_123 + step}
        for step, value in enumerate(values)
    ]

    async with MLflowServer(mlflow_on_each.url) as server:
        experiment_id = await server.experiment("numbers", {})
        run_id = await server.create_run(experiment_id, name="one", start_ms=0, tags={})
        await server.log(run_id, metrics=numbers[:4])
        await server.log(run_id, metrics=numbers)
        await server.log(run_id, metrics=numbers)

    history = MlflowClient(mlflow_on_each.url).get_metric_history(run_id, "loss")
    assert sorted((point.step, point.value) for point in history) == list(enumerate(values))


async def test_an_experiment_is_made_once_and_brought_back(
    server: MLflowServer, client: MlflowClient
) -> None:
    name = f"brought back {uuid4()}"
    first = await server.experiment(name, mlflow_view.experiment_tags())
    client.delete_experiment(first)

    again = await server.experiment(name, mlflow_view.experiment_tags())

    found = client.get_experiment(first)
    assert again == first
    assert found.lifecycle_stage == "active"


async def test_an_experiment_that_is_there_gets_the_saved_view_that_links_name(
    server: MLflowServer, client: MlflowClient
) -> None:
    # MLflow leaves the page, with an error, where the view of the link is unknown.
    experiment_id = client.create_experiment(name := f"somebody else's {uuid4()}")
    client.set_experiment_tag(experiment_id, "theirs", "kept")

    for _ in range(2):
        assert await server.experiment(name, mlflow_view.experiment_tags()) == experiment_id

    tags = client.get_experiment(experiment_id).tags
    assert tags["theirs"] == "kept"
    assert tags.items() >= mlflow_view.experiment_tags().items()
    assert f"mlflow.sharedViewState.{tracking.SAVED_VIEW}" in tags


async def test_an_experiment_is_made_once_by_many_at_once(server: MLflowServer) -> None:
    name = f"raced for {uuid4()}"

    ids = await asyncio.gather(*(server.experiment(name, {}) for _ in range(8)))

    assert len(set(ids)) == 1


@pytest.mark.parametrize(
    ("status", "body", "error", "says"),
    [
        (200, b"<html>a shop</html>", MLflowRefused, "HTTP 200: <html>a shop</html>"),
        (200, b"[1, 2]", MLflowRefused, "HTTP 200"),
        (404, b"not here", MLflowRefused, "HTTP 404: not here"),
        (403, b"{}", MLflowRefused, "HTTP 403"),
        (503, b"", MLflowAway, "503"),
        (429, b"", MLflowAway, "429"),
    ],
)
async def test_what_is_no_answer_of_mlflow_is_said(
    status: int, body: bytes, error: type[Exception], says: str
) -> None:
    with _answering(status, body) as url:
        async with MLflowServer(url) as server:
            with pytest.raises(error, match=re.escape(says)):
                await server.create_run("1", name="any", start_ms=0, tags={})


async def test_what_mlflow_refuses_is_said_in_its_words(server: MLflowServer) -> None:
    experiment_id = await server.experiment("refusals", {})
    run_id = await server.create_run(experiment_id, name="one", start_ms=0, tags={})
    await server.log(run_id, parameters={"beta": "0.5"})

    with pytest.raises(MLflowRefused, match=r"INVALID_PARAMETER_VALUE.*beta"):
        await server.log(run_id, parameters={"beta": "0.7"})


class Story:
    """A run in the tables, written as an agent writes it, and what MLflow shows of it."""

    def __init__(self, database: Database, client: MlflowClient, training: "Training") -> None:
        self._database = database
        self._client = client
        self._training = training

    async def begin(self, spec: ExperimentSpec | None = None) -> UUID:
        """A run in its first attempt."""
        async with self._database.transaction() as session:
            spec = spec or self._training.spec
            submission = await experiments.create(session, spec, DIGEST, force=True)
        run_id = submission.runs[0].id
        await self.claim(run_id)
        return run_id

    async def claim(self, run_id: UUID) -> None:
        async with self._database.transaction() as session:
            assert await runs.claim(session, run_id, "agent", 30.0)

    async def release(self, run_id: UUID, attempt: int = 1) -> None:
        async with self._database.transaction() as session:
            await runs.release(session, run_id, attempt, reason="lease_lost", message="gone")

    async def train(self, run_id: UUID, attempt: int = 1) -> None:
        """Everything that a real training told."""
        for event in self._training.events:
            async with self._database.transaction() as session:
                await runs.record(session, run_id, attempt, event)

    async def finish(
        self,
        run_id: UUID,
        state: RunState = RunState.SUCCEEDED,
        attempt: int = 1,
        reason: str | None = None,
        message: str | None = None,
    ) -> None:
        async with self._database.transaction() as session:
            await runs.finish(session, run_id, attempt, state, reason=reason, message=message)

    async def succeed(self) -> UUID:
        """A run from its beginning to its end."""
        run_id = await self.begin()
        await self.train(run_id)
        await self.finish(run_id)
        return run_id

    async def position(self, run_id: UUID) -> Tracking:
        async with self._database.transaction() as session:
            position = await tracking.position_of(session, run_id)
        assert position is not None
        return position

    async def move(self, run_id: UUID, **back: object) -> None:
        """As if the tracker had been killed before it could store its position."""
        async with self._database.transaction() as session:
            await tracking.advance(session, run_id, **back)

    async def forget(self, run_id: UUID) -> None:
        """As if it had been killed before it could store that there is an MLflow run."""
        async with self._database.transaction() as session:
            await session.execute(delete(Tracking).where(Tracking.run_id == run_id))

    async def numbers(self, run_id: UUID) -> dict[str, list[tuple[int, float]]]:
        """Our own numbers, and the weight of the smallest spec; by key, in the order of steps."""
        async with self._database.transaction() as session:
            rows = await tracking.metrics_after(session, run_id, 0, limit=1_000_000)
        numbers = {"weight": [(0, 0.5)], "weight_log10": [(0, math.log10(0.5))]}
        for row in sorted(rows, key=lambda row: row.step):
            numbers.setdefault(row.key, []).append((row.step, row.value))
        return numbers

    def in_mlflow(self, run_id: UUID) -> list[MlflowRun]:
        """The MLflow runs that say they are this run; there should be one."""
        everywhere = [found.experiment_id for found in self._client.search_experiments()]
        found = self._client.search_runs(everywhere, f"tags.`polar.run_id` = '{run_id}'")
        return list(found)

    def numbers_in_mlflow(self, run: MlflowRun) -> dict[str, list[tuple[int, float]]]:
        return {
            key: sorted(
                (point.step, point.value)
                for point in self._client.get_metric_history(run.info.run_id, key)
            )
            for key in run.data.metrics
        }

    def files_in_mlflow(self, run: MlflowRun, folder: str = "") -> list[str]:
        found = self._client.list_artifacts(run.info.run_id, folder or None)
        return [
            path
            for file in found
            for path in (self.files_in_mlflow(run, file.path) if file.is_dir else [file.path])
        ]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url.replace("postgresql://", "postgresql+psycopg://", 1))
    yield database
    await database.close()


@pytest.fixture
def story(database: Database, client: MlflowClient, training: "Training") -> Story:
    return Story(database, client, training)


TrackerMaker = Callable[..., Tracker]


@pytest.fixture
async def make_tracker(
    database: Database, server: MLflowServer, training: "Training"
) -> AsyncIterator[TrackerMaker]:
    """Trackers, of which one at a time is at work; they are closed in the end."""
    trackers = []

    def make(
        database: Database = database,
        server: MLflowServer = server,
        artifacts: Path = training.folder,
    ) -> Tracker:
        trackers.append(Tracker(database, server, artifacts))
        return trackers[-1]

    yield make
    for tracker in trackers:
        await tracker.close()


@pytest.fixture
def tracker(make_tracker: TrackerMaker) -> Tracker:
    return make_tracker()


@pytest.fixture
async def nobody() -> AsyncIterator[MLflowServer]:
    """An MLflow that is away."""
    async with MLflowServer(f"http://127.0.0.1:{_port_of_nobody()}") as server:
        yield server


async def test_a_run_that_succeeded_is_in_mlflow_whole(
    story: Story, tracker: Tracker, client: MlflowClient, training: "Training", tmp_path: Path
) -> None:
    run_id = await story.succeed()

    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    (result,) = (event for event in training.events if isinstance(event, Result))
    assert told.info.run_name == "beta_vae-digits-b0.5-s0"
    assert client.get_experiment(told.info.experiment_id).name == "beta_vae-digits"
    assert told.info.status == "FINISHED"
    assert told.data.params == mlflow_run.parameters(training.spec, seed=0)
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


async def test_the_saved_view_shows_what_runs_have(story: Story, tracker: Tracker) -> None:
    run_id = await story.succeed()

    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    (tag,) = mlflow_view.experiment_tags().values()
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


async def test_its_times_are_ours(story: Story, tracker: Tracker, database: Database) -> None:
    run_id = await story.succeed()

    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    async with database.transaction() as session:
        run = await runs.get(session, run_id)
    assert run.started_at is not None
    assert run.finished_at is not None
    assert told.info.start_time == mlflow_run.milliseconds(run.started_at)
    assert told.info.end_time == mlflow_run.milliseconds(run.finished_at)


async def test_all_attempts_are_one_mlflow_run(story: Story, tracker: Tracker) -> None:
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
    assert story.numbers_in_mlflow(seen[-1]) == await story.numbers(run_id)


@pytest.mark.parametrize(
    ("state", "reason", "status"),
    [
        (RunState.FAILED, "dataset_corrupt", "FAILED"),
        (RunState.CANCELLED, "user", "KILLED"),
        (RunState.PRUNED, "pruned_by:median", "KILLED"),
    ],
)
async def test_a_run_that_ends_before_it_trains_says_why(
    story: Story, tracker: Tracker, state: RunState, reason: str, status: str
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
    story: Story, tracker: Tracker, database: Database, training: "Training"
) -> None:
    async with database.transaction() as session:
        submission = await experiments.create(session, training.spec, DIGEST)
        await runs.request_cancel(session, submission.runs[0].id)

    await tracker.tell_all()

    assert story.in_mlflow(submission.runs[0].id) == []


async def test_more_numbers_than_one_request_takes_arrive(
    story: Story, tracker: Tracker, database: Database
) -> None:
    run_id = await story.begin()
    await _add_numbers(database, run_id, 2 * BATCH + 1)

    await tracker.tell_all()

    (told,) = story.in_mlflow(run_id)
    assert story.numbers_in_mlflow(told) == await story.numbers(run_id)


async def test_a_pass_with_nothing_new_asks_nothing_of_mlflow(
    story: Story, tracker: Tracker, make_tracker: TrackerMaker, nobody: MLflowServer
) -> None:
    run_id = await story.begin()
    await story.train(run_id)
    await tracker.tell_all()
    before = await story.position(run_id)
    await tracker.close()

    await make_tracker(server=nobody).tell_all()

    assert (await story.position(run_id)).metric_sequence == before.metric_sequence


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
async def test_what_was_sent_but_not_noted_is_not_doubled(
    story: Story, tracker: Tracker, share: float
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
    story: Story, tracker: Tracker
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
    story: Story, tracker: Tracker, server: MLflowServer
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
    story: Story,
    make_tracker: TrackerMaker,
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
    story: Story, tracker: Tracker, client: MlflowClient, caplog: pytest.LogCaptureFixture
) -> None:
    deleted = await story.begin()
    await tracker.tell_all()
    client.delete_run(story.in_mlflow(deleted)[0].info.run_id)
    await story.train(deleted)
    other = await story.succeed()

    await tracker.tell_all()
    await tracker.tell_all()

    assert story.in_mlflow(other)[0].info.status == "FINISHED"
    assert caplog.text.count(f"run {deleted} cannot be told") == 1
    assert not (await story.position(deleted)).complete


async def test_while_mlflow_is_away_the_position_stays(
    story: Story, tracker: Tracker, make_tracker: TrackerMaker, nobody: MLflowServer
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
    tracker: Tracker, make_tracker: TrackerMaker
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


async def _add_numbers(database: Database, run_id: UUID, count: int) -> None:
    async with database.transaction() as session:
        session.add_all(
            Metric(run_id=run_id, key="train/loss", step=step, value=1 / step, attempt=1)
            for step in range(1, count + 1)
        )


def _port_of_nobody() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def _answering(status: int, body: bytes) -> Iterator[str]:
    """Some other server, which answers everything so."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
